/** What has come of the statements: one result at a time. */

import { RpcError } from "@remote-services/client";
import type { Column } from "@remote-services/client/stubs/database";
import { useEffect, useRef, useState } from "preact/hooks";
import { tell } from "../../connection.ts";
import { formatBytes } from "../../format.ts";
import { useStore } from "../../store.ts";
import type { Desk } from "./desk.ts";
import { save, writeCsv, writeJson } from "./files.ts";
import { Grid, type CellPlace } from "./grid.tsx";
import { writeParquet } from "./parquet.ts";
import type { RunState, StatementRun } from "./run.ts";
import { textOf, typeOf } from "./values.ts";

/** Shows the results. */
export function Results({ desk }: { readonly desk: Desk }) {
  const { runs, shown } = useStore(desk.state);
  const run = runs.find((each) => each.number === shown);
  if (run === undefined) return null;
  return (
    <section class="stack results" aria-label="Results">
      {runs.length > 1 && <ul class="runs" aria-label="Statements">{runs.map((each) => <RunTab key={each.number} desk={desk} run={each} isHere={each === run} />)}</ul>}
      <ResultView key={run.number} run={run} desk={desk} />
    </section>
  );
}

const LOOKS = { running: "accent", done: "good", failed: "bad", stopped: "warn" } as const;

function RunTab({ desk, run, isHere }: { readonly desk: Desk; readonly run: StatementRun; readonly isHere: boolean }) {
  const { state } = useStore(run.state);
  return (
    <li>
      <button type="button" class="run" aria-pressed={isHere} title={run.request.sql} onClick={() => { desk.show(run.number); }}>
        <span class={`run-dot ${LOOKS[state]}`} aria-hidden="true" />
        <span class="cut">{run.number}: {run.kind === "explain" || run.kind === "measure" ? "plan of " : ""}{run.request.sql.replace(/\s+/g, " ").slice(0, 60)}</span>
        <span class="tools">{state}</span>
      </button>
    </li>
  );
}

