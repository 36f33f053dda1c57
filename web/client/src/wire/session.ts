/** The protocol, without I/O: frames in, events out; calls in, frames out.
 *
 * A session pairs answers with calls, counts the credit of streams, and reports what the other side does. It knows no
 * socket, no clock and no promise: a driver gives it each frame that arrives, and sends the frames that it has ready. */

import type { Encoded, Form, Frame } from "../codec/form.js";
import {
  Busy, InternalError, InvalidParams, InvalidRequest, isRecord, LocalProtocolError, textOf, TooLarge, Unavailable,
  wireErrorOf, type RpcError,
} from "../errors.js";
import { COALESCE_BYTES, FRAME_MESSAGES, type SessionLimits } from "./limits.js";
import { violation, type CallContext, type IncomingCall, type MessageId, type Params, type Progress, type SessionEvent } from "./messages.js";
import { StreamTable } from "./streams.js";

/** A message that waits to be sent, and the call that it makes, if it makes one. */
interface Waiting {
  readonly data: Encoded;
  readonly bytes: number;
  readonly call?: number;
}

/** The ids of our calls without an answer at the end of a connection. */
export interface Unanswered {
  /** Those that were never sent. */
  readonly unsent: readonly number[];
  /** Those that were sent. */
  readonly lost: readonly number[];
}

/** One side of a connection. */
export class Session {
  limits: SessionLimits;
  readonly streams: StreamTable;
  isClosed = false;
  /** Whether new calls of the other side are refused, because this side stops. */
  isDraining = false;
  #lastId = 0;
  readonly #outbox: Waiting[] = [];
  readonly #outgoing = new Set<number>();
  readonly #incoming = new Map<MessageId, IncomingCall>();

