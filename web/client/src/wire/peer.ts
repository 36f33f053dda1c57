/** Drives a session over a link: makes calls, carries streams, and runs what this side offers. */

import type { Frame } from "../codec/form.js";
import {
  Cancelled, ConnectionLost, DeadlineExceeded, errorOf, InvalidParams, isRecord, NotSent, RemoteProtocolError, RpcError,
  type Executed, type WireError,
} from "../errors.js";
import type { IncomingStream, OutgoingStream } from "./credit.js";
import { Handlers, toRpcError, type HandlerHost, type Offers } from "./handlers.js";
import { Inbox, type InboxHost } from "./inbox.js";
import type { CallContext, IncomingCall, Params, Progress, SessionEvent } from "./messages.js";
import type { Session } from "./session.js";
import { Upload, type Source, type UploadHost } from "./upload.js";

/** The way to the other side. */
export interface Link {
  /** The bytes that wait to be sent. */
  readonly bufferedAmount: number;
  /** Whether it takes output. */
  readonly isOpen: boolean;
  /** Sends a frame. */
  send(frame: Frame): void;
  /** Closes it. What was sent before arrives first. */
  close(code: number, reason: string): void;
}

/** What a call may have besides its method and its parameters. */
export interface PeerCall {
  readonly method: string;
  readonly params: Params;
  readonly ctx: CallContext;
  /** How long to wait for the answer, in milliseconds. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((progress: Progress) => void) | undefined;
  /** Whether the answer is a stream, and how it is read. */
  readonly reads?: { readonly window: number | undefined; readonly isLatest: boolean } | undefined;
  /** The streams among the parameters, by name, and what is sent of an item. */
  readonly uploads?: Readonly<Record<string, { readonly source: Source; dump(item: unknown): unknown }>> | undefined;
  /** The class of each error that the method declares. */
  readonly toError?: ((error: WireError) => RpcError) | undefined;
}

interface Pending {
  readonly call: PeerCall;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: RpcError) => void;
  readonly release: () => void;
  uploads: Upload[];
  isAbandoned: boolean;
}

/** If more output waits in the socket, nothing more is given to it. */
const HIGH_WATER_BYTES = 1024 * 1024;

/** How often to look whether the socket has sent its output, in milliseconds: no event tells. */
const DRAIN_MS = 4;

/** How much later than the other side this side gives a call up, so that the other side's answer comes first. */
const GRACE_MS = 100;

const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** One side of a connection. */
export class Peer implements InboxHost, UploadHost, HandlerHost {
  /** When a frame last arrived, on the clock of `performance.now`. */
  heardAt = performance.now();
  /** Whether a frame has arrived. */
  hasReceived = false;
  readonly #pending = new Map<number, Pending>();
  readonly #inboxes = new Map<string, Inbox>();
  readonly #uploads = new Map<string, Upload>();
  readonly #handlers: Handlers;
  #isFlushDue = false;
  #drainTimer: ReturnType<typeof setTimeout> | undefined;
  #waiters: (() => void)[] = [];

  /**
   * @param session - the protocol.
   * @param link - the way to the other side.
   * @param offers - what this side offers.
   * @param log - gets a line for each rule that the other side breaks, and for each bug of a handler.
   */
  constructor(
    readonly session: Session,
    readonly link: Link,
    offers: Offers,
    readonly log: (text: string, error?: unknown) => void,
  ) {
    this.#handlers = new Handlers(this, offers);
  }

  /** Whether calls can be sent. */
  get isOpen(): boolean {
    return this.link.isOpen && !this.session.isClosed;
  }

  /** Whether the connection takes more output at once. */
  get isWritable(): boolean {
    return this.#drainTimer === undefined;
  }

  /** Whether a call of ours waits for its answer. */
  get isWaiting(): boolean {
    return this.#pending.size > 0;
  }

  // --- sending ---

