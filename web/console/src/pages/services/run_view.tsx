/** What came of a call. */

import { RpcError } from "@remote-services/client";
import { tell } from "../../connection.ts";
import { KEPT_ITEMS, type Run } from "./call_runner.ts";
import { writeValue } from "./values.ts";

/** Shows the result, the items or the error of a call. */
export function RunView({ run, isStream }: { readonly run: Run; readonly isStream: boolean }) {
  const words = { running: isStream ? "streaming" : "running", done: "done", failed: "failed", stopped: isStream ? "stopped" : "cancelled" }[run.state];
  const look = { running: "accent", done: "good", failed: "bad", stopped: "warn" }[run.state];
  return (
    <section class="stack" aria-label="Answer">
      <div class="row" role="status">
        <h3>Answer</h3>
        <span class={`tag ${look}`}>{words}</span>
        {run.state !== "running" && <span class="small muted">after {run.tookMs < 1000 ? `${run.tookMs.toFixed(1)} ms` : `${(run.tookMs / 1000).toFixed(2)} s`}</span>}
        {isStream && <span class="small muted">{run.count} items{run.count > KEPT_ITEMS && `, the last ${String(KEPT_ITEMS)} are shown`}</span>}
      </div>
      {run.state === "running" && run.progress !== undefined && <ProgressBar run={run} />}
      {run.error !== undefined && <ErrorView error={run.error} />}
      {isStream && run.items.length > 0 && (
        <pre class="output items" tabIndex={0} aria-label="Items">{run.items.map((item) => writeValue(item, 0)).join("\n")}</pre>
      )}
      {!isStream && run.state === "done" && <pre class="output result" tabIndex={0} aria-label="Result">{writeValue(run.result, 2)}</pre>}
    </section>
  );
}

function ProgressBar({ run }: { readonly run: Run }) {
  const { done, total, message } = run.progress ?? { done: 0, total: null, message: "" };
  return (
    <label class="row small">
      {typeof total === "number" && total > 0 ? <progress max={total} value={done} /> : <progress />}
      {message}
    </label>
  );
}

function ErrorView({ error }: { readonly error: unknown }) {
  if (!(error instanceof RpcError)) return <p class="note bad" role="alert">{tell(error)}</p>;
  const ran = { no: "The method has not run.", yes: "The method has run, or begun.", unknown: "It is not known whether the method has run." }[error.executed];
  return (
    <div class="note bad stack" role="alert">
      <p><b>{error.type}</b>: {error.message}</p>
      {error.errors.length > 0 && (
        <ul>{error.errors.map((each) => <li key={JSON.stringify(each)}><code>{(each.loc ?? []).join(".")}</code> {each.msg}</li>)}</ul>
      )}
      {Object.keys(error.details).length > 0 && <pre>{writeValue(error.details, 2)}</pre>}
      <p class="small">{ran}{error.retryable && " The same call may succeed later."}</p>
    </div>
  );
}
