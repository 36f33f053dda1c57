/** Makes one call, or reads one stream, and tells what comes of it. */

import { RpcError, type CallOptions, type Client, type Progress, type RpcStream, type ServiceStub } from "@remote-services/client";
import { database } from "@remote-services/client/stubs/database";
import { hardware } from "@remote-services/client/stubs/hardware";
import { programs } from "@remote-services/client/stubs/programs";
import { isStream, type Method } from "./document.ts";

/** What has come of a call so far. */
export interface Run {
  readonly state: "running" | "done" | "failed" | "stopped";
  /** The result of a call. */
  readonly result?: unknown;
  /** The newest items of a stream. */
  readonly items: readonly unknown[];
  /** How many items have come in all. */
  readonly count: number;
  readonly error?: unknown;
  readonly progress?: Progress;
  /** How long it has taken, in milliseconds. */
  readonly tookMs: number;
}

/** The services whose types are known: bytes, rows and exact values come as what they are. */
const STUBS: readonly ServiceStub<unknown>[] = [database, hardware, programs];

type StubFunction = (params: Readonly<Record<string, unknown>>, options: CallOptions) => unknown;

/** Returns the function of a stub that makes a call; undefined for a service without a stub. */
function findFunction(client: Client, method: string): StubFunction | undefined {
  const [service = "", name = ""] = method.split(".");
  const stub = STUBS.find((each) => each.name === service);
  if (stub === undefined) return undefined;
  return (client.service(stub) as Readonly<Record<string, StubFunction | undefined>>)[name];
}

/** How many items of a stream are kept. */
export const KEPT_ITEMS = 500;

/** Makes one call. */
export class CallRunner {
  readonly #abort = new AbortController();
  readonly #began = performance.now();
  #run: Run = { state: "running", items: [], count: 0, tookMs: 0 };
  #isWaiting = false;

  constructor(
    readonly client: Client,
    readonly method: Method,
    readonly params: Readonly<Record<string, unknown>>,
    readonly onChange: (run: Run) => void,
  ) {}

  /** Makes the call, and returns when it is over. */
  async start(): Promise<void> {
    this.onChange(this.#run);
    try {
      if (isStream(this.method)) await this.#read();
      else this.#change({ result: await this.#call(), state: "done" });
    } catch (error) {
      const isStopped = this.#abort.signal.aborted && error instanceof RpcError && error.type === "Cancelled";
      this.#change(isStopped ? { state: "stopped" } : { state: "failed", error });
    }
    this.onChange(this.#run);
  }

  /** Cancels the call, on the server too. */
  stop(): void {
    this.#abort.abort();
  }

  async #call(): Promise<unknown> {
    const streams = this.method.params.filter((each) => each["x-stream"] !== undefined).map((each) => each.name);
    const options = {
      signal: this.#abort.signal,
      timeoutMs: this.method["x-deadline_s"] * 1000,
      progress: (progress: Progress) => { this.#show({ progress }); },
    };
    const act = findFunction(this.client, this.method.name);
    if (act !== undefined) return act(this.params, options);
    return streams.length > 0
      ? this.client.upload(this.method.name, this.params, streams, options)
      : this.client.call(this.method.name, this.params, options);
  }

  async #read(): Promise<void> {
    const options = { signal: this.#abort.signal };
    const act = findFunction(this.client, this.method.name);
    const stream = act === undefined
      ? this.client.stream(this.method.name, this.params, options)
      : (act(this.params, options) as RpcStream<unknown>);
    this.#abort.signal.addEventListener("abort", () => { void stream.close(); });
    const items: unknown[] = [];
    for await (const item of stream) {
      items.push(item);
      if (items.length > KEPT_ITEMS) items.splice(0, items.length - KEPT_ITEMS);
      this.#show({ items: [...items], count: this.#run.count + 1 });
    }
    this.#change({ state: this.#abort.signal.aborted ? "stopped" : "done" });
  }

  #change(part: Partial<Run>): void {
    this.#run = { ...this.#run, ...part, tookMs: performance.now() - this.#began };
  }

  /** Tells of a change at the next picture, since thousands of items may come in one. */
  #show(part: Partial<Run>): void {
    this.#change(part);
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    requestAnimationFrame(() => {
      this.#isWaiting = false;
      this.onChange(this.#run);
    });
  }
}
