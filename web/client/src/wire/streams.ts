/** The streams of one connection, in both directions. */

import type { Encoded, Form } from "../codec/form.js";
import {
  Busy, InvalidParams, LocalProtocolError, RemoteProtocolError, textOf, TooLarge, wireErrorOf, type RpcError,
} from "../errors.js";
import { IncomingStream, OutgoingStream } from "./credit.js";
import { ITEMS_BYTES, type SessionLimits } from "./limits.js";
import { violation, type SessionEvent } from "./messages.js";

/** What a message with items has around them, in bytes and in values: more than it ever is. */
const AROUND = 256;

export class StreamTable {
  #last = 0;
  readonly #outgoing = new Map<string, OutgoingStream>();
  readonly #incoming = new Map<string, IncomingStream>();
  readonly #withItems = new Set<OutgoingStream>();

  /**
   * @param form - the form of the wire.
   * @param limits - returns the limits of the session.
   * @param send - takes a message to send.
   */
  constructor(
    readonly form: Form,
    readonly limits: () => SessionLimits,
    readonly send: (data: Encoded) => void,
  ) {}

  /** Whether items wait to be put into messages. */
  get hasItems(): boolean {
    return this.#withItems.size > 0;
  }

  /** The number of streams that have not ended, in both directions. */
  get size(): number {
    return this.#outgoing.size + this.#incoming.size;
  }

