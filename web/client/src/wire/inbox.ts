/** Keeps the items of a stream that have arrived, until its reader takes them. */

import { LocalProtocolError, type RpcError } from "../errors.js";
import type { IncomingStream } from "./credit.js";

/** What an inbox needs of the connection. */
export interface InboxHost {
  /** Notes that the reader has consumed items. */
  consumed(stream: IncomingStream, items: number): void;
  /** Tells the producer that the reader wants no more. */
  dropped(stream: IncomingStream): void;
}

/** A place in the queue of items. */
export type Taken = { readonly done: false; readonly value: unknown } | { readonly done: true };

/** The items of one stream. */
export class Inbox {
  #items: unknown[] = [];
  #first = 0;
  #error: RpcError | undefined;
  #wake: (() => void) | undefined;
  #isOver = false;
  /** Called once at the end, whatever it is. */
  onEnd: (() => void) | undefined;

  /**
   * @param host - the connection.
   * @param stream - the stream, as the session sees it.
   * @param isLatest - whether the reader wants only the newest item.
   */
  constructor(
    readonly host: InboxHost,
    readonly stream: IncomingStream,
    readonly isLatest: boolean,
  ) {}

  /** Takes items that have arrived. */
  put(items: readonly unknown[]): void {
    if (this.#isOver) return;
    for (const item of items) this.#items.push(item);
    if (this.isLatest) {
      const old = this.#items.length - this.#first - 1;
      this.#first += old;
      if (old > 0) this.host.consumed(this.stream, old);
    }
    this.#wake?.();
  }

  /** Notes that no more items come, and with which error. */
  end(error: RpcError | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#error = error;
    this.onEnd?.();
    this.#wake?.();
  }

  /** Throws the items away, and tells the producer that the reader wants no more. */
  drop(): void {
    this.#items = [];
    this.#first = 0;
    this.#error = undefined;
    if (this.#isOver) return;
    this.end(undefined);
    this.host.dropped(this.stream);
  }

  /** Throws the items away, tells the producer that nobody wants more, and gives the reader an error. */
  abandon(error: RpcError): void {
    if (this.#isOver) return;
    this.#items = [];
    this.#first = 0;
    this.end(error);
    this.host.dropped(this.stream);
  }

  /** Waits for the next item.
   * @throws RpcError: the stream has ended with this error. */
  async take(): Promise<Taken> {
    while (this.#first === this.#items.length) {
      if (this.#isOver) {
        const error = this.#error;
        this.#error = undefined;
        if (error !== undefined) throw error;
        return { done: true };
      }
      if (this.#wake !== undefined) throw new LocalProtocolError("one stream is read twice at the same time");
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
    const value = this.#items[this.#first];
    this.#items[this.#first++] = undefined;
    if (this.#first >= 64) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    if (!this.#isOver) this.host.consumed(this.stream, 1);
    return { done: false, value };
  }
}
