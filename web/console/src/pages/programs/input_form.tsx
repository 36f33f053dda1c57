/** What a program without a terminal reads: lines, and the end of them. */

import { TransportError } from "@remote-services/client";
import { NotController, programs, StdinClosed, type ProgramInfo } from "@remote-services/client/stubs/programs";
import { useRef, useState } from "preact/hooks";
import { tell } from "../../connection.ts";
import { useEntry } from "../../entry.ts";

/** Sends lines to a program, and ends its input. */
export function InputForm({ program }: { readonly program: ProgramInfo }) {
  const { client } = useEntry();
  const [line, setLine] = useState("");
  const [isOver, setOver] = useState(false);
  const [isTheirs, setTheirs] = useState(false);
  const [note, setNote] = useState("");
  const last = useRef<Promise<void>>(Promise.resolve());
  const stub = client.service(programs);
  const { id } = program;

  /** Does something when all that was done before is answered, so that lines stay in their order. */
  const act = (work: () => Promise<unknown>, words: string, unsent = ""): void => {
    setNote("The program has not taken it yet.");
    last.current = last.current.then(work).then(
      () => {
        setTheirs(false);
        setNote(words);
      },
      (error: unknown) => {
        if (error instanceof StdinClosed) setOver(true);
        setTheirs(error instanceof NotController);
        if (error instanceof TransportError) setNote("The connection was lost while it was on its way: look whether the program has got it.");
        else setNote(tell(error));
        // What has surely not arrived can be sent again.
        if (error instanceof NotController) setLine((now) => (now === "" ? unsent : now));
      },
    );
  };
  const send = (event: Event): void => {
    event.preventDefault();
    setLine("");
    act(() => stub.write({ id, data: new TextEncoder().encode(`${line}\n`) }), "The program has taken it.", line);
  };
  const end = (): void => {
    act(async () => {
      await stub.close_stdin({ id });
      setOver(true);
    }, "The input has ended.");
  };
  return (
    <form class="row" aria-label="Input" onSubmit={send}>
      {!isOver && (
        <>
          <input class="grow mono program-line" autocomplete="off" spellcheck={false} aria-label="Line for the program" placeholder="A line for the program" value={line} onInput={(event) => { setLine(event.currentTarget.value); }} />
          <button type="submit">Send the line</button>
          <button type="button" onClick={end}>End the input</button>
        </>
      )}
      {isTheirs && <button type="button" onClick={() => { act(() => stub.control({ id, take: true }), "The input is yours."); }}>Take the input</button>}
      <span class="small muted" role="status">{note}</span>
    </form>
  );
}
