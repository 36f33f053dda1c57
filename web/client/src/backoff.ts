/** How long to wait before connecting again, so that no page hammers a server that is down, that refuses, or that ends
 * each connection at once. Chromium delays the sockets of a page that has failed often by up to 5 s, also the first one
 * after the server is back; these pauses keep a page below that for as long as a server takes to restart. */

import type { RpcError } from "./errors.js";

const FIRST_MS = 100;
const MOST_MS = 10_000;

/** A connection that lasts so long counts as useful, whether or not anything has arrived over it. */
const CALM_MS = 10_000;

/** The longest wait that a server may ask for. */
const RETRY_AFTER_MOST_MS = 3_600_000;

/** The pauses of one client between its attempts to connect. */
export class Pauses {
  #failures = 0;
  #since = 0;

  /**
   * @param now - returns the time in milliseconds.
   * @param chance - returns a random number between 0 and 1.
   */
  constructor(
    readonly now: () => number = () => performance.now(),
    readonly chance: () => number = Math.random,
  ) {}

  /** Returns the pause before the first attempt: 0, unless the last connections were of no use. */
  beforeFirstMs(): number {
    return this.#failures === 0 ? 0 : this.#pauseMs();
  }

  /** Notes that an attempt has failed, and returns the pause before the next one. */
  afterFailureMs(error: RpcError): number {
    this.#failures++;
    return Math.min(error.retryAfterMs ?? 0, RETRY_AFTER_MOST_MS) + this.#pauseMs();
  }

  /** Notes that a connection was made. */
  noteConnection(): void {
    this.#since = this.now();
  }

  /** Notes that the connection has ended. One that ends at once, and was of no use, counts as a failure. */
  noteLoss(isUseful: boolean): void {
    this.#failures = isUseful || this.now() - this.#since >= CALM_MS ? 0 : this.#failures + 1;
  }

  /** Forgets the failures: their error has reached the caller. */
  forgetFailures(): void {
    this.#failures = 0;
  }

  #pauseMs(): number {
    const ceiling = Math.min(FIRST_MS * 2 ** Math.min(this.#failures, 16), MOST_MS);
    return ceiling * (0.5 + this.chance() / 2);
  }
}