  /** Puts the items that wait into messages. */
  flush(): void {
    for (const stream of this.#withItems) this.#flushItems(stream);
    this.#withItems.clear();
  }

  /** Forgets all streams, because the connection has ended. */
  clear(): void {
    this.#outgoing.clear();
    this.#incoming.clear();
    this.#withItems.clear();
  }

  // --- streams that we produce ---

  /** Opens a stream from this side. Its id must reach the reader in a result or a parameter.
   * @throws Busy: too many streams are open. */
  open(): OutgoingStream {
    if (this.#outgoing.size >= this.limits().streams) throw tooManyError(this.limits().streams);
    this.#last++;
    const stream = new OutgoingStream(`c${this.#last.toString()}`);
    this.#outgoing.set(stream.id, stream);
    return stream;
  }

  /** Forgets a new stream whose id was never sent. */
  withdraw(stream: OutgoingStream): void {
    this.#outgoing.delete(stream.id);
  }

  /** Sends one item.
   * @throws LocalProtocolError: the reader has granted no credit, or the stream is not open.
   * @throws InvalidParams: the item cannot be sent.
   * @throws TooLarge: the item is beyond a limit. */
  sendItem(stream: OutgoingStream, item: unknown): void {
    if (stream.state !== "open" || stream.credit <= 0) {
      throw new LocalProtocolError(`the stream ${stream.id} takes no item now`);
    }
    let data: Encoded;
    try {
      data = this.form.encode(item);
    } catch (error) {
      throw new InvalidParams(`an item cannot be sent: ${textOf(error)}`, { cause: error, executed: "yes" });
    }
    const { messageBytes, messageNodes } = this.limits();
    const bytes = data.bytes + 1;
    if (bytes > messageBytes - AROUND || data.nodes > messageNodes - AROUND) {
      const text = `an item of a stream has ${data.bytes.toString()} bytes and ${data.nodes.toString()} values, and is `;
      throw new TooLarge(`${text}beyond the limit: send less at once`, { executed: "yes" });
    }
    const isFull =
      stream.pendingBytes + bytes > Math.min(ITEMS_BYTES, messageBytes - AROUND) ||
      stream.pendingNodes + data.nodes > messageNodes - AROUND;
    if (isFull && stream.pending.length > 0) this.#flushItems(stream);
    stream.credit--;
    stream.pending.push(data);
    stream.pendingBytes += bytes;
    stream.pendingNodes += data.nodes;
    this.#withItems.add(stream);
  }

  /** Ends a stream, with an error or without. Items that were sent before arrive first. */
  end(stream: OutgoingStream, error?: RpcError): void {
    if (!this.#outgoing.delete(stream.id)) return;
    this.#flushItems(stream);
    this.#withItems.delete(stream);
    stream.state = "ended";
    this.#control("rpc.stream.end", { stream: stream.id, error: error?.toWire() });
  }

  #flushItems(stream: OutgoingStream): void {
    if (stream.pending.length === 0) return;
    const { pending } = stream;
    stream.pending = [];
    stream.pendingBytes = stream.pendingNodes = 0;
    this.#control("rpc.stream.item", { stream: stream.id, items: pending });
  }

  // --- streams that we read ---

  /** Begins to read a stream that the other side has named.
   * @throws Busy: too many streams are open.
   * @throws RemoteProtocolError: the id belongs to an open stream. */
  accept(id: string, window?: number): IncomingStream {
    if (this.#incoming.size >= this.limits().streams) throw tooManyError(this.limits().streams);
    if (this.#incoming.has(id)) throw new RemoteProtocolError(`the stream ${id.slice(0, 64)} is open already`);
    const stream = new IncomingStream(id, window ?? this.limits().window);
    this.#incoming.set(id, stream);
    const grant = stream.firstGrant();
    if (grant > 0) this.#control("rpc.stream.credit", { stream: id, n: grant });
    return stream;
  }

  /** Notes that the reader has consumed items. Grants new credit when it has consumed half a window. */
  consume(stream: IncomingStream, items: number): void {
    const grant = stream.consume(items);
    if (grant > 0) this.#control("rpc.stream.credit", { stream: stream.id, n: grant });
  }

  /** Tells the producer that the reader wants no more. Items on their way are dropped; the end still comes. */
  cancel(stream: IncomingStream): void {
    if (stream.state !== "open" || this.#incoming.get(stream.id) !== stream) return;
    stream.state = "cancelled";
    this.#control("rpc.stream.cancel", { stream: stream.id });
  }

  #control(method: string, params: Record<string, unknown>): void {
    this.send(this.form.encode({ jsonrpc: "2.0", method, params }));
  }

  // --- messages of the other side ---

  /** Handles a reserved notification about a stream. */
  *receive(method: string, id: string, params: Record<string, unknown>): Generator<SessionEvent> {
    switch (method) {
      case "rpc.stream.item":
        yield* this.#onItems(id, params["items"]);
        break;
      case "rpc.stream.end":
        yield* this.#onEnd(id, params["error"]);
        break;
      case "rpc.stream.credit": {
        const { n } = params;
        const stream = this.#outgoing.get(id);
        if (typeof n !== "number" || !(n >= 1)) yield violation("rpc.stream.credit: n: must be at least 1");
        else if (stream !== undefined) {
          stream.grant(n);
          yield { kind: "credit", stream: id };
        }
        break;
      }
      default: {
        const stream = this.#outgoing.get(id);
        if (stream?.state !== "open") break;
        stream.state = "cancelled";
        stream.pending = [];
        this.#withItems.delete(stream);
        yield { kind: "unwanted", stream: id };
      }
    }
  }

  *#onItems(id: string, items: unknown): Generator<SessionEvent> {
    const stream = this.#incoming.get(id);
    if (stream === undefined) {
      this.#control("rpc.stream.cancel", { stream: id });
      yield violation(`items for ${id.slice(0, 32)}, a stream that is not open`);
    } else if (!Array.isArray(items)) {
      yield violation("rpc.stream.item: items: must be an array");
    } else if (stream.state === "open") {
      if (stream.count(items.length)) {
        yield { kind: "items", stream: id, items };
        return;
      }
      const error = new RemoteProtocolError(`the stream ${id.slice(0, 64)} sent more items than its reader had granted`);
      this.cancel(stream);
      yield { kind: "end", stream: id, error: error.toWire() };
    }
  }

  *#onEnd(id: string, error: unknown): Generator<SessionEvent> {
    const stream = this.#incoming.get(id);
    if (stream === undefined) {
      yield violation(`the end of ${id.slice(0, 32)}, a stream that is not open`);
      return;
    }
    this.#incoming.delete(id);
    const wasOpen = stream.state === "open";
    stream.state = "ended";
    if (wasOpen) yield { kind: "end", stream: id, error: error == null ? undefined : wireErrorOf(error) };
  }
}

function tooManyError(most: number): Busy {
  return new Busy(`${most.toString()} streams are open on this connection: close some`);
}