/** Writes a number of things, such as `1,000,000 rows`. */
export function countOf(count: number, what: string): string {
  return `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
}

/** Says in a few words what has come of a statement. */
export function summarize(state: RunState): string {
  const time = state.tookMs < 1000 ? `${String(Math.round(state.tookMs))} ms` : `${(state.tookMs / 1000).toFixed(1)} s`;
  const rows = countOf(state.count, "row");
  switch (state.state) {
    case "running": return state.count > 0 ? `${rows} so far, ${time}` : "running …";
    case "stopped": return state.count > 0 ? `cancelled after ${rows}, ${time}` : `cancelled after ${time}`;
    case "failed": return `failed after ${time}`;
    case "done":
      if (state.plan !== "") return `plan, ${time}`;
      if (state.givesRows) return `${rows}${state.cut === "" ? "" : ", not all"}, ${time}`;
      return state.rowcount >= 0 ? `${countOf(state.rowcount, "row")} changed, ${time}` : `done, ${time}`;
  }
}

function ResultView({ run, desk }: { readonly run: StatementRun; readonly desk: Desk }) {
  const state = useStore(run.state);
  const [cell, setCell] = useState<{ readonly place: CellPlace; readonly value: unknown }>();
  const card = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // On a narrow screen it stands below of what can be seen.
    if (matchMedia("(max-width: 900px)").matches) card.current?.scrollIntoView({ block: "start" });
  }, [state.state === "running"]);
  return (
    <div class="card stack result" ref={card}>
      <div class="row">
        <span class={`tag ${LOOKS[state.state]}`} role="status">{summarize(state)}</span>
        {state.count > 0 && <span class="small muted" title="The rows are kept packed; those that nobody looks at are outside of this tab's memory.">{formatBytes(run.rows.bytes)} kept</span>}
        {state.lastInsertId !== null && <span class="small muted">new key: {String(state.lastInsertId)}</span>}
        <span class="grow" />
        {state.givesRows && state.state !== "running" && <Exports run={run} columns={state.columns} />}
        {state.state === "running" && <button type="button" class="danger" onClick={() => { desk.stop(); }}>Cancel</button>}
        <button type="button" class="quiet" aria-label="Close this result" title="Close this result" onClick={() => { desk.drop(run); }}>✕</button>
      </div>
      <pre class="statement small cut" title={run.request.sql}>{run.request.sql.replace(/\s+/g, " ")}</pre>
      {state.cut !== "" && <p class="note warn">{state.cut}</p>}
      {state.notices.map((notice) => <p key={notice} class="note small">{notice}</p>)}
      {state.error !== undefined && <Failure error={state.error} />}
      {state.plan !== "" && <pre class="output" aria-label="Plan" tabIndex={0}>{state.plan}</pre>}
      {state.givesRows && state.columns.length > 0 && (
        <Grid rows={run.rows} columns={state.columns} count={state.count} label={`Rows of statement ${String(run.number)}`}
          onOpen={(place, value) => { setCell({ place, value }); }} />
      )}
      {cell !== undefined && <CellDialog value={cell.value} row={cell.place.row} column={state.columns[cell.place.column]} onClose={() => { setCell(undefined); }} />}
    </div>
  );
}

/** Says why a statement has failed, with what the database adds to it. */
function Failure({ error }: { readonly error: unknown }) {
  const details = error instanceof RpcError ? (error.details as { readonly sqlstate?: string | null; readonly tx_state?: string; readonly rule?: string } | null) : null;
  return (
    <div class="note bad" role="alert">
      <p class="failure">{tell(error)}</p>
      {error instanceof RpcError && (
        <p class="small">
          {error.type}{typeof details?.sqlstate === "string" ? `, SQLSTATE ${details.sqlstate}` : ""}{typeof details?.rule === "string" ? `, by ${details.rule}` : ""}
          {error.executed === "unknown" && "; whether it has run is not known"}
        </p>
      )}
    </div>
  );
}

const FORMATS = [
  { name: "CSV", end: "csv" }, { name: "JSON", end: "json" }, { name: "Parquet", end: "parquet" },
] as const;

function Exports({ run, columns }: { readonly run: StatementRun; readonly columns: readonly Column[] }) {
  const [note, setNote] = useState("");
  const [isBusy, setBusy] = useState(false);
  const write = async (end: (typeof FORMATS)[number]["end"]): Promise<void> => {
    setBusy(true);
    setNote("writing …");
    try {
      const read = () => run.rows.all();
      const file = end === "csv" ? await writeCsv(columns, read()) : end === "json" ? await writeJson(columns, read()) : await writeParquet(columns, read);
      save(file, `${run.request.database}-${String(run.number)}.${end}`);
      setNote(`${countOf(run.rows.count, "row")}, ${formatBytes(file.size)}`);
    } catch (error) {
      setNote(tell(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <span class="row" role="group" aria-label="Export">
      <span class="small muted" role="status">{note}</span>
      {FORMATS.map(({ name, end }) => <button key={end} type="button" class="small" disabled={isBusy} title={`Save the rows as ${name}`} onClick={() => { void write(end); }}>{name}</button>)}
    </span>
  );
}

/** How much of a value is shown. */
const SHOWN_CHARACTERS = 100_000;

function CellDialog({ value, row, column, onClose }: { readonly value: unknown; readonly row: number; readonly column: Column | undefined; readonly onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [note, setNote] = useState("");
  useEffect(() => { dialog.current?.showModal(); }, []);
  const text = textOf(value, column);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      setNote("It is copied.");
    } catch {
      setNote("The browser does not allow that here: select the text, and copy it with its own keys.");
    }
  };
  return (
    <dialog ref={dialog} class="cell-dialog" onClose={onClose} aria-labelledby="cell-title">
      <div class="stack">
        <h2 id="cell-title" class="cut">{column?.name} <span class="small muted">row {(row + 1).toLocaleString("en")}, {typeOf(value, column)}</span></h2>
        {value === null ? <p class="muted">NULL</p> : value === "" ? <p class="muted">An empty text.</p> : <pre class="output" tabIndex={0} aria-label="The value">{text.slice(0, SHOWN_CHARACTERS)}</pre>}
        {text.length > SHOWN_CHARACTERS && <p class="small muted">These are the first {SHOWN_CHARACTERS.toLocaleString("en")} of {countOf(text.length, "character")}.</p>}
        <form method="dialog" class="row">
          <button class="primary">Close</button>
          <button type="button" disabled={value === null} onClick={() => { void copy(); }}>Copy</button>
          <span class="small muted" role="status">{note}</span>
        </form>
      </div>
    </dialog>
  );
}
