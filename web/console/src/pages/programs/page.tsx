/** Programs: those that run and those that have ended; start one, watch it, type into it, end it. */

import { programs, type ProgramInfo } from "@remote-services/client/stubs/programs";
import { useEffect, useState } from "preact/hooks";
import { tell } from "../../connection.ts";
import { useEntry, useIsConnected } from "../../entry.ts";
import { formatBytes, formatDuration, formatMoment } from "../../format.ts";
import { useStream } from "../../live.ts";
import { hashOf, type PageProps } from "../../routes.ts";
import "./programs.css";
import { ScreenView } from "./screen_view.tsx";
import { StartForm } from "./start_form.tsx";
import { applyEvent, describeState, sortPrograms, type Roll } from "./states.ts";
import { joinWords } from "./words.ts";

/** The page. */
export function ProgramsPage({ rest }: PageProps) {
  const { client } = useEntry();
  const isConnected = useIsConnected();
  const [roll, setRoll] = useState<Roll>();
  const [failure, setFailure] = useState<unknown>();
  const error = useStream((each) => each.service(programs).watch(), (event) => { setRoll((before) => applyEvent(before ?? new Map(), event)); }, []);
  useEffect(() => {
    if (!isConnected) return;
    client.service(programs).list().then(
      (list) => { setRoll((before) => new Map([...list.map((each): [string, ProgramInfo] => [each.id, each]), ...onlyNewer(before, list)])); },
      setFailure,
    );
  }, [client, isConnected]);
  const program = roll?.get(rest);
  const trouble = error ?? failure;
  return (
    <div class="stack">
      {trouble !== undefined && <p class="note bad" role="alert">{tell(trouble)}</p>}
      {rest === "" && <List roll={roll} />}
      {rest !== "" && program !== undefined && <ProgramView key={program.id} program={program} />}
      {rest !== "" && program === undefined && (
        <><a href={hashOf("programs")}>← all programs</a>
          <p class="muted">{roll === undefined ? "Asking the server …" : "There is no such program of yours, or no longer."}</p></>
      )}
    </div>
  );
}

/** Those that an event has told of while the list was under way. */
function onlyNewer(before: Roll | undefined, list: readonly ProgramInfo[]): [string, ProgramInfo][] {
  const newest = Math.max(0, ...list.map((each) => each.started_at));
  return [...(before ?? [])].filter(([, each]) => each.started_at > newest);
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

function ProgramView({ program }: { readonly program: ProgramInfo }) {
  const { client, permissions } = useEntry();
  const [note, setNote] = useState("");
  const [isAsking, setAsking] = useState(false);
  const stub = client.service(programs);
  const state = describeState(program);
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
          {program.running && <> ({formatDuration(Date.now() / 1000 - program.started_at)})</>}
        </span>
        <span class="small" role="status">{note}</span>
        {program.running && !isAsking && (
          <>
            <button type="button" disabled={!may} onClick={() => { act(async () => ((await stub.signal({ id: program.id, signal: "INT" })) ? "It got INT." : "It has ended before.")); }}>Interrupt</button>
            <button type="button" class="danger" disabled={!may} onClick={() => { setAsking(true); }}>Kill …</button>
          </>
        )}
        {isAsking && program.running && (
          <>
            <span class="small">End it, and all that it has started?</span>
            <button type="button" class="danger" onClick={() => { act(kill); }}>Kill the tree</button>
            <button type="button" onClick={() => { setAsking(false); }}>No</button>
          </>
        )}
        {!program.running && <button type="button" disabled={!may} onClick={() => { act(forget); }}>Forget</button>}
      </div>
      {!may && <p class="small muted">You may look on: your role lacks the permission <code>programs.control</code>.</p>}
      <ScreenView program={program} />
    </>
  );
}
