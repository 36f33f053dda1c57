/** What comes of a call at many nodes. */

import type { GroupEvent, GroupNode, Outcome } from "./group.js";
import type { RpcStream } from "./stream.js";

/** The outcomes of a call, which has been made: `for await` takes each as soon as its node has ended, and `await` waits for
 * all. To leave the loop early cancels the call at the nodes that have not ended. */
export class Outcomes<T = unknown> implements PromiseLike<readonly Outcome<T>[]>, AsyncIterable<Outcome<T>> {
  /** The nodes that are asked; none until the server has told. */
  nodes: readonly GroupNode[] = [];
  /** What has been read so far, in the order in which the nodes have ended. */
  readonly settled: Outcome<T>[] = [];
  readonly #events: RpcStream<GroupEvent<T>>;
  #step: Promise<boolean> | undefined;
  #all: Promise<readonly Outcome<T>[]> | undefined;

  constructor(events: RpcStream<GroupEvent<T>>) {
    this.#events = events;
    events.open().catch(() => undefined); // Whoever reads is told.
  }

  /** The outcomes that are `ok`, of those that were read. */
  get ok(): Outcome<T>[] {
    return this.settled.filter(({ state }) => state === "ok");
  }

  /** The others, of those that were read. */
  get failed(): Outcome<T>[] {
    return this.settled.filter(({ state }) => state !== "ok");
  }

  /** The nodes of which no outcome was read. */
  get missing(): GroupNode[] {
    const known = new Set(this.settled.map(({ id }) => id));
    return this.nodes.filter(({ id }) => !known.has(id));
  }

  /** Waits for all outcomes, in the order in which the nodes end.
   * @throws RpcError: in the promise. No node could be asked; what a node has thrown is in its outcome. */
  then<A = readonly Outcome<T>[], B = never>(
    onValue?: ((value: readonly Outcome<T>[]) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#all ??= this.#readAll();
    return this.#all.then(onValue, onError);
  }

  /** Takes the outcomes. Whoever does it again gets the same again.
   * @throws RpcError: as of `then`. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Outcome<T>, undefined, undefined> {
    let isLeft = true;
    try {
      for (let place = 0; ; place++) {
        while (place >= this.settled.length) {
          if (!(await this.#read())) {
            isLeft = false;
            return undefined;
          }
        }
        const outcome = this.settled[place];
        if (outcome !== undefined) yield outcome;
      }
    } finally {
      if (isLeft) await this.close();
    }
  }

  /** Cancels the call at the nodes that have not ended. */
  async close(): Promise<void> {
    await this.#events.close();
  }

  /** As `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #readAll(): Promise<readonly Outcome<T>[]> {
    while (await this.#read());
    return this.settled;
  }

  /** Reads one outcome, once for all who wait. Returns whether there was one. */
  #read(): Promise<boolean> {
    this.#step ??= this.#readOne();
    return this.#step;
  }

  async #readOne(): Promise<boolean> {
    for (;;) {
      const { done, value: event } = await this.#events.next(); // If it fails, it has failed for everybody who asks later.
      if (done === true) return false;
      if (event.kind === "start") this.nodes = event.nodes;
      if (event.kind !== "outcome") continue;
      this.settled.push(event);
      this.#step = undefined;
      return true;
    }
  }
}
