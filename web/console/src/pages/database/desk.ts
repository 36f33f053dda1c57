/** What somebody is working at on this page. It stays while other pages are shown, for as long as somebody is signed in: the text, the transaction, and
 * the results. */

import type { Client } from "@remote-services/client";
import { database, type TxState } from "@remote-services/client/stubs/database";
import { tell } from "../../connection.ts";
import { Store } from "../../store.ts";
import { Catalog } from "./catalog.ts";
import type { Params } from "./packed.ts";
import { StatementRun, type RunKind } from "./run.ts";
import { findPlaceholders, seemsToRead, type Statement } from "./sql.ts";
import { leftOf, openTransaction, renewLease, type OpenTransaction, type TransactionWish } from "./transaction.ts";
import { readParameter, type TypedParameter } from "./values.ts";

/** How statements are run: `auto` looks at their words. */
export type Mode = "auto" | "read" | "change";

/** What is on the desk. */
export interface DeskState {
  readonly database: string;
  readonly dialect: string;
  readonly mode: Mode;
  /** Parameters as they were typed, by name or by position. */
  readonly parameters: Readonly<Record<string, TypedParameter>>;
  readonly runs: readonly StatementRun[];
  /** The number of the run that is shown. */
  readonly shown: number;
  readonly isBusy: boolean;
  readonly problem: string;
  readonly transaction?: OpenTransaction | undefined;
  /** Whether an open transaction is kept from being rolled back as unused. */
  readonly isKept: boolean;
  /** What became of the last transaction. */
  readonly news: string;
}

/** How many results are kept. */
const KEPT_RUNS = 20;

