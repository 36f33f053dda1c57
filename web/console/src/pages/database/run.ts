/** Runs one statement, and keeps what comes of it. */

import { loadRows, RpcError, type Client } from "@remote-services/client";
import { database, type Column, type TxState } from "@remote-services/client/stubs/database";
import { Store } from "../../store.ts";
import { packedDatabase, type PackedRows, type Request } from "./packed.ts";
import { RowStore } from "./row_store.ts";

/** How a statement is run: `read` streams rows, and the database lets it change nothing; `change` may change; `explain` shows the plan, and
 * `measure` runs it for what its steps take. */
export type RunKind = "read" | "change" | "explain" | "measure";

/** What has come of a statement so far. */
export interface RunState {
  readonly state: "running" | "done" | "failed" | "stopped";
  readonly columns: readonly Column[];
  readonly givesRows: boolean;
  /** How many rows are there. */
  readonly count: number;
  /** Rows found or changed, as the database says; -1 where it does not. */
  readonly rowcount: number;
  /** Why not all rows are here; empty where they are. */
  readonly cut: string;
  readonly lastInsertId: number | bigint | null;
  readonly notices: readonly string[];
  /** The plan, of `explain`. */
  readonly plan: string;
  readonly error?: unknown;
  readonly tookMs: number;
}

const NOTHING: RunState = {
  state: "running", columns: [], givesRows: false, count: 0, rowcount: -1, cut: "", lastInsertId: null, notices: [], plan: "", tookMs: 0,
};

/** How long a statement may take as far as the page is concerned; the server has its own limit. */
const PATIENCE_MS = 3_600_000;

/** One statement that runs or has run. */
export class StatementRun {
  readonly state = new Store<RunState>(NOTHING);
  readonly rows = new RowStore(loadRows);
  readonly #abort = new AbortController();
  readonly #began = performance.now();
  #isWaiting = false;
  #now: RunState = NOTHING;

  constructor(readonly number: number, readonly request: Request, readonly kind: RunKind) {}

  /** Runs it to its end. Returns the transaction afterwards; undefined where that is not known. */
  async run(client: Client): Promise<TxState | undefined> {
    try {
      const state = await this.#act(client);
      this.#end({ state: this.#abort.signal.aborted ? "stopped" : "done" });
      return state;
    } catch (error) {
      const isStopped = this.#abort.signal.aborted;
      this.#end(isStopped ? { state: "stopped" } : { state: "failed", error });
      return isStopped ? undefined : stateOf(error);
    }
  }

  /** Stops it, on the server too. */
  stop(): void {
    this.#abort.abort();
  }

  async #act(client: Client): Promise<TxState | undefined> {
    const options = { signal: this.#abort.signal, timeoutMs: PATIENCE_MS };
    switch (this.kind) {
      case "read": return await this.#read(client);
      case "change": {
        const result = await client.service(packedDatabase).execute(this.request, options);
        this.#take(result);
        if (result.truncated === true) this.#change({ cut: "There were more rows: the server gives so many of a statement that may change something." });
        return result.tx_state;
      }
      case "explain":
      case "measure": {
        const plan = await client.service(database).explain({ ...this.request, analyze: this.kind === "measure" }, options);
        this.#change({ plan: plan.text === "" ? "The database has no plan for this statement: there is nothing to choose." : plan.text });
        return plan.result.tx_state;
      }
    }
  }

  async #read(client: Client): Promise<TxState | undefined> {
    const stream = client.service(packedDatabase).stream(this.request, { signal: this.#abort.signal, timeoutMs: PATIENCE_MS });
    this.#abort.signal.addEventListener("abort", () => { void stream.close(); });
    let state: TxState | undefined;
    for await (const page of stream) {
      if (!this.#take(page)) {
        this.#change({ cut: "The page keeps 512 MiB of rows at most, so the rest was not read." });
        return undefined;
      }
      state = page.tx_state;
    }
    return this.#abort.signal.aborted ? undefined : state;
  }

  #take(page: PackedRows): boolean {
    const hasRoom = this.rows.add(page.rows);
    this.#change({
      columns: this.#now.columns.length > 0 ? this.#now.columns : page.columns,
      givesRows: page.gives_rows, rowcount: page.rowcount, lastInsertId: page.last_insert_id, notices: page.notices, count: this.rows.count,
    });
    return hasRoom;
  }

  #change(part: Partial<RunState>): void {
    this.#now = { ...this.#now, ...part, tookMs: performance.now() - this.#began };
    if (this.#isWaiting) return;
    // At the next picture: thousands of pages may come in a second.
    this.#isWaiting = true;
    requestAnimationFrame(() => {
      this.#isWaiting = false;
      this.state.set(this.#now);
    });
  }

  #end(part: Partial<RunState>): void {
    this.#now = { ...this.#now, ...part, tookMs: performance.now() - this.#began };
    this.state.set(this.#now);
  }
}

/** The transaction after an error, as far as the error tells. */
function stateOf(error: unknown): TxState | undefined {
  if (!(error instanceof RpcError)) return undefined;
  if (error.type === "TransactionLost") return "ended";
  return (error.details as { readonly tx_state?: TxState } | null | undefined)?.tx_state;
}
