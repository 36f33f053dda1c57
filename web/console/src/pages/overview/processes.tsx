/** The processes that do the most, and signals for them. */

import { hardware, type Process } from "@remote-services/client/stubs/hardware";
import { useEffect, useRef, useState } from "preact/hooks";
import { Refusal } from "../../app.tsx";
import { tell } from "../../connection.ts";
import { useEntry } from "../../entry.ts";
import { formatBytes, formatDuration } from "../../format.ts";
import { useStream } from "../../live.ts";

type Order = "cpu_percent" | "memory_percent" | "cpu_times" | "pid" | "name";

interface Column {
  readonly title: string;
  readonly order?: Order;
  readonly isNumber?: boolean;
  readonly show: (process: Process) => string;
}

const COLUMNS: readonly Column[] = [
  { title: "PID", order: "pid", isNumber: true, show: (each) => String(each.pid) },
  { title: "Name", order: "name", show: (each) => each.name ?? "–" },
  { title: "User", show: (each) => each.username ?? "–" },
  { title: "CPU %", order: "cpu_percent", isNumber: true, show: (each) => each.cpu_percent?.toFixed(1) ?? "–" },
  { title: "Memory", order: "memory_percent", isNumber: true, show: (each) => formatBytes(each.rss_bytes) },
  {
    title: "CPU time", order: "cpu_times", isNumber: true,
    show: (each) => (each.cpu_user_s === null ? "–" : formatDuration(each.cpu_user_s + (each.cpu_system_s ?? 0))),
  },
  { title: "State", show: (each) => each.status ?? "–" },
  { title: "Command", show: (each) => each.cmdline?.join(" ") ?? "" },
];

const SIGNALS: Readonly<Record<string, string>> = {
  TERM: "end, and have time to clean up", KILL: "end at once", INT: "interrupt, as Ctrl-C does", HUP: "hang up: many read their settings anew",
  STOP: "stop until CONT", CONT: "go on",
};

/** How many are shown. */
const SHOWN = 20;

/** Among how many somebody searches. */
const MOST = 10_000;

/** Tells whether a process has all words. */
function matches(process: Process, search: string): boolean {
  const text = `${String(process.pid)} ${process.name ?? ""} ${process.username ?? ""} ${process.cmdline?.join(" ") ?? ""}`.toLowerCase();
  return search.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

/** The card with the processes. */
export function Processes() {
  const { permissions, principal } = useEntry();
  const may = permissions.has("hardware.processes");
  const maySignal = permissions.has("hardware.control");
  const [order, setOrder] = useState<Order>("cpu_percent");
  const [list, setList] = useState<readonly Process[]>();
  const [total, setTotal] = useState(0);
  const [search, setSearch] = useState("");
  const isSearching = search.trim() !== "";
  const [target, setTarget] = useState<Process>();
  const error = useStream(
    may
      ? (client) => client.service(hardware).watch_processes({
        attributes: ["pid", "create_time", "name", "username", "status", "cpu_percent", "cpu_times", "memory_info", "memory_percent", "cmdline"],
        sort: order, limit: isSearching ? MOST : SHOWN, interval_s: 2,
      })
      : undefined,
    (found) => {
      setList(found.processes);
      setTotal(found.total);
    },
    [order, isSearching],
  );
  const shown = (list ?? []).filter((each) => matches(each, search)).slice(0, SHOWN);
  return (
    <section class="card stack" aria-labelledby="processes-title">
      <div class="row"><h2 id="processes-title" class="grow">Processes</h2>
        {list !== undefined && <span class="small muted">{shown.length} of {total}</span>}
        {may && <input type="search" aria-label="Find a process" placeholder="Name, user, PID  ( / )" value={search}
          onInput={(event) => { setSearch(event.currentTarget.value); }} />}
      </div>
      {!may && <Refusal permission="hardware.processes" role={principal.role} />}
      {error !== undefined && <p class="note bad" role="alert">{tell(error)}</p>}
      {may && list === undefined && error === undefined && <p class="muted" role="status">Asking the server …</p>}
      {list !== undefined && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Table of processes">
          <table class="processes">
            <thead><tr>
              {COLUMNS.map((column) => <Head key={column.title} column={column} order={order} onOrder={setOrder} />)}
              <th><span class="tools">Signal</span></th>
            </tr></thead>
            <tbody>
              {shown.map((each) => (
                <tr key={`${String(each.pid)} ${String(each.create_time)}`}>
                  {COLUMNS.map((column) => <td key={column.title} class={column.isNumber === true ? "number" : "cut"} title={column.isNumber === true ? undefined : column.show(each)}>{column.show(each)}</td>)}
                  <td class="right">
                    <button type="button" class="quiet small" disabled={!maySignal} title={maySignal ? undefined : "Your role lacks the permission hardware.control"}
                      aria-label={`Signal ${String(each.pid)}`} onClick={() => { setTarget(each); }}>Signal …</button>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {target !== undefined && <SignalDialog process={target} onClose={() => { setTarget(undefined); }} />}
    </section>
  );
}

function Head({ column, order, onOrder }: { readonly column: Column; readonly order: Order; readonly onOrder: (order: Order) => void }) {
  const own = column.order;
  const isHere = own === order;
  const direction = own === "pid" || own === "name" ? "ascending" : "descending";
  return (
    <th class={column.isNumber === true ? "number" : ""} aria-sort={isHere ? direction : undefined}>
      {own === undefined ? column.title : (
        <button type="button" onClick={() => { onOrder(own); }}>{column.title}{isHere && <span aria-hidden="true">{direction === "ascending" ? " ↑" : " ↓"}</span>}</button>
      )}
    </th>
  );
}

function SignalDialog({ process, onClose }: { readonly process: Process; readonly onClose: () => void }) {
  const { client } = useEntry();
  const dialog = useRef<HTMLDialogElement>(null);
  const [signal, setSignal] = useState("TERM");
  const [problem, setProblem] = useState("");
  useEffect(() => { dialog.current?.showModal(); }, []);
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    try {
      await client.service(hardware).signal_process({ pid: process.pid, create_time: process.create_time ?? 0, signal });
      dialog.current?.close();
    } catch (error) {
      setProblem(tell(error));
    }
  };
  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="signal-title">
      <form class="stack" onSubmit={(event) => { void send(event); }}>
        <h2 id="signal-title">Signal for {process.name ?? "the process"} ({process.pid})</h2>
        <p class="mono small muted command">{process.cmdline?.join(" ")}</p>
        <label class="stack">Signal
          <select value={signal} onChange={(event) => { setSignal(event.currentTarget.value); }}>
            {Object.entries(SIGNALS).map(([name, text]) => <option key={name} value={name}>{name}: {text}</option>)}
          </select>
        </label>
        {problem !== "" && <p class="note bad" role="alert">{problem}</p>}
        <div class="row">
          <button type="submit" class="primary">Send</button>
          <button type="button" onClick={() => { dialog.current?.close(); }}>Cancel</button>
        </div>
      </form>
    </dialog>
  );
}
