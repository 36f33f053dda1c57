/** Finds out that a silent connection is dead: the browser's interface has no pings, so `rpc.ping` is called. */

import { DeadlineExceeded } from "./errors.js";
import type { Peer } from "./wire/peer.js";

/** How long a ping may take after a page has woken up, in milliseconds. */
const WAKE_TIMEOUT_MS = 5_000;

/** The heartbeat of one connection. */
export class Heartbeat {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isPinging = false;
  #isStopped = false;

  /**
   * @param peer - the connection.
   * @param intervalMs - the silence after which to ping; 0 for never.
   * @param timeoutMs - how long a ping may stay without an answer while nothing else arrives.
   * @param onDead - called when the other side does not answer.
   */
  constructor(
    readonly peer: Peer,
    readonly intervalMs: number,
    readonly timeoutMs: number,
    readonly onDead: (reason: string) => void,
  ) {
    this.#schedule(intervalMs);
  }

  /** Pings at once, and expects the answer soon, because the page has slept. */
  check(): void {
    if (this.intervalMs > 0) void this.#ping(Math.min(this.timeoutMs, WAKE_TIMEOUT_MS));
  }

  /** Ends the heartbeat. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer);
    if (this.intervalMs <= 0 || this.#isStopped) return;
    this.#timer = setTimeout(() => {
      const silentMs = performance.now() - this.peer.heardAt;
      if (silentMs >= this.intervalMs) void this.#ping(this.timeoutMs);
      else this.#schedule(this.intervalMs - silentMs);
    }, ms);
  }

  async #ping(timeoutMs: number): Promise<void> {
    if (this.#isPinging || this.#isStopped) return;
    this.#isPinging = true;
    const { heardAt } = this.peer;
    try {
      await this.peer.call({ method: "rpc.ping", params: undefined, ctx: { ttl_ms: timeoutMs }, timeoutMs });
    } catch (error) {
      if (error instanceof DeadlineExceeded && this.peer.heardAt === heardAt) {
        this.onDead("a ping was not answered");
        return;
      }
    } finally {
      this.#isPinging = false;
    }
    this.#schedule(this.intervalMs);
  }
}
