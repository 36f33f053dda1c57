/** Folds names of nodes into ranges, and what nodes have answered alike, as `rpcclient run --on … --gather` does. */

import { compareNaturally } from "../../roster.ts";

/** Folds names: `web-1`, `web-2`, `web-4` and `db-1` become `db-1,web-[1-2,4]`. One that is there twice counts once. */
export function foldNames(names: readonly string[]): string {
  const groups = new Map<string, { readonly before: string; readonly behind: string; readonly numbers: string[] }>();
  const texts: { readonly first: string; readonly text: string }[] = [];
  for (const name of new Set(names)) {
    const found = /^([A-Za-z0-9._-]*?)([0-9]+)([A-Za-z._-]*)$/.exec(name); // The last number of a name counts.
    if (found === null) {
      texts.push({ first: name, text: name });
      continue;
    }
    const [, before = "", number = "", behind = ""] = found;
    const key = JSON.stringify([before, behind]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { before, behind, numbers: [number] });
    else group.numbers.push(number);
  }
  for (const { before, behind, numbers } of groups.values()) {
    const spans = spansOf(numbers);
    const first = `${before}${spans[0]?.first ?? ""}${behind}`;
    const inside = spans.map((span) => (span.first === span.last ? span.first : `${span.first}-${span.last}`)).join(",");
    texts.push({ first, text: numbers.length === 1 ? first : `${before}[${inside}]${behind}` });
  }
  return texts.sort((one, other) => compareNaturally(one.first, other.first)).map((each) => each.text).join(",");
}

interface Span {
  readonly first: string;
  last: string;
}

/** Finds the spans of numbers. One with zeros before it is in a span with those of its length. */
function spansOf(numbers: readonly string[]): Span[] {
  const spans: Span[] = [];
  const sorted = [...numbers].sort((one, other) => one.length - other.length || (one < other ? -1 : 1));
  for (const number of sorted) {
    const before = spans.at(-1);
    if (before !== undefined && follows(before.last, number)) before.last = number;
    else spans.push({ first: number, last: number });
  }
  return spans;
}

function follows(one: string, other: string): boolean {
  const hasZeros = one.startsWith("0") || other.startsWith("0");
  return BigInt(one) + 1n === BigInt(other) && (!hasZeros || one.length === other.length);
}

/** What some nodes have answered alike. */
export interface Fold<T> {
  /** The nodes, in their order. */
  readonly names: readonly string[];
  /** What the first of them has answered, which is what all have. */
  readonly answer: T;
}

/** Puts nodes with the same answer together, in the order of their first nodes.
 * @param nameOf - returns the name of the node.
 * @param contentOf - returns what must be the same, as plain data. */
export function foldAnswers<T>(answers: readonly T[], nameOf: (answer: T) => string, contentOf: (answer: T) => unknown): Fold<T>[] {
  const folds = new Map<string, { readonly names: string[]; readonly answer: T }>();
  const sorted = [...answers].sort((one, other) => compareNaturally(nameOf(one), nameOf(other)));
  for (const answer of sorted) {
    const key = JSON.stringify(contentOf(answer));
    const fold = folds.get(key);
    if (fold === undefined) folds.set(key, { names: [nameOf(answer)], answer });
    else fold.names.push(nameOf(answer));
  }
  return [...folds.values()];
}

/** The title of what some nodes have answered: `web-[1-40] (40)`, or the name of the only one. */
export function titleOfFold(fold: Fold<unknown>): string {
  return fold.names.length === 1 ? (fold.names[0] ?? "") : `${foldNames(fold.names)} (${String(fold.names.length)})`;
}
