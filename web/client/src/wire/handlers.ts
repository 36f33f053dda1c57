/** Runs what this side offers when the other side calls it. */

import { Cancelled, DeadlineExceeded, InternalError, isRecord, MethodNotFound, RpcError, textOf } from "../errors.js";
import type { Inbox } from "./inbox.js";
import type { CallContext, IncomingCall, Params, Progress } from "./messages.js";

/** What a handler is told besides the parameters. */
export interface HandlerContext {
  /** The full name of the method that was called. */
  readonly method: string;
  /** Aborted when the caller cancels, the deadline passes or the connection ends. */
  readonly signal: AbortSignal;
  /** What the caller has sent with the call. */
  readonly ctx: CallContext;
  /** Tells the caller how far the call has come. */
  progress(done: number, total?: number, message?: string): void;
  /** Reads a stream that the caller has put into the parameters. */
  read(reference: unknown): AsyncIterable<unknown>;
}

/** A method that this side offers. It may return an async iterable, whose items are then a stream. */
export type Handler = (params: Params, context: HandlerContext) => unknown;

/** What this side offers: the handlers by the full names of their methods. */
export type Offers = ReadonlyMap<string, Handler>;

/** What handlers need of the connection. */
export interface HandlerHost {
  reply(call: IncomingCall, result: unknown): void;
  /** Answers with a stream. The promise lasts as long as the stream. */
  replyStream(call: IncomingCall, source: AsyncIterable<unknown>): Promise<void>;
  replyError(call: IncomingCall, error: RpcError): void;
  progress(call: IncomingCall, progress: Progress): void;
  readStream(reference: unknown): Inbox;
  warn(text: string, error?: unknown): void;
}

const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The calls of the other side that are under way. */
export class Handlers {
  readonly #running = new Map<IncomingCall, AbortController>();

  constructor(
    readonly host: HandlerHost,
    readonly offers: Offers,
  ) {}

  /** Begins a call. */
  start(call: IncomingCall): void {
    const controller = new AbortController();
    this.#running.set(call, controller);
    const ttlMs = call.ctx.ttl_ms;
    const timer =
      ttlMs !== undefined && ttlMs < LONGEST_TIMER_MS
        ? setTimeout(() => {
            controller.abort(new DeadlineExceeded("the call's time was over", { executed: "yes" }));
          }, ttlMs)
        : undefined;
    const onAnswer = (): void => {
      clearTimeout(timer); // The deadline is that of the answer: a stream goes on after it.
    };
    void this.#run(call.method, call.params, call.ctx, controller.signal, call, onAnswer).finally(() => {
      clearTimeout(timer);
      this.#running.delete(call);
    });
  }

  /** Begins what a notification asks for. */
  notify(method: string, params: Params): void {
    void this.#run(method, params, {}, new AbortController().signal, undefined);
  }

  /** Tells a handler that its caller has cancelled. */
  cancel(call: IncomingCall): void {
    this.#running.get(call)?.abort(new Cancelled("the caller cancelled", { executed: "yes" }));
  }

  /** Tells all handlers that the connection has ended. */
  abortAll(): void {
    for (const controller of this.#running.values()) {
      controller.abort(new Cancelled("the connection has ended", { executed: "yes" }));
    }
  }

  async #run(
    method: string, params: Params, ctx: CallContext, signal: AbortSignal, call: IncomingCall | undefined,
    onAnswer?: () => void,
  ): Promise<void> {
    const { host } = this;
    const handler = this.offers.get(method);
    if (handler === undefined) {
      if (call !== undefined) host.replyError(call, new MethodNotFound(`${method.slice(0, 200)}: not offered here`));
      return;
    }
    const given = new Map<string, Inbox>();
    const context: HandlerContext = {
      method,
      signal,
      ctx,
      progress: (done, total, message) => {
        if (call !== undefined) host.progress(call, { done, total, message });
      },
      read: (reference) => readAll(given.get(idOf(reference) ?? "") ?? host.readStream(reference)),
    };
    try {
      // Their items may come before the handler asks for them.
      for (const value of Object.values(params ?? {})) {
        const id = idOf(value);
        if (id !== undefined) given.set(id, host.readStream(value));
      }
      const result = await handler(params, context);
      onAnswer?.();
      if (call === undefined) return;
      if (signal.aborted) host.replyError(call, signal.reason as RpcError); // Its caller was promised no later answer.
      else if (isAsyncIterable(result)) await host.replyStream(call, result);
      else host.reply(call, result);
    } catch (error) {
      if (call === undefined || !(error instanceof RpcError)) host.warn(`${method} has failed`, error);
      if (call !== undefined) host.replyError(call, signal.aborted ? (signal.reason as RpcError) : toRpcError(error));
    } finally {
      for (const inbox of given.values()) inbox.drop(); // Nobody reads them any more.
    }
  }
}

/** Makes the error that the other side gets of what a handler or a source has thrown. It tells nothing of a bug. */
export function toRpcError(error: unknown): RpcError {
  if (error instanceof RpcError) return error;
  return new InternalError("the handler has failed", { executed: "yes", cause: textOf(error) });
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}

/** Returns the id of a stream among the parameters, if the value is one: an object with this member alone. */
function idOf(value: unknown): string | undefined {
  if (!isRecord(value) || Object.keys(value).length !== 1) return undefined;
  const id = value["stream"];
  return typeof id === "string" && /^s\d+$/.test(id) ? id : undefined;
}

async function* readAll(inbox: Inbox): AsyncGenerator {
  try {
    for (;;) {
      const next = await inbox.take();
      if (next.done) return;
      yield next.value;
    }
  } finally {
    inbox.drop();
  }
}
