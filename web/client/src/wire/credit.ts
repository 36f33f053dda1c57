/** The two ends of a stream, as the session sees them: each counts its credit, and knows the state of the stream. */

import type { Encoded } from "../codec/form.js";
import { InvalidParams } from "../errors.js";

/** The items that the producer of a new stream may send before its reader grants more. */
export const INITIAL_CREDIT = 16;

const MAX_CREDIT = 2 ** 31 - 1;

/** The state of a stream. A cancelled one waits for its producer's end. */
export type StreamState = "open" | "cancelled" | "ended";

/** A stream that this side produces. */
export class OutgoingStream {
  credit = INITIAL_CREDIT;
  state: StreamState = "open";
  /** Items that are in no message yet, and their size. */
  pending: Encoded[] = [];
  pendingBytes = 0;
  pendingNodes = 0;

  constructor(readonly id: string) {}

  /** Adds credit that the reader has granted. */
  grant(items: number): void {
    this.credit = Math.min(this.credit + items, MAX_CREDIT);
  }
}

/** A stream that this side reads. */
export class IncomingStream {
  state: StreamState = "open";
  readonly window: number;
  #credit = INITIAL_CREDIT;
  #consumed = 0;
  /** For a window below the initial credit, this part of the initial credit is never granted again. */
  #surplus: number;

  /** @param window - the number of items that the producer may be ahead of the reader. */
  constructor(
    readonly id: string,
    window: number,
  ) {
    this.window = Math.max(window, 1);
    this.#surplus = Math.max(INITIAL_CREDIT - this.window, 0);
  }

  /** Returns the credit to grant at once, besides the initial one. */
  firstGrant(): number {
    const extra = Math.max(this.window - INITIAL_CREDIT, 0);
    this.#credit += extra;
    return extra;
  }

  /** Counts items that have arrived. Returns whether the producer was allowed to send them. */
  count(items: number): boolean {
    this.#credit -= items;
    return this.#credit >= 0;
  }

  /** Counts items that the reader has consumed. Returns how many to grant now. */
  consume(items: number): number {
    const surplus = Math.min(items, this.#surplus);
    this.#surplus -= surplus;
    this.#consumed += items - surplus;
    if (this.state !== "open" || this.#consumed * 2 < this.window) return 0;
    const grant = this.#consumed;
    this.#consumed = 0;
    this.#credit += grant;
    return grant;
  }
}

/** Makes sure that a window is a number of items.
 * @throws InvalidParams: it is not. */
export function checkWindow(window: number | undefined): void {
  if (window !== undefined && !(Number.isInteger(window) && window > 0 && window <= MAX_CREDIT)) {
    throw new InvalidParams(`window: must be a number of items from 1 to ${MAX_CREDIT.toString()}`);
  }
}
