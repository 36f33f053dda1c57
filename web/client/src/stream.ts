/** A stream that the client reads. */

import { errorOf, type ErrorClass, type RpcError } from "./errors.js";
import type { Inbox } from "./wire/inbox.js";

/** What makes the call of a stream, and reads its items. */
export interface StreamSource<T> {
  /** Makes the call. */
  begin(): Promise<Inbox>;
  /** Reads an item. `isPacked` tells whether it came in MessagePack. */
  load(item: unknown): T;
  /** The classes of the errors that the method declares. */
  readonly errors?: Readonly<Record<string, ErrorClass>> | undefined;
}

/** Streams whose reader is gone end on the server, too. */
const abandoned = new FinalizationRegistry<Inbox>((inbox) => {
  inbox.drop();
});

/** The items of a stream: `for await` reads them, and `break` ends the stream on the server. The call is made when the
 * first item is asked for, or by `open`. */
export class RpcStream<T> implements AsyncIterableIterator<T> {
  #inbox: Promise<Inbox> | undefined;
  #isClosed = false;

  constructor(readonly source: StreamSource<T>) {}

  /** Makes the call, unless it was made before.
   * @throws RpcError: in the promise. The call has failed. */
  async open(): Promise<this> {
    if (!this.#isClosed) await this.#open();
    return this;
  }

  #open(): Promise<Inbox> {
    if (this.#inbox === undefined) {
      this.#inbox = this.source.begin();
      this.#inbox.then(
        (inbox) => {
          if (this.#isClosed) inbox.drop();
          else abandoned.register(this, inbox, inbox);
        },
        () => undefined, // Whoever has opened it is told.
      );
    }
    return this.#inbox;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    if (this.#isClosed && this.#inbox === undefined) return { done: true, value: undefined };
    const inbox = await this.#open();
    let taken;
    try {
      taken = await inbox.take();
    } catch (error) {
      throw declared(error as RpcError, this.source.errors);
    }
    if (taken.done) return { done: true, value: undefined };
    try {
      return { done: false, value: this.source.load(taken.value) };
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    await this.close();
    return { done: true, value: undefined };
  }

  /** Ends the stream. The server stops its work for it. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#inbox === undefined) return;
    let inbox: Inbox;
    try {
      inbox = await this.#inbox;
    } catch {
      return; // Whoever has opened it is told.
    }
    abandoned.unregister(inbox);
    inbox.drop();
  }

  /** Ends the stream, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Turns an error into one of the class that the method declares. */
function declared(error: RpcError, errors: Readonly<Record<string, ErrorClass>> | undefined): RpcError {
  if (errors === undefined || !Object.hasOwn(errors, error.type)) return error;
  return errorOf(error.toWire(), errors);
}
