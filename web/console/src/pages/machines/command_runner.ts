/** Runs one command on many nodes, and tells what comes of it. */

import type { Client, GroupPolicy } from "@remote-services/client";
import { programs } from "@remote-services/client/stubs/programs";
import { Gatherer, type CommandRun } from "./command.ts";

/** What is to be run, and where. */
export interface Command {
  readonly argv: readonly string[];
  /** A selector, names and ids, or all nodes. */
  readonly target: string | readonly string[] | undefined;
  readonly policy: GroupPolicy;
  /** How long it may take on all nodes together, in milliseconds; undefined for as long as it takes. */
  readonly timeoutMs: number | undefined;
}

/** Longer than anybody waits. */
const LONGEST_MS = 30 * 86_400_000;

/** Runs one command. */
export class CommandRunner {
  readonly #abort = new AbortController();
  readonly #gatherer = new Gatherer();
  #isWaiting = false;

  constructor(readonly client: Client, readonly command: Command, readonly onChange: (run: CommandRun) => void) {}

  /** Runs it, and returns when it is over. */
  async start(): Promise<void> {
    const { argv, target, policy, timeoutMs } = this.command;
    this.onChange(this.#gatherer.run);
    const group = target === undefined ? this.client.everyone(policy) : this.client.group(target, policy);
    // With `check` a program that ends with another code than 0 is a failure, which stops what is to stop at one.
    const events = group.service(programs).stream(
      { argv, check: true }, { signal: this.#abort.signal, timeoutMs: timeoutMs ?? LONGEST_MS },
    );
    this.#abort.signal.addEventListener("abort", () => { void events.close(); });
    try {
      for await (const event of events) {
        this.#gatherer.take(event);
        this.#show();
      }
      this.#gatherer.end(this.#abort.signal.aborted);
    } catch (error) {
      if (this.#abort.signal.aborted) this.#gatherer.end(true);
      else this.#gatherer.fail(error);
    }
    this.onChange(this.#gatherer.run);
  }

  /** Cancels it on all nodes that have not ended. */
  stop(): void {
    this.#abort.abort();
  }

  /** Tells of a change at the next picture, since thousands of pieces may come in one. */
  #show(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    requestAnimationFrame(() => {
      this.#isWaiting = false;
      this.onChange(this.#gatherer.run);
    });
  }
}
