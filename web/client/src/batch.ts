/** Several calls that leave together, in one frame. */

import type { Calls } from "./calls.js";
import { Cancelled, LocalProtocolError, type RpcError } from "./errors.js";
import { DEFAULT_DEADLINE_MS, timeoutOf, type CallOptions } from "./options.js";
import type { Params } from "./wire/messages.js";
import type { Peer } from "./wire/peer.js";

interface Entry {
  readonly method: string;
  readonly params: Params;
  /** Gets the answer of a call; a notification has none. */
  readonly resolve?: (answer: unknown) => void;
  readonly reject?: (error: RpcError) => void;
}

/** Collects calls and notifications, and sends them together. What was not sent when the block of `using batch = …` ends is
 * discarded. */
export class Batch {
  readonly #entries: Entry[] = [];
  #isOver = false;

  /**
   * @param calls - the calls of the client.
   * @param options - those of each call; the deadline is that of all together.
   */
  constructor(
    readonly calls: Calls,
    readonly options: CallOptions,
  ) {}

  /** Adds a call.
   * @returns what `client.call` would, once the batch was sent. An error that nobody asks for is reported nowhere.
   * @throws LocalProtocolError: the batch is over. */
  call<T = unknown>(method: string, params?: Params): Promise<T> {
    this.#checkOpen();
    const answer = new Promise<unknown>((resolve, reject: (error: RpcError) => void) => {
      this.#entries.push({ method, params, resolve, reject });
    });
    answer.catch(() => undefined);
    return answer as Promise<T>;
  }

  /** Adds a notification.
   * @throws LocalProtocolError: the batch is over. */
  notify(method: string, params?: Params): void {
    this.#checkOpen();
    this.#entries.push({ method, params });
  }

  /** Sends everything, and waits until all calls have ended, however that is.
   * @throws RpcError: in the promise. There was no connection, a notification cannot be sent, or the signal was aborted. */
  async send(): Promise<void> {
    this.#checkOpen();
    this.#isOver = true;
    if (this.#entries.length === 0) return;
    const options = { ...this.calls.defaults, ...this.options };
    const until = performance.now() + timeoutOf(options, DEFAULT_DEADLINE_MS);
    let peer: Peer;
    try {
      peer = await this.calls.connector.peer(until, options.signal, options.resend !== false);
    } catch (error) {
      this.#fail(error as RpcError);
      throw error;
    }
    const failures: unknown[] = [];
    const told = { ...this.options, timeoutMs: until - performance.now() };
    const answers = this.#entries.map(async ({ method, params, resolve, reject }) => {
      try {
        if (resolve === undefined) peer.notify(method, params);
        else resolve(await this.calls.call({ name: method }, params, told, peer));
      } catch (error) {
        if (reject === undefined || (error instanceof Cancelled && options.signal?.aborted === true)) failures.push(error);
        reject?.(error as RpcError);
      }
    });
    await Promise.all(answers);
    if (failures.length > 0) throw failures[0] as RpcError;
  }

  /** Gives up what was not sent: its calls fail with `Cancelled`. */
  discard(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#fail(new Cancelled("the batch was discarded, and not sent", { executed: "no" }));
  }

  /** As `discard`, for `using`. */
  [Symbol.dispose](): void {
    this.discard();
  }

  #fail(error: RpcError): void {
    for (const { reject } of this.#entries) reject?.(error);
  }

  #checkOpen(): void {
    if (this.#isOver) throw new LocalProtocolError("the batch is over: make another one");
  }
}
