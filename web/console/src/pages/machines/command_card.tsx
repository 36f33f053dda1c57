/** Asks for a command and for the nodes on which it is to run, and shows what comes of it. */

import type { GroupPolicy } from "@remote-services/client";
import { useEffect, useRef, useState } from "preact/hooks";
import { tell } from "../../connection.ts";
import { useEntry } from "../../entry.ts";
import { splitWords } from "../programs/words.ts";
import { CommandRunner } from "./command_runner.ts";
import type { CommandRun } from "./command.ts";
import { foldNames } from "./folding.ts";
import { OutcomesView } from "./outcomes_view.tsx";

/** Which nodes. */
type Choice = "ticked" | "selector" | "all";

interface CardProps {
  /** What this server is called in the group. */
  readonly own: string;
  readonly ticked: readonly { readonly id: string; readonly title: string }[];
  readonly selector: string;
  readonly onSelector: (selector: string) => void;
}

/** The form, and below it the outcomes. */
export function CommandCard({ own, ticked, selector, onSelector }: CardProps) {
  const { client, permissions, principal } = useEntry();
  const [choice, setChoice] = useState<Choice>("all");
  const [problem, setProblem] = useState("");
  const [run, setRun] = useState<CommandRun>();
  const runner = useRef<CommandRunner>(undefined);
  useEffect(() => () => { runner.current?.stop(); }, []);
  // Whoever ticks nodes, or takes a label, means these.
  const key = ticked.map((node) => node.id).join(" ");
  useEffect(() => { setChoice((before) => (key !== "" ? "ticked" : before === "ticked" ? "all" : before)); }, [key]);
  useEffect(() => { setChoice((before) => (selector !== "" ? "selector" : before === "selector" ? "all" : before)); }, [selector]);
  const isRunning = run?.state === "running";

  const start = (event: Event): void => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    try {
      const argv = splitWords(textOf(form, "command"));
      setProblem("");
      const seconds = textOf(form, "time");
      const made = new CommandRunner(client, {
        argv,
        target: { ticked: ticked.map((node) => node.id), selector, all: undefined }[choice],
        policy: readPolicy(form),
        timeoutMs: seconds === "" ? undefined : Number(seconds) * 1000,
      }, (next) => { if (runner.current === made) setRun(next); });
      runner.current?.stop();
      runner.current = made;
      void made.start();
    } catch (error) {
      setProblem(tell(error));
    }
  };

  return (
    <>
      <form class="card stack" onSubmit={start} aria-label="Run a command on nodes">
        <h2>A command on many nodes</h2>
        <fieldset class="row">
          <legend class="small muted">On</legend>
          <Option name="all" chosen={choice} onChoose={setChoice}>all nodes</Option>
          <Option name="ticked" chosen={choice} onChoose={setChoice} isDisabled={ticked.length === 0}>
            {ticked.length === 0 ? "those that are ticked" : <span class="mono">{foldNames(ticked.map((node) => node.title))}</span>}
          </Option>
          <Option name="selector" chosen={choice} onChoose={setChoice}>those that fit</Option>
          <input class="mono selector" aria-label="Selector" placeholder="role=web,zone!=eu" autocomplete="off" spellcheck={false}
            required={choice === "selector"} value={selector} onInput={(event) => { onSelector(event.currentTarget.value); }} />
        </fieldset>
        <div class="row">
          <label class="tools" for="group-command">Program and arguments</label>
          <input id="group-command" name="command" class="grow mono" required autocomplete="off" spellcheck={false} placeholder="Program and arguments, such as uname -r" />
          {/* Two elements: one that became the other while it is clicked would submit the form. */}
          {isRunning
            ? <button key="cancel" type="button" class="danger" onClick={() => { runner.current?.stop(); }}>Cancel</button>
            : <button key="run" type="submit" class="primary">Run</button>}
        </div>
        <details>
          <summary class="small">In which order, and for how long</summary>
          <div class="options">
            <label>At most so many at a time<input name="parallel" type="number" min="1" /></label>
            <label>First so many, the others if these are ok<input name="canary" type="number" min="1" /></label>
            <label>Stop after so many failures<input name="failures" type="number" min="1" /></label>
            <label>Most time, in seconds<input name="time" type="number" min="0.1" step="any" /></label>
          </div>
        </details>
        <p class="small muted">
          Each node decides by its own roles; to other nodes you are <code>{principal.name} via {own}</code>.
          {!permissions.has("programs.run") && <> On this server your role lacks the permission <code>programs.run</code>.</>}
        </p>
        {problem !== "" && <p class="note bad" role="alert">{problem}</p>}
      </form>
      {run !== undefined && <OutcomesView run={run} />}
    </>
  );
}

interface OptionProps {
  readonly name: Choice;
  readonly chosen: Choice;
  readonly onChoose: (choice: Choice) => void;
  readonly isDisabled?: boolean;
  readonly children: preact.ComponentChildren;
}

function Option({ name, chosen, onChoose, isDisabled = false, children }: OptionProps) {
  return (
    <label class="row option">
      <input type="radio" name="nodes" value={name} checked={chosen === name} disabled={isDisabled} onChange={() => { onChoose(name); }} />{children}
    </label>
  );
}

function textOf(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === "string" ? value : "";
}

function readPolicy(form: FormData): GroupPolicy {
  const numberOf = (name: string): number | undefined => (textOf(form, name) === "" ? undefined : Number(textOf(form, name)));
  const [parallel, canary, failures] = [numberOf("parallel"), numberOf("canary"), numberOf("failures")];
  return {
    ...(parallel === undefined ? {} : { parallel }),
    ...(canary === undefined ? {} : { canary }),
    ...(failures === undefined ? {} : { stop_after_failures: failures }),
  };
}
