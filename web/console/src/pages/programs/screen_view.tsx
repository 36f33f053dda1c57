/** The terminal or the log of a program, with what can be done with it. */

import { ProgramNotFound, type ProgramInfo } from "@remote-services/client/stubs/programs";
import { TransportError } from "@remote-services/client";
import { useEffect, useRef, useState } from "preact/hooks";
import { tell } from "../../connection.ts";
import { useEntry, useIsConnected } from "../../entry.ts";
import { formatBytes } from "../../format.ts";
import { copyText, textOf } from "../../terminal/terminal.ts";
import { BEGINNING, Screen, type ScreenState } from "./screen.ts";

interface ScreenViewProps {
  readonly program: ProgramInfo;
  /** Whether it runs, as far as is known. */
  readonly isRunning: boolean;
}

/** Shows what a program writes; its terminal takes keys. */
export function ScreenView({ program, isRunning }: ScreenViewProps) {
  const { client, permissions } = useEntry();
  const isConnected = useIsConnected();
  const place = useRef<HTMLDivElement>(null);
  const screen = useRef<Screen>(undefined);
  const [state, setState] = useState<ScreenState>(BEGINNING);
  const [note, setNote] = useState("");
  const mayControl = permissions.has("programs.control");

  useEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    const made = new Screen(client, program, mayControl, setState);
    screen.current = made;
    made.open(element);
    made.fit(element);
    if (made.isInteractive) made.terminal.focus();
    const observer = new ResizeObserver(() => { made.fit(element); });
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.close();
    };
  }, [client, program.id]);
  useEffect(() => {
    if (!isConnected) return undefined;
    const abort = new AbortController();
    screen.current?.follow(abort.signal).catch((error: unknown) => {
      if (!abort.signal.aborted && !(error instanceof TransportError) && !(error instanceof ProgramNotFound)) setNote(tell(error));
    });
    return () => { abort.abort(); };
  }, [client, program.id, isConnected]);
  useEffect(() => {
    if (state.isController && place.current !== null) screen.current?.fit(place.current);
  }, [state.isController]);

  const copy = async (): Promise<void> => {
    const terminal = screen.current?.terminal;
    if (terminal === undefined) return;
    setNote(await copyText(textOf(terminal), terminal.hasSelection() ? "The selection" : "All of it"));
  };
  const find = (event: Event): void => {
    event.preventDefault();
    const words = new FormData(event.currentTarget as HTMLFormElement).get("words");
    if (typeof words === "string" && words !== "") setNote(screen.current?.search.findPrevious(words) === true ? "" : `“${words}” is not there.`);
  };
  const isTerminal = program.terminal !== null;
  const looksOn = isTerminal && isRunning && !state.isController;
  const hasKeys = isTerminal && isRunning && state.isController;
  return (
    <section class="stack" aria-label={isTerminal ? "Terminal" : "Output"}>
      <div class="row">
        <form class="row" onSubmit={find} role="search">
          <input name="words" type="search" aria-label="Find in the output" placeholder="Find  ( / )" />
          <button type="submit">Find</button>
        </form>
        <button type="button" onClick={() => { void copy(); }}>Copy</button>
        {looksOn && <span class="tag warn">you look on: {mayControl ? "somebody else has the keys" : "your role may not type"}</span>}
        {looksOn && mayControl && <button type="button" onClick={() => { void screen.current?.control(true).then(() => { screen.current?.terminal.focus(); }); }}>Take the keys</button>}
        {hasKeys && isConnected && <span class="tag good">keys go to the program</span>}
        {hasKeys && !isConnected && <span class="tag warn">keys wait for the connection</span>}
        <span class="small muted" role="status">{note}</span>
      </div>
      {state.lostBytes > 0 && <p class="note warn">The first {formatBytes(state.lostBytes)} were no longer kept.</p>}
      {state.doubt !== "" && <p class="note warn" role="status">{state.doubt}</p>}
      {state.problem !== "" && <p class="note bad" role="alert">{state.problem}</p>}
      <div class={isTerminal ? "screen" : "screen log"} ref={place} data-keys />
    </section>
  );
}
