/** Programs: those that run and those that have ended; start one, watch it, type into it, end it. */

import { TransportError } from "@remote-services/client";
import { programs, type ProgramEvent, type ProgramInfo } from "@remote-services/client/stubs/programs";
import { useEffect, useRef, useState } from "preact/hooks";
import { tell } from "../../connection.ts";
import { useEntry, useIsConnected } from "../../entry.ts";
import { formatBytes, formatDuration, formatMoment } from "../../format.ts";
import { useStream } from "../../live.ts";
import { hashOf, type PageProps } from "../../routes.ts";
import "./programs.css";
import { InputForm } from "./input_form.tsx";
import { ScreenView } from "./screen_view.tsx";
import { StartForm } from "./start_form.tsx";
import { applyEvent, describeState, GONE, sortPrograms, type Roll } from "./states.ts";
import { joinWords } from "./words.ts";

/** The page. */
export function ProgramsPage({ rest }: PageProps) {
  const { roll, trouble } = useRoll();
  const shown = useRef<ProgramInfo>(undefined);
  const program = roll?.get(rest);
  if (program !== undefined || shown.current?.id !== rest) shown.current = program;
  // What has arrived of a program stays, also when the server knows it no more.
  const last = program ?? shown.current;
  return (
    <div class="stack">
      {trouble !== undefined && <p class="note bad" role="alert">{tell(trouble)}</p>}
      {rest === "" && <List roll={roll} />}
      {rest !== "" && last !== undefined && <ProgramView key={last.id} program={last} isGone={program === undefined} />}
      {rest !== "" && last === undefined && (
        <><a href={hashOf("programs")}>← all programs</a>
          <p class="muted">{roll === undefined ? "Asking the server …" : "There is no such program of yours, or no longer."}</p></>
      )}
    </div>
  );
}

/** Follows the programs that the server knows. While the connection is lost, they are those that it knew then. */
function useRoll(): { readonly roll: Roll | undefined; readonly trouble: unknown } {
  const { client } = useEntry();
  const isConnected = useIsConnected();
  const [roll, setRoll] = useState<Roll>();
  const [failure, setFailure] = useState<unknown>();
  /** Events that have come while the list is under way. */
  const early = useRef<ProgramEvent[]>(undefined);
  const error = useStream((each) => each.service(programs).watch(), (event) => {
    if (early.current === undefined) setRoll((before) => applyEvent(before ?? new Map(), event));
    else early.current.push(event);
  }, []);
  useEffect(() => {
    if (!isConnected) return;
    const since: ProgramEvent[] = [];
    early.current = since;
    client.service(programs).list().then(
      (list) => {
        if (early.current !== since) return;
        early.current = undefined;
        setFailure(undefined);
        setRoll(since.reduce(applyEvent, new Map(list.map((each) => [each.id, each]))));
      },
      (problem: unknown) => {
        if (early.current !== since || problem instanceof TransportError) return;
        early.current = undefined;
        setFailure(problem);
      },
    );
  }, [client, isConnected]);
  return { roll, trouble: error ?? failure };
}

function List({ roll }: { readonly roll: Roll | undefined }) {
  return (
    <>
      <h1>Programs</h1>
      <StartForm onStart={(program) => { location.hash = hashOf("programs", program.id); }} />
      {roll === undefined && <p class="muted" role="status">Asking the server …</p>}
      {roll?.size === 0 && <p class="muted">Nothing runs, and nothing that has ended is kept.</p>}
      {roll !== undefined && roll.size > 0 && (
        <section class="card" aria-label="Programs">
          <ul class="programs">{sortPrograms(roll).map((each) => <Line key={each.id} program={each} />)}</ul>
        </section>
      )}
    </>
  );
}

function Line({ program }: { readonly program: ProgramInfo }) {
  const state = describeState(program);
  return (
    <li>
      <a href={hashOf("programs", program.id)} class="mono cut">{joinWords(program.argv)}</a>
      <span class={`tag ${state.look}`}>{state.text}</span>
      {program.terminal !== null && <span class="tag">terminal</span>}
      <span class="small muted">{program.owner}, {formatMoment(program.started_at)}, {formatBytes(program.stdout_bytes + program.stderr_bytes)} written</span>
    </li>
  );
}

interface ProgramViewProps {
  readonly program: ProgramInfo;
  /** Whether the server knows it no more: then it is shown as it was last. */
  readonly isGone: boolean;
}

function ProgramView({ program, isGone }: ProgramViewProps) {
  const { client, permissions } = useEntry();
  const [note, setNote] = useState("");
  const [isAsking, setAsking] = useState(false);
  const stub = client.service(programs);
  const state = isGone ? GONE : describeState(program);
  const isRunning = program.running && !isGone;
  const may = permissions.has("programs.control");
  const act = (work: () => Promise<string>): void => {
    setAsking(false);
    work().then(setNote, (error: unknown) => { setNote(tell(error)); });
  };
  const kill = async (): Promise<string> => {
    const { survivors } = await stub.kill({ id: program.id, grace_s: 2 });
    return survivors.length === 0 ? "It has ended, with everything that it had started." : `These could not be ended: ${survivors.join(", ")}`;
  };
  const forget = async (): Promise<string> => {
    await stub.forget({ id: program.id });
    location.hash = hashOf("programs");
    return "";
  };
  return (
    <>
      <div class="row">
        <a href={hashOf("programs")}>← all programs</a>
        <h1 class="mono cut grow program-name">{joinWords(program.argv)}</h1>
        <span class={`tag ${state.look}`} role="status">{state.text}</span>
      </div>
      <div class="row">
        <span class="small muted grow">
          process {program.pid}, of {program.owner}, in {program.cwd}, since {formatMoment(program.started_at)}
          {isRunning && <> ({formatDuration(Date.now() / 1000 - program.started_at)})</>}
        </span>
        <span class="small" role="status">{note}</span>
        {isRunning && !isAsking && (
          <>
            <button type="button" disabled={!may} onClick={() => { act(async () => ((await stub.signal({ id: program.id, signal: "INT" })) ? "It got INT." : "It has ended before.")); }}>Interrupt</button>
            <button type="button" class="danger" disabled={!may} onClick={() => { setAsking(true); }}>Kill …</button>
          </>
        )}
        {isAsking && isRunning && (
          <>
            <span class="small">End it, and all that it has started?</span>
            <button type="button" class="danger" onClick={() => { act(kill); }}>Kill the tree</button>
            <button type="button" onClick={() => { setAsking(false); }}>No</button>
          </>
        )}
        {!program.running && !isGone && <button type="button" disabled={!may} onClick={() => { act(forget); }}>Forget</button>}
      </div>
      {!may && <p class="small muted">You may look on: your role lacks the permission <code>programs.control</code>.</p>}
      {isGone && (
        <p class="note warn" role="alert">
          The server knows nothing of this program any more: it has ended with the server, or it had ended and was forgotten.
          What is here had come before; it is lost when you leave.
        </p>
      )}
      <ScreenView program={program} isRunning={isRunning} />
      {isRunning && may && program.terminal === null && <InputForm program={program} />}
    </>
  );
}