  constructor(
    readonly form: Form,
    limits: SessionLimits,
  ) {
    this.limits = limits;
    this.streams = new StreamTable(form, () => this.limits, (data) => this.#outbox.push({ data, bytes: data.bytes }));
  }

  // --- questions of the driver ---

  /** Whether anything waits to be sent. */
  get hasOutput(): boolean {
    return this.#outbox.length > 0 || this.streams.hasItems;
  }

  /** The calls of ours that have no answer yet. */
  get callsRunning(): number {
    return this.#outgoing.size;
  }

  /** Returns what waits to be sent, as whole frames, until they have so many bytes. They count as sent. */
  frames(mostBytes: number): Frame[] {
    this.streams.flush();
    const frames: Frame[] = [];
    let total = 0;
    while (this.#outbox.length > 0 && total < mostBytes) {
      let count = 0;
      let size = 0;
      const most = Math.min(COALESCE_BYTES, this.limits.messageBytes, this.limits.messageNodes);
      for (const message of this.#outbox) {
        if (count > 0 && (size + message.bytes > most || count >= FRAME_MESSAGES)) break;
        size += message.bytes + 1;
        count++;
      }
      frames.push(this.form.join(this.#outbox.splice(0, count).map((message) => message.data)));
      total += size;
    }
    return frames;
  }

  /** Ends the session, because its connection has ended. */
  close(): Unanswered {
    this.isClosed = true;
    const waiting = new Set(this.#outbox.flatMap((message) => (message.call === undefined ? [] : [message.call])));
    const unsent = [...this.#outgoing].filter((id) => waiting.has(id));
    const lost = [...this.#outgoing].filter((id) => !waiting.has(id));
    this.#outbox.length = 0;
    this.#outgoing.clear();
    this.#incoming.clear();
    this.streams.clear();
    return { unsent, lost };
  }

  // --- our calls ---

  /** Calls a method of the other side. Returns the id of the call.
   * @throws InvalidParams: the parameters cannot be sent.
   * @throws TooLarge: the message is beyond a limit. */
  call(method: string, params: Params, ctx: CallContext | undefined): number {
    this.#checkOpen();
    const id = this.#lastId + 1;
    const data = this.#encode({ jsonrpc: "2.0", id, method, params: params ?? undefined, ctx });
    this.#lastId = id;
    this.#outgoing.add(id);
    this.#outbox.push({ data, bytes: data.bytes, call: id });
    return id;
  }

  /** Sends a notification.
   * @throws InvalidParams, TooLarge: as of `call`. */
  notify(method: string, params: Params): void {
    this.#checkOpen();
    const data = this.#encode({ jsonrpc: "2.0", method, params: params ?? undefined });
    this.#outbox.push({ data, bytes: data.bytes });
  }

  /** Asks the other side to end a call of ours. One that was not sent yet is taken back.
   * @returns whether an answer will still come. */
  cancel(id: number): boolean {
    if (!this.#outgoing.has(id)) return false;
    const place = this.#outbox.findIndex((message) => message.call === id);
    if (place >= 0) {
      this.#outbox.splice(place, 1);
      this.#outgoing.delete(id);
      return false;
    }
    this.#control("rpc.cancel", { id });
    return true;
  }

  #checkOpen(): void {
    if (this.isClosed) throw new LocalProtocolError("the session is closed");
  }

  #encode(message: { readonly jsonrpc: string; readonly params: unknown; readonly [name: string]: unknown }): Encoded {
    const { params } = message;
    if (params !== undefined && (typeof params !== "object" || params === null || params instanceof Uint8Array)) {
      throw new InvalidParams("params: must be an object of names or an array");
    }
    let data: Encoded;
    try {
      data = this.form.encode(message);
    } catch (error) {
      throw new InvalidParams(`the parameters cannot be sent: ${textOf(error)}`, { cause: error });
    }
    this.#checkSize(data);
    return data;
  }

  #checkSize(data: Encoded): void {
    const { messageBytes, messageNodes } = this.limits;
    if (data.nodes > messageNodes || data.bytes > messageBytes) {
      const has = data.bytes > messageBytes ? `${data.bytes.toString()} bytes` : `${data.nodes.toString()} values`;
      const limit = data.bytes > messageBytes ? messageBytes : messageNodes;
      const text = `the message has ${has}, and the limit is ${limit.toString()}: send less at once, or use a stream`;
      throw new TooLarge(text, { executed: "no" });
    }
  }

  // --- answers to the other side ---

  /** Answers a call. Returns the error that is sent in place of a result that cannot be sent. */
  reply(call: IncomingCall, result: unknown): RpcError | undefined {
    if (!this.#incoming.delete(call.id)) return undefined;
    try {
      const data = this.form.encode({ jsonrpc: "2.0", id: call.id, result: result ?? null });
      this.#checkSize(data);
      this.#outbox.push({ data, bytes: data.bytes });
      return undefined;
    } catch (error) {
      const text = `the answer cannot be sent: ${textOf(error)}`;
      const failure =
        error instanceof TooLarge
          ? new TooLarge(error.message, { executed: "yes" })
          : new InternalError(text, { executed: "yes", cause: error });
      this.#sendError(call.id, failure);
      return failure;
    }
  }

  /** Answers a call with a new stream.
   * @throws Busy: too many streams are open. */
  replyStream(call: IncomingCall): ReturnType<StreamTable["open"]> {
    const stream = this.streams.open();
    this.reply(call, { stream: stream.id });
    return stream;
  }

  /** Answers a call with an error. */
  replyError(call: IncomingCall, error: RpcError): void {
    if (this.#incoming.delete(call.id)) this.#sendError(call.id, error);
  }

  /** Tells the other side how far its call has come. */
  progress(call: IncomingCall, progress: Progress): void {
    if (this.#incoming.has(call.id)) this.#control("rpc.progress", { id: call.id, ...progress });
  }

  #sendError(id: MessageId, error: RpcError): void {
    let data: Encoded;
    try {
      data = this.form.encode({ jsonrpc: "2.0", id, error: error.toWire() });
      this.#checkSize(data);
    } catch {
      const { type, executed, retryable } = error;
      data = this.form.encode({
        jsonrpc: "2.0", id, error: { code: error.code, message: type, data: { type, executed, retryable } },
      });
    }
    this.#outbox.push({ data, bytes: data.bytes });
  }

  #control(method: string, params: Record<string, unknown>): void {
    const data = this.form.encode({ jsonrpc: "2.0", method, params });
    this.#outbox.push({ data, bytes: data.bytes });
  }

  // --- messages of the other side ---

  /** Reads one frame. Handle each event before you ask for the next: a frame may have an answer that names a stream,
   * and the items of that stream. */
  *receive(frame: Frame): Generator<SessionEvent> {
    let messages: unknown[];
    try {
      messages = this.form.decode(frame);
    } catch (error) {
      yield violation(`a frame cannot be read: ${textOf(error)}`);
      return;
    }
    for (const message of messages) {
      if (this.isClosed) return;
      if (!isRecord(message) || message["jsonrpc"] !== "2.0") yield violation("a frame has something that is no message");
      else if (typeof message["method"] === "string") yield* this.#onRequest(message["method"], message);
      else yield* this.#onAnswer(message);
    }
  }

  *#onAnswer(message: Record<string, unknown>): Generator<SessionEvent> {
    const id = message["id"];
    if (typeof id !== "number" || id < 1 || id > this.#lastId) {
      const error = isRecord(message["error"]) ? message["error"]["message"] : undefined;
      yield violation(
        typeof error === "string"
          ? `the other side could not read a message of ours: ${error.slice(0, 200)}`
          : "an answer to a call that was never made",
      );
      return;
    }
    if (!this.#outgoing.delete(id)) return; // Nobody waits for it any more.
    if ("error" in message) yield { kind: "error", id, error: wireErrorOf(message["error"]) };
    else if ("result" in message) yield { kind: "result", id, value: message["result"] };
    else yield { kind: "error", id, error: { code: -32603, message: "the answer has neither result nor error" } };
  }

  *#onRequest(method: string, message: Record<string, unknown>): Generator<SessionEvent> {
    const hasId = "id" in message;
    const id = message["id"];
    const params = message["params"];
    if (hasId && !isMessageId(id)) {
      yield violation("an id is neither a number nor a text");
      return;
    }
    if (params !== undefined && (typeof params !== "object" || params === null || params instanceof Uint8Array)) {
      const error = new InvalidRequest("params: neither an array nor an object (JSON-RPC 2.0, section 4.2)");
      if (hasId) this.#sendError(id as MessageId, error);
      yield { kind: "violation", error };
      return;
    }
    if (controls.has(method)) {
      yield* this.#onControl(method, isRecord(params) ? params : {});
      if (hasId) this.#answerControl(id as MessageId);
      return;
    }
    const given = params as Params;
    if (!hasId) {
      yield { kind: "notification", method, params: given };
      return;
    }
    const call: IncomingCall = {
      id: id as MessageId, method, params: given, ctx: isRecord(message["ctx"]) ? message["ctx"] : {},
    };
    const refusal = this.#refusalOf(call);
    if (refusal !== undefined) {
      this.#sendError(call.id, refusal);
      return;
    }
    this.#incoming.set(call.id, call);
    yield { kind: "call", call };
  }

  #answerControl(id: MessageId): void {
    const data = this.form.encode({ jsonrpc: "2.0", id, result: null });
    this.#outbox.push({ data, bytes: data.bytes });
  }

  #refusalOf(call: IncomingCall): RpcError | undefined {
    if (this.#incoming.has(call.id)) return new InvalidRequest("id: belongs to a call that is still running");
    if (this.#incoming.size >= this.limits.calls) return new Busy("too many calls are under way on this connection");
    return this.isDraining ? new Unavailable("the client is closing") : undefined;
  }

  *#onControl(method: string, params: Record<string, unknown>): Generator<SessionEvent> {
    const { id, stream } = params;
    if (method === "rpc.cancel") {
      const call = isMessageId(id) ? this.#incoming.get(id) : undefined;
      if (call !== undefined) yield { kind: "cancel", call };
    } else if (method === "rpc.progress") {
      const { done, total, message } = params;
      if (typeof id === "number" && this.#outgoing.has(id) && typeof done === "number") {
        yield {
          kind: "progress",
          id,
          progress: {
            done,
            total: typeof total === "number" ? total : undefined,
            message: typeof message === "string" ? message : undefined,
          },
        };
      }
    } else if (typeof stream === "string") {
      yield* this.streams.receive(method, stream, params);
    } else {
      yield violation(`${method}: stream: must be text`);
    }
  }
}

const controls: ReadonlySet<string> = new Set([
  "rpc.cancel", "rpc.progress", "rpc.stream.item", "rpc.stream.end", "rpc.stream.credit", "rpc.stream.cancel",
]);

function isMessageId(value: unknown): value is MessageId {
  return value === null || typeof value === "number" || typeof value === "string" || typeof value === "bigint";
}
