/** Starts a program. */

import { programs, type ProgramInfo } from "@remote-services/client/stubs/programs";
import { useState } from "preact/hooks";
import { tell } from "../../connection.ts";
import { useEntry } from "../../entry.ts";
import { readVariables, splitWords } from "./words.ts";

/** Asks what to start. */
export function StartForm({ onStart }: { readonly onStart: (program: ProgramInfo) => void }) {
  const { client, permissions } = useEntry();
  const [problem, setProblem] = useState("");
  const [isBusy, setBusy] = useState(false);
  const [wantsTerminal, setWantsTerminal] = useState(true);
  const may = permissions.has("programs.run");
  const start = async (event: Event): Promise<void> => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const textOf = (name: string): string => {
      const value = form.get(name);
      return typeof value === "string" ? value : "";
    };
    const numberOf = (name: string): number | null => (textOf(name) === "" ? null : Number(textOf(name)));
    setProblem("");
    setBusy(true);
    try {
      const argv = splitWords(textOf("command"));
      const memory = numberOf("memory");
      onStart(await client.service(programs).start({
        argv,
        cwd: textOf("folder") === "" ? null : textOf("folder"),
        env: readVariables(textOf("variables")),
        terminal: form.get("terminal") === null ? null : { rows: 24, columns: 80 },
        stdin: form.get("terminal") !== null || form.get("input") !== null,
        timeout_s: numberOf("time"),
        on_disconnect: "keep",
        limits: memory === null ? null : { memory_bytes: Math.round(memory * 1024 * 1024) },
      }));
    } catch (error) {
      setProblem(tell(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form class="card stack" onSubmit={(event) => { void start(event); }} aria-label="Start a program">
      <div class="row">
        <label class="tools" for="command">Program and arguments</label>
        <input id="command" name="command" class="grow mono" required autocomplete="off" spellcheck={false} placeholder="Program and arguments, such as bash" disabled={!may} />
        <label class="row small"><input type="checkbox" name="terminal" checked={wantsTerminal} disabled={!may} onChange={(event) => { setWantsTerminal(event.currentTarget.checked); }} /> in a terminal</label>
        {!wantsTerminal && <label class="row small"><input type="checkbox" name="input" disabled={!may} /> with input</label>}
        <button class="primary" type="submit" disabled={!may || isBusy}>Start</button>
      </div>
      {!may && <p class="small muted">Your role lacks the permission <code>programs.run</code>.</p>}
      <details>
        <summary class="small">Folder, environment, limits</summary>
        <div class="options">
          <label>Folder<input name="folder" autocomplete="off" spellcheck={false} placeholder="home of its user" /></label>
          <label>Most memory, in MiB<input name="memory" type="number" min="1" /></label>
          <label>Most time, in seconds<input name="time" type="number" min="0" step="any" /></label>
          <label class="wide">Environment<textarea name="variables" rows={2} spellcheck={false} placeholder="NAME=VALUE on each line" /></label>
        </div>
      </details>
      {problem !== "" && <p class="note bad" role="alert">{problem}</p>}
    </form>
  );
}
