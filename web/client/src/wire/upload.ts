/** Sends the items of a stream that this side produces. */

import type { RpcError } from "../errors.js";
import type { OutgoingStream } from "./credit.js";

/** Whatever gives items, at once or later. */
export type Source<T = unknown> = AsyncIterable<T> | Iterable<T>;

/** What an upload needs of the connection. */
export interface UploadHost {
  /** Waits until the connection takes more output. */
  waitWritable(): Promise<void>;
  /** Sends an item. */
  sendItem(stream: OutgoingStream, item: unknown): void;
  /** Ends the stream. */
  endStream(stream: OutgoingStream, error: RpcError | undefined): void;
}

/** The sending of one stream. */
export class Upload {
  #iterator: AsyncIterator<unknown> | Iterator<unknown> | undefined;
  #wake: (() => void) | undefined;
  #isOver = false;


  /**
   * @param host - the connection.
   * @param stream - the stream, as the session sees it.
   * @param source - the items.
   * @param dump - makes what is sent of an item.
   * @param toError - makes the error that the reader gets of what the source has thrown.
   */
  constructor(
    readonly host: UploadHost,
    readonly stream: OutgoingStream,
    readonly source: Source,
    readonly dump: (item: unknown) => unknown,
    readonly toError: (error: unknown) => RpcError,
  ) {}

  /** Sends all items, and ends the stream. It throws nothing. */
  async run(): Promise<void> {
    const { host, stream } = this;
    let error: RpcError | undefined;
    try {
      await host.waitWritable(); // No item is taken before the call has left: it might have to be sent again.
      if (!this.#isStopped()) {
        this.#iterator = Symbol.asyncIterator in this.source
          ? this.source[Symbol.asyncIterator]()
          : this.source[Symbol.iterator]();
        for (;;) {
          await this.#waitForCredit();
          if (this.#isStopped()) break;
          const next = await this.#iterator.next();
          if (next.done === true || this.#isStopped()) break;
          await host.waitWritable();
          host.sendItem(stream, this.dump(next.value));
        }
      }
    } catch (thrown) {
      error = this.toError(thrown);
    }
    const wasStopped = this.#isOver;
    this.#isOver = true;
    host.endStream(stream, wasStopped ? undefined : error);
    await this.#closeSource();
  }

  /** Goes on: the reader has granted credit. */
  onCredit(): void {
    this.#wake?.();
  }

  /** Stops: the reader wants no more, or the call is over. The source is closed. */
  stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#wake?.();
    this.host.endStream(this.stream, undefined);
    void this.#closeSource();
  }

  /** Whether nothing more is to be sent. A method, since it changes while items are waited for. */
  #isStopped(): boolean {
    return this.#isOver;
  }

  async #waitForCredit(): Promise<void> {
    while (this.stream.credit <= 0 && !this.#isOver) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
  }

  async #closeSource(): Promise<void> {
    const iterator = this.#iterator;
    this.#iterator = undefined;
    try {
      await iterator?.return?.();
    } catch {
      // The reader has its items, and nobody waits for what closing a source throws.
    }
  }
}