  /** Sends the output once the present code has run, so that everything of one turn goes in one frame. */
  flushSoon(): void {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    queueMicrotask(() => {
      this.flush();
    });
  }

  /** Gives the socket as much output as it may have. */
  flush(): void {
    this.#isFlushDue = false;
    if (this.session.isClosed || !this.link.isOpen) return;
    const room = HIGH_WATER_BYTES - this.link.bufferedAmount;
    if (room > 0 && this.session.hasOutput) for (const frame of this.session.frames(room)) this.link.send(frame);
    const isFull = this.session.hasOutput || this.link.bufferedAmount >= HIGH_WATER_BYTES;
    if (isFull) {
      this.#drainTimer ??= setTimeout(() => {
        this.#drainTimer = undefined;
        this.flush();
      }, DRAIN_MS);
    } else if (this.#drainTimer === undefined) {
      this.#wakeWriters();
    }
  }

  #wakeWriters(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }

  /** Waits until the connection takes more output, or has ended. */
  async waitWritable(): Promise<void> {
    if (this.#isFlushDue) this.flush();
    while (!this.isWritable && !this.session.isClosed) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  // --- our calls ---

  /** Makes a call. The promise gets the result, or an `Inbox` if the answer is a stream.
   * @throws RpcError: in the promise. `NotSent` is for a call that never left this side. */
  call(call: PeerCall): Promise<unknown> {
    return new Promise((resolve, reject: (error: RpcError) => void) => {
      try {
        this.#begin(call, resolve, reject);
      } catch (error) {
        reject(error as RpcError);
      }
    });
  }

  #begin(call: PeerCall, resolve: (value: unknown) => void, reject: (error: RpcError) => void): void {
    if (!this.isOpen) throw new NotSent("the connection has ended");
    if (call.signal?.aborted === true) throw abortError(call.signal, "no");
    const streams: [OutgoingStream, { readonly source: Source; dump(item: unknown): unknown }][] = [];
    let { params } = call;
    let id: number;
    try {
      if (call.uploads !== undefined) {
        const named: Record<string, unknown> = { ...(params as Record<string, unknown>) };
        for (const [name, upload] of Object.entries(call.uploads)) {
          checkSource(name, upload.source);
          const stream = this.session.streams.open();
          streams.push([stream, upload]);
          named[name] = { stream: stream.id };
        }
        params = named;
      }
      id = this.session.call(call.method, params, call.ctx);
    } catch (error) {
      for (const [stream] of streams) this.session.streams.withdraw(stream);
      throw error;
    }
    this.#track(id, call, resolve, reject, streams);
  }

  #track(
    id: number,
    call: PeerCall,
    resolve: (value: unknown) => void,
    reject: (error: RpcError) => void,
    streams: readonly (readonly [OutgoingStream, { readonly source: Source; dump(item: unknown): unknown }])[],
  ): void {
    const onAbort = (): void => {
      this.#giveUp(id, abortError(call.signal, "unknown"));
    };
    const timer =
      call.timeoutMs + GRACE_MS < LONGEST_TIMER_MS
        ? setTimeout(() => {
            this.#giveUp(id, new DeadlineExceeded("the answer did not come in time; the call was cancelled"));
          }, call.timeoutMs + GRACE_MS)
        : undefined;
    call.signal?.addEventListener("abort", onAbort, { once: true });
    const release = (): void => {
      clearTimeout(timer);
      call.signal?.removeEventListener("abort", onAbort);
    };
    const uploads = streams.map(([stream, { source, dump }]) => {
      const upload = new Upload(this, stream, source, dump, (error) => {
        if (!(error instanceof RpcError)) this.log(`a stream of ${call.method} has failed`, error);
        return toRpcError(error);
      });
      this.#uploads.set(stream.id, upload);
      return upload;
    });
    this.#pending.set(id, { call, resolve, reject, release, uploads, isAbandoned: false });
    this.flushSoon();
    for (const upload of uploads) void upload.run();
  }

  /** Ends a call for its caller, and cancels it on the other side. */
  #giveUp(id: number, error: RpcError): void {
    const pending = this.#pending.get(id);
    if (pending === undefined || pending.isAbandoned) return;
    pending.isAbandoned = true;
    pending.release();
    for (const upload of pending.uploads) upload.stop();
    if (!this.session.cancel(id)) this.#pending.delete(id);
    this.flushSoon();
    pending.reject(error);
  }

  /** Sends a notification.
   * @throws RpcError: it cannot be sent. */
  notify(method: string, params: Params): void {
    if (!this.isOpen) throw new NotSent("the connection has ended");
    this.session.notify(method, params);
    this.flushSoon();
  }

  // --- streams, for inboxes and uploads ---

  consumed(stream: IncomingStream, items: number): void {
    this.session.streams.consume(stream, items);
    if (this.session.hasOutput) this.flushSoon();
  }

  dropped(stream: IncomingStream): void {
    this.#inboxes.delete(stream.id);
    if (this.session.isClosed) return;
    this.session.streams.cancel(stream);
    this.flushSoon();
  }

  sendItem(stream: OutgoingStream, item: unknown): void {
    if (this.session.isClosed || stream.state !== "open") return;
    this.session.streams.sendItem(stream, item);
    this.flushSoon();
  }

  endStream(stream: OutgoingStream, error: RpcError | undefined): void {
    this.#uploads.delete(stream.id);
    if (this.session.isClosed) return;
    this.session.streams.end(stream, error);
    this.flushSoon();
  }

  #readStream(id: string, window: number | undefined, isLatest: boolean): Inbox {
    const inbox = new Inbox(this, this.session.streams.accept(id, window), isLatest);
    this.#inboxes.set(id, inbox);
    this.flushSoon();
    return inbox;
  }

  // --- answers, for handlers ---

  reply(call: IncomingCall, result: unknown): void {
    const failure = this.session.reply(call, result);
    if (failure !== undefined) this.log(`the answer of ${call.method} cannot be sent`, failure);
    this.flushSoon();
  }

  async replyStream(call: IncomingCall, source: AsyncIterable<unknown>): Promise<void> {
    if (this.session.isClosed) return;
    let stream: OutgoingStream;
    try {
      stream = this.session.replyStream(call);
    } catch (error) {
      this.replyError(call, toRpcError(error));
      return;
    }
    const upload = new Upload(this, stream, source, (item) => item, (error) => {
      if (!(error instanceof RpcError)) this.log(`the stream of ${call.method} has failed`, error);
      return toRpcError(error);
    });
    this.#uploads.set(stream.id, upload);
    this.flushSoon();
    await upload.run();
  }

  replyError(call: IncomingCall, error: RpcError): void {
    this.session.replyError(call, error);
    this.flushSoon();
  }

  progress(call: IncomingCall, progress: Progress): void {
    this.session.progress(call, progress);
    this.flushSoon();
  }

  readStream(reference: unknown): Inbox {
    if (!isRecord(reference) || typeof reference["stream"] !== "string") throw new InvalidParams("must be a stream");
    return this.#readStream(reference["stream"], undefined, false);
  }

  warn(text: string, error?: unknown): void {
    this.log(text, error);
  }

  // --- what arrives ---

  /** Handles one frame. */
  receive(frame: Frame): void {
    this.heardAt = performance.now();
    this.hasReceived = true;
    for (const event of this.session.receive(frame)) this.#on(event);
    if (this.session.hasOutput) this.flushSoon();
  }

  #on(event: SessionEvent): void {
    switch (event.kind) {
      case "result":
        this.#onResult(event.id, event.value);
        break;
      case "error":
        this.#onError(event.id, event.error);
        break;
      case "items":
        this.#inboxes.get(event.stream)?.put(event.items);
        break;
      case "end": {
        const inbox = this.#inboxes.get(event.stream);
        this.#inboxes.delete(event.stream);
        inbox?.end(event.error === undefined ? undefined : errorOf(event.error));
        break;
      }
      case "call":
        this.#handlers.start(event.call);
        break;
      case "notification":
        this.#handlers.notify(event.method, event.params);
        break;
      case "cancel":
        this.#handlers.cancel(event.call);
        break;
      case "credit":
        this.#uploads.get(event.stream)?.onCredit();
        break;
      case "unwanted":
        this.#uploads.get(event.stream)?.stop();
        break;
      case "progress":
        this.#onProgress(event.id, event.progress);
        break;
      case "violation":
        this.log(`the other side has broken a rule: ${event.error.message}`);
        break;
    }
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.release();
    return pending;
  }

  #onResult(id: number, value: unknown): void {
    const pending = this.#settle(id);
    if (pending === undefined) return;
    const { reads, signal } = pending.call;
    if (reads === undefined) {
      for (const upload of pending.uploads) upload.stop();
      pending.resolve(value);
      return;
    }
    try {
      if (!isRecord(value) || typeof value["stream"] !== "string") {
        throw new RemoteProtocolError("the answer is no stream: use call() for this method", { executed: "yes" });
      }
      const inbox = this.#readStream(value["stream"], reads.window, reads.isLatest);
      const onAbort = (): void => {
        inbox.abandon(abortError(signal, "yes"));
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      inbox.onEnd = () => {
        signal?.removeEventListener("abort", onAbort);
        for (const upload of pending.uploads) upload.stop();
      };
      if (pending.isAbandoned) inbox.drop();
      else pending.resolve(inbox);
    } catch (error) {
      this.#fail(pending, error as RpcError);
    }
  }

  #onError(id: number, error: WireError): void {
    const pending = this.#settle(id);
    if (pending !== undefined) this.#fail(pending, (pending.call.toError ?? errorOf)(error));
  }

  #fail(pending: Pending, error: RpcError): void {
    for (const upload of pending.uploads) upload.stop();
    pending.reject(error);
  }

  #onProgress(id: number, progress: Progress): void {
    const pending = this.#pending.get(id);
    if (pending?.call.progress === undefined || pending.isAbandoned) return;
    try {
      pending.call.progress(progress);
    } catch (error) {
      this.log(`the progress function of ${pending.call.method} has failed`, error);
    }
  }

  // --- the end ---

  /** Ends everything, because the connection has ended. */
  linkLost(reason: string): void {
    if (this.session.isClosed) return;
    const unsent = new Set(this.session.close().unsent);
    clearTimeout(this.#drainTimer);
    this.#drainTimer = undefined;
    for (const [id, pending] of this.#pending) {
      pending.release();
      this.#fail(
        pending,
        unsent.has(id)
          ? new NotSent("the connection ended before the call was sent")
          : new ConnectionLost(`the connection ended before the answer came (${reason})`),
      );
    }
    this.#pending.clear();
    for (const inbox of [...this.#inboxes.values()]) {
      inbox.end(new ConnectionLost("the connection broke while the stream was being read", { executed: "yes" }));
    }
    this.#inboxes.clear();
    for (const upload of [...this.#uploads.values()]) upload.stop();
    this.#handlers.abortAll();
    this.#wakeWriters();
  }
}

/** Makes the error for a call that its caller has given up. */
export function abortError(signal: AbortSignal | undefined, executed: Executed): Cancelled {
  return new Cancelled("the call was cancelled by its signal", { executed, cause: signal?.reason as unknown });
}

function checkSource(name: string, source: unknown): void {
  const isSource =
    typeof source === "object" && source !== null && (Symbol.asyncIterator in source || Symbol.iterator in source);
  if (!isSource) {
    throw new InvalidParams(`${name}: must be iterable`, { errors: [{ loc: [name], msg: "must be iterable" }] });
  }
}
