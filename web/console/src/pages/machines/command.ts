/** A command on many nodes: what each of them has written, and what has become of it. */

import { RpcError, type Executed, type GroupEvent, type Outcome } from "@remote-services/client";
import type { RunEvent } from "@remote-services/client/stubs/programs";

/** How far it is on one node: `waiting` until something comes of it, `running` while it writes, and then the state of its outcome. */
export type MemberState =
  | "waiting" | "running" | "ok" | "error" | "refused" | "gone" | "died" | "timeout" | "cancelled" | "unknown";

/** One node. */
export interface Member {
  readonly name: string;
  readonly state: MemberState;
  readonly stdout: string;
  readonly stderr: string;
  /** How much more it has written than is shown, in characters. */
  readonly hidden: number;
  /** Pieces that did not come. */
  readonly lost: number;
  /** How the program has ended, such as `code 3`; empty before it has. */
  readonly end: string;
  /** Why there is no result; empty if nothing is wrong. */
  readonly problem: string;
  /** Whether the command has run there; undefined as long as that is open. */
  readonly executed?: Executed;
  readonly durationS?: number;
}

/** All of it. */
export interface CommandRun {
  readonly state: "running" | "done" | "stopped" | "failed";
  readonly members: readonly Member[];
  /** Whether the server was sure that it knows all nodes. */
  readonly isSettled: boolean;
  /** Why no node could be asked, or why nothing more comes; empty if nothing is wrong. */
  readonly problem: string;
}

/** How much is kept of what a node writes to each of its two outputs, in characters. */
export const KEPT = 100_000;

/** What is gathered of one node while it runs. */
class Gathering {
  member: Member;
  readonly #decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };

  constructor(name: string) {
    this.member = { name, state: "waiting", stdout: "", stderr: "", hidden: 0, lost: 0, end: "", problem: "" };
  }

  take({ output, exit }: RunEvent, lost: number): void {
    this.member = { ...this.member, state: "running", lost: this.member.lost + lost };
    if (output !== null) this.#write(output.stream, this.#decoders[output.stream].decode(output.data, { stream: true }), output.lost_bytes);
    if (exit !== null) this.member = { ...this.member, end: describeEnd(exit.status) };
  }

  #write(stream: "stdout" | "stderr", text: string, lostBytes: number): void {
    const before = this.member[stream];
    const kept = text.slice(0, Math.max(0, KEPT - before.length));
    this.member = { ...this.member, [stream]: before + kept, hidden: this.member.hidden + text.length - kept.length + lostBytes };
  }

  finish(outcome: Outcome): void {
    for (const stream of ["stdout", "stderr"] as const) this.#write(stream, this.#decoders[stream].decode(), 0);
    this.member = {
      ...this.member, state: outcome.state as MemberState, problem: outcome.error?.message ?? "", executed: outcome.executed,
      durationS: outcome.durationS, lost: this.member.lost + outcome.itemsLost,
    };
  }

  /** It gets no outcome any more. */
  give(state: MemberState, problem: string): void {
    const executed = this.member.state === "running" ? "yes" : "unknown";
    this.member = { ...this.member, state, problem, executed };
  }
}

function describeEnd(status: { readonly code: number | null; readonly signal: string | null; readonly limit: string | null }): string {
  if (status.limit !== null) return `reached its limit: ${status.limit}`;
  return status.signal ?? (status.code === null ? "end not seen" : `code ${String(status.code)}`);
}

/** Gathers what happens on all nodes. */
export class Gatherer {
  readonly #nodes = new Map<string, Gathering>();
  #state: CommandRun["state"] = "running";
  #isSettled = true;
  #problem = "";

  /** What is known so far. */
  get run(): CommandRun {
    return {
      state: this.#state, members: [...this.#nodes.values()].map((each) => each.member), isSettled: this.#isSettled, problem: this.#problem,
    };
  }

  /** Takes what has happened. */
  take(event: GroupEvent<RunEvent>): void {
    switch (event.kind) {
      case "start": this.#begin(event.nodes, event.unknown, event.isSettled); break;
      case "item": this.#nodes.get(event.node)?.take(event.item, event.lost); break;
      case "outcome": this.#nodes.get(event.id ?? event.name)?.finish(event); break;
      case "progress": break;
    }
  }

  #begin(nodes: readonly { readonly name: string; readonly id: string }[], unknown: readonly string[], isSettled: boolean): void {
    this.#isSettled = isSettled;
    const counts = new Map<string, number>();
    for (const { name } of nodes) counts.set(name, (counts.get(name) ?? 0) + 1);
    for (const { name, id } of nodes) this.#nodes.set(id, new Gathering(counts.get(name) === 1 ? name : `${name}@${id}`));
    for (const name of unknown) this.#nodes.set(name, new Gathering(name));
  }

  /** Nothing more happens: all have their outcome, or somebody has stopped it. */
  end(isStopped: boolean): void {
    this.#state = isStopped ? "stopped" : "done";
    this.#close("cancelled", isStopped ? "" : "the server has told no outcome");
  }

  /** It has failed as a whole. */
  fail(error: unknown): void {
    this.#state = "failed";
    this.#problem = error instanceof Error ? error.message : String(error);
    this.#close(error instanceof RpcError && error.type === "DeadlineExceeded" ? "timeout" : "error", this.#problem);
  }

  #close(state: MemberState, problem: string): void {
    for (const node of this.#nodes.values()) if (isOpen(node.member)) node.give(state, problem);
  }
}

/** Tells whether a node has no outcome yet. */
export function isOpen(member: Member): boolean {
  return member.state === "waiting" || member.state === "running";
}

/** What must be the same for two nodes to be shown as one. */
export function contentOf({ state, stdout, stderr, hidden, lost, end, problem, executed }: Member): unknown {
  return [state, stdout, stderr, hidden, lost, end, problem, executed];
}
