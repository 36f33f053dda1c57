/** One method: what it does, its form, what it has answered, and the call in other languages. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Refusal } from "../../app.tsx";
import { socketAddress, type Entry } from "../../connection.ts";
import { hashOf } from "../../routes.ts";
import { CallRunner, type Run } from "./call_runner.ts";
import { isAllowed, isStream, nameType, type Method, type Schemas } from "./document.ts";
import { FieldView } from "./field_view.tsx";
import { Prose } from "./prose.tsx";
import { RunView } from "./run_view.tsx";
import { writeSnippets } from "./snippets.ts";
import { FieldProblem, makeField, parseExactly, readFields, writeValue, type Field } from "./values.ts";

/** Who may call methods. */
export type Caller = Pick<Entry, "client" | "permissions" | "principal">;

interface MethodProps {
  readonly method: Method;
  readonly schemas: Schemas;
  /** Who may call it; undefined for whoever only reads. */
  readonly caller: Caller | undefined;
}

/** Shows a method. */
export function MethodView({ method, schemas, caller }: MethodProps) {
  const fields = useMemo(() => method.params.map((each) => makeField(each, schemas)), [method, schemas]);
  const [typed, setTyped] = useState<Record<string, string>>({});
  const [json, setJson] = useState<string>();
  const [problem, setProblem] = useState<FieldProblem>();
  const [run, setRun] = useState<Run>();
  const runner = useRef<CallRunner>(undefined);
  useEffect(() => () => { runner.current?.stop(); }, []);
  const read = (): Record<string, unknown> => (json === undefined ? readFields(fields, typed) : readJson(json));
  const may = caller !== undefined && isAllowed(method, caller.permissions);
  const isRunning = run?.state === "running";

  const submit = (event: Event): void => {
    event.preventDefault();
    if (caller === undefined) return;
    try {
      const params = read();
      setProblem(undefined);
      runner.current?.stop();
      runner.current = new CallRunner(caller.client, method, params, setRun);
      void runner.current.start();
    } catch (error) {
      if (!(error instanceof FieldProblem)) throw error;
      setProblem(error);
      document.getElementById(`field-${error.field}`)?.focus();
    }
  };
  const switchForm = (): void => {
    setProblem(undefined);
    if (json !== undefined) {
      setJson(undefined);
      return;
    }
    try {
      setJson(writeValue(readFields(fields, typed), 2));
    } catch {
      setJson("{}");
    }
  };

  return (
    <div class="stack">
      <a class="back" href={hashOf("services")}>← all methods</a>
      <div class="row"><h2 class="mono name">{method.name}</h2><Facts method={method} /></div>
      {method.summary !== undefined && <p>{method.summary}</p>}
      {method.description !== undefined && <details open><summary>Documentation</summary><Prose text={method.description} /></details>}
      <p class="small muted">
        Answers with {isStream(method) ? `a stream of ${nameType(method.result["x-stream"], schemas, 1)}` : nameType(method.result.schema, schemas, 1)}.
        {(method.errors ?? []).length > 0 && <> Declares {method.errors?.map((each) => each.data?.type ?? String(each.code)).join(", ")}.</>}
      </p>
      {caller !== undefined && !may && <Refusal permission={method["x-permission"]} role={caller.principal.role} />}
      <form class="card stack" onSubmit={submit} aria-label={`Call ${method.name}`}>
        <div class="row"><h3 class="grow">Parameters</h3>
          {fields.length > 0 && <button type="button" class="quiet small" onClick={switchForm}>{json === undefined ? "as JSON" : "as a form"}</button>}</div>
        {fields.length === 0 && <p class="muted">It takes none.</p>}
        {json === undefined
          ? fields.map((field) => (
            <FieldView key={field.name} field={field} text={typed[field.name] ?? ""} problem={problem?.field === field.name ? problem.message : ""}
              onInput={(text) => { setTyped({ ...typed, [field.name]: text }); }} />
          ))
          : (
            <label class="stack">Parameters by name, as JSON
              <textarea id="field-params" rows={8} spellcheck={false} value={json} onInput={(event) => { setJson(event.currentTarget.value); }} />
              {problem !== undefined && <span class="problem" role="alert">{problem.message}</span>}
            </label>
          )}
        <div class="row">
          {caller === undefined
            ? <p class="small muted"><a href={`./${hashOf("services", method.name)}`}>Sign in</a> to call it.</p>
            : <button class="primary" type="submit" disabled={!may || isRunning}>{isStream(method) ? "Open the stream" : "Call"}</button>}
          {isRunning && <button type="button" class="danger" onClick={() => { runner.current?.stop(); }}>{isStream(method) ? "Stop" : "Cancel"}</button>}
          {method["x-kind"] === "once" && <span class="small muted">It may change something each time it is called.</span>}
        </div>
      </form>
      {run !== undefined && <RunView run={run} isStream={isStream(method)} />}
      <Snippets method={method} read={read} fields={fields} url={caller?.client.url ?? socketAddress()} />
    </div>
  );
}

function Facts({ method }: { readonly method: Method }) {
  const kinds: Readonly<Record<string, string>> = { read: "reads only", idempotent: "may be repeated", once: "not to be repeated" };
  return (
    <>
      <span class="tag">{kinds[method["x-kind"]] ?? method["x-kind"]}</span>
      <span class="tag" title="The permission that it needs">{method["x-permission"]}</span>
    </>
  );
}

function readJson(text: string): Record<string, unknown> {
  const value = parseExactly(text, "params");
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new FieldProblem("params", "params: give an object");
  return value as Record<string, unknown>;
}

interface SnippetsProps {
  readonly method: Method;
  readonly fields: readonly Field[];
  readonly read: () => Record<string, unknown>;
  readonly url: string;
}

function Snippets({ method, fields, read, url }: SnippetsProps) {
  const [shown, setShown] = useState("Python");
  const [note, setNote] = useState("");
  let params: Record<string, unknown> = {};
  try {
    params = read();
  } catch {
    // What is wrong stands beside its field.
  }
  for (const field of fields) if (field.isSecret && field.name in params) params = { ...params, [field.name]: "…" };
  const snippets = writeSnippets(method, params, url);
  const text = snippets.find((each) => each.name === shown)?.text ?? "";
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      setNote("Copied.");
    } catch {
      setNote("The browser does not allow that here: select the text.");
    }
  };
  return (
    <section class="stack" aria-label="The same call elsewhere">
      <div class="row">
        <h3>The same call in</h3>
        <div class="row tabs" role="group" aria-label="Language">
          {snippets.map((each) => (
            <button key={each.name} type="button" aria-pressed={each.name === shown} onClick={() => { setShown(each.name); setNote(""); }}>{each.name}</button>
          ))}
        </div>
        <span class="grow" />
        <span class="small muted" role="status">{note}</span>
        <button type="button" onClick={() => { void copy(); }}>Copy</button>
      </div>
      <pre class="output snippet" tabIndex={0} aria-label={`The call in ${shown}`}>{text}</pre>
    </section>
  );
}