/** The desk of one session. */
export class Desk {
  readonly state = new Store<DeskState>({
    database: "", dialect: "", mode: "auto", parameters: {}, runs: [], shown: 0, isBusy: false, problem: "", isKept: false, news: "",
  });
  text = "";
  catalog: Catalog | undefined;
  #number = 0;
  #isStopped = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly client: Client) {
    client.watch((state) => {
      if (state === "closed") this.close();
      if ((state === "lost" || state === "closed") && this.state.value.transaction !== undefined) {
        this.#loseTransaction("The connection was lost, and the server has rolled the transaction back.");
      }
    });
  }

  #change(part: Partial<DeskState>): void {
    this.state.set({ ...this.state.value, ...part });
  }

  /** Stops everything. */
  close(): void {
    this.stop();
    clearTimeout(this.#timer);
  }

  /** Goes to another database. */
  choose(name: string, dialect: string, mayRead: boolean): void {
    if (this.state.value.database === name) return;
    this.#change({ database: name, dialect });
    this.catalog = mayRead ? new Catalog(this.client, name) : undefined;
    void this.catalog?.load();
  }

  setMode(mode: Mode): void {
    this.#change({ mode });
  }

  setParameter(name: string, typed: TypedParameter): void {
    this.#change({ parameters: { ...this.state.value.parameters, [name]: typed } });
  }

  show(number: number): void {
    this.#change({ shown: number });
  }

  /** Takes a result away. */
  drop(run: StatementRun): void {
    run.stop();
    const runs = this.state.value.runs.filter((each) => each !== run);
    this.#change({ runs, shown: this.state.value.shown === run.number ? (runs.at(-1)?.number ?? 0) : this.state.value.shown });
  }

  /** Runs statements, one after another; the first that fails is the last. */
  async run(statements: readonly Statement[], kind?: RunKind): Promise<void> {
    if (this.state.value.isBusy) return;
    this.#isStopped = false;
    this.#change({ isBusy: true, problem: statements.length === 0 ? "There is no statement to run." : "" });
    try {
      for (const statement of statements) {
        const run = this.#makeRun(statement.text, kind);
        const { runs } = this.state.value;
        for (const old of runs.slice(0, Math.max(0, runs.length + 1 - KEPT_RUNS))) old.stop();
        this.#change({ runs: [...runs.slice(-(KEPT_RUNS - 1)), run], shown: run.number });
        await this.#afterRun(run, await run.run(this.client));
        if (this.#hasToStop() || run.state.value.state !== "done") break;
      }
    } catch (error) {
      this.#change({ problem: tell(error) });
    } finally {
      this.#change({ isBusy: false });
    }
  }

  #makeRun(sql: string, kind: RunKind | undefined): StatementRun {
    const { database: name, dialect, mode, transaction } = this.state.value;
    const own: RunKind = kind ?? (mode === "auto" ? (seemsToRead(sql, dialect) ? "read" : "change") : mode);
    return new StatementRun(++this.#number, { database: name, sql, params: this.#readParams(sql), transaction: transaction?.info.id ?? null }, own);
  }

  #readParams(sql: string): Params {
    const { dialect, parameters } = this.state.value;
    const { names, count } = findPlaceholders(sql, dialect);
    const valueOf = (name: string): unknown => readParameter(name, parameters[name] ?? { kind: "text", text: "" });
    if (names.length > 0) return Object.fromEntries(names.map((name) => [name, valueOf(name)]));
    return count === 0 ? null : Array.from({ length: count }, (_, at) => valueOf(String(at + 1)));
  }

  #hasToStop(): boolean {
    return this.#isStopped;
  }

  /** Stops what runs, and what would follow it. */
  stop(): void {
    this.#isStopped = true;
    for (const run of this.state.value.runs) if (run.state.value.state === "running") run.stop();
  }

  async #afterRun(run: StatementRun, state: TxState | undefined): Promise<void> {
    const open = this.state.value.transaction;
    if (run.request.transaction === null || open?.info.id !== run.request.transaction) return;
    if (state === undefined) await this.renew(); // A statement that was stopped leaves the question open.
    else if (state === "ended") this.#loseTransaction("The transaction is over: it was rolled back, unless a statement has committed it.");
    else this.#setTransaction(renewLease(open, state, performance.now()));
  }

  /** Opens a transaction. */
  async begin(wish: Omit<TransactionWish, "database">): Promise<void> {
    await this.#act(async () => {
      this.#setTransaction(await openTransaction(this.client, { ...wish, database: this.state.value.database }));
      this.#change({ news: "" });
    });
  }

  /** Ends the transaction. */
  async end(how: "commit" | "rollback"): Promise<void> {
    const open = this.state.value.transaction;
    if (open === undefined) return;
    await this.#act(async () => {
      try {
        await this.client.service(database)[how]({ transaction: open.info.id });
        this.#loseTransaction(how === "commit" ? "Committed." : "Rolled back.");
      } catch (error) {
        this.#loseTransaction("");
        throw error;
      }
    });
  }

  /** Begins the lease of the transaction anew, and learns its state. */
  async renew(): Promise<void> {
    const open = this.state.value.transaction;
    if (open === undefined) return;
    await this.#act(async () => {
      const sentMs = performance.now();
      try {
        this.#setTransaction(renewLease(open, await this.client.service(database).renew({ transaction: open.info.id }), sentMs));
      } catch (error) {
        this.#loseTransaction("");
        throw error;
      }
    });
  }

  setKept(isKept: boolean): void {
    this.#change({ isKept });
    const open = this.state.value.transaction;
    if (open !== undefined) this.#setTransaction(open);
  }

  #setTransaction(transaction: OpenTransaction): void {
    this.#change({ transaction });
    clearTimeout(this.#timer);
    const { idleS, totalS } = leftOf(transaction, performance.now());
    const isRenewed = this.state.value.isKept && totalS > idleS;
    this.#timer = setTimeout(() => {
      if (this.state.value.isBusy) return; // A statement uses it; its end begins the lease anew.
      if (isRenewed) void this.renew();
      else this.#loseTransaction("The lease is over, and the server has rolled the transaction back.");
    }, 1000 * (isRenewed ? idleS / 2 : idleS));
  }

  #loseTransaction(news: string): void {
    clearTimeout(this.#timer);
    this.#change({ transaction: undefined, news });
  }

  async #act(work: () => Promise<void>): Promise<void> {
    this.#change({ problem: "" });
    try {
      await work();
    } catch (error) {
      this.#change({ problem: tell(error) });
    }
  }
}

const desks = new WeakMap<Client, Desk>();

/** Returns the desk of whoever is signed in, at the server or at a node. It is gone with the client. */
export function deskOf(client: Client): Desk {
  const desk = desks.get(client) ?? new Desk(client);
  desks.set(client, desk);
  return desk;
}
