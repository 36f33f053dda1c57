/** The programs that a page knows, as events tell of them. */

import type { ProgramEvent, ProgramInfo } from "@remote-services/client/stubs/programs";

/** Programs by their ids. */
export type Roll = ReadonlyMap<string, ProgramInfo>;

/** Returns the programs after an event. */
export function applyEvent(roll: Roll, event: ProgramEvent): Roll {
  const next = new Map(roll);
  if (event.kind === "forgotten") next.delete(event.program.id);
  else next.set(event.program.id, event.program);
  return next;
}

/** The programs in their order: those that run, then the others, the newest first. */
export function sortPrograms(roll: Roll): ProgramInfo[] {
  return [...roll.values()].sort((one, other) => Number(other.running) - Number(one.running) || other.started_at - one.started_at);
}

/** A word or two, and how they look. */
export interface StateWords {
  readonly text: string;
  readonly look: "accent" | "good" | "bad" | "warn";
}

/** How a program is that the server knows no more. */
export const GONE: StateWords = { text: "gone", look: "warn" };

/** How a program is, in a word or two. */
export function describeState(program: ProgramInfo): StateWords {
  const { status } = program;
  if (program.running) return { text: "running", look: "accent" };
  if (status === null || status.lost) return { text: "end not seen", look: "warn" };
  if (status.limit !== null) return { text: `reached its limit: ${status.limit}`, look: "warn" };
  if (status.signal !== null) return { text: status.signal, look: "bad" };
  return { text: `code ${String(status.code)}`, look: status.code === 0 ? "good" : "bad" };
}
