/** Rows of a table. In JSON they are arrays of tagged values. In MessagePack they are bytes that hold MessagePack again:
 * an array of chunks `[rows, [[kind, cells], …]]`, with a pair for each column. */

import { unpack } from "../codec/unpack.js";
import { Duration, Exact, type TextKind } from "./kinds.js";
import { fromTagged } from "./tagged.js";

const textKinds: Readonly<Record<string, TextKind>> = {
  datetime: "datetime", datetimetz: "datetime", date: "date", time: "time", uuid: "uuid", decimal: "decimal",
};

/** Reads rows.
 * @throws TypeError: they are malformed. */
export function loadRows(data: unknown): unknown[][] {
  if (!(data instanceof Uint8Array)) return (data as unknown[][]).map((row) => row.map(fromTagged));
  const rows: unknown[][] = [];
  for (const [count, columns] of unpack(data) as [number, [string, unknown[]][]][]) {
    const cells = columns.map(([kind, column]) => loadColumn(kind, column));
    for (let at = 0; at < count; at++) rows.push(cells.map((column) => column[at]));
  }
  return rows;
}

function loadColumn(kind: string, cells: unknown[]): unknown[] {
  if (kind === "") return cells;
  if (kind === "tagged") return cells.map(fromTagged);
  if (kind === "duration") return cells.map((cell) => (cell === null ? null : Duration.parse(cell as string)));
  const textKind = textKinds[kind];
  if (textKind === undefined) throw new TypeError(`a column of an unknown kind: ${kind.slice(0, 32)}`);
  return cells.map((cell) => (cell === null ? null : new Exact(textKind, cell as string)));
}
