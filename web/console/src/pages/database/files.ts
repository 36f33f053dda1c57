/** Writes rows into files: CSV and JSON. Parts are given to the browser as they are made, which keeps them outside of the tab's memory. */

import type { Column } from "@remote-services/client/stubs/database";
import { jsonOf, textOf } from "./values.ts";

/** Rows, page by page. */
export type RowSource = AsyncIterable<unknown[][]>;

/** Gives columns names that differ: the second `id` is `id_2`. */
export function distinctNames(columns: readonly Column[]): string[] {
  const names = new Set<string>();
  for (const { name } of columns) {
    const base = name === "" ? "column" : name;
    let own = base;
    for (let number = 2; names.has(own); number++) own = `${base}_${String(number)}`;
    names.add(own);
  }
  return [...names];
}

const PART_CHARACTERS = 1 << 20;

/** Gathers text into a blob. */
class TextFile {
  readonly #parts: Blob[] = [];
  #text = "";

  write(text: string): void {
    this.#text += text;
    if (this.#text.length < PART_CHARACTERS) return;
    this.#parts.push(new Blob([this.#text]));
    this.#text = "";
  }

  end(type: string): Blob {
    return new Blob([...this.#parts, this.#text], { type });
  }
}

/** Writes CSV (RFC 4180), with a line of names. NULL is nothing, and an empty text is "". */
export async function writeCsv(columns: readonly Column[], rows: RowSource): Promise<Blob> {
  const file = new TextFile();
  file.write(`${columns.map(({ name }) => quote(name)).join(",")}\r\n`);
  for await (const page of rows) {
    for (const row of page) file.write(`${row.map((cell, at) => fieldOf(cell, columns[at])).join(",")}\r\n`);
  }
  return file.end("text/csv;charset=utf-8");
}

function fieldOf(cell: unknown, column: Column | undefined): string {
  return cell === null ? "" : quote(textOf(cell, column));
}

function quote(text: string): string {
  return text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Writes a list of objects in JSON, one on each line. Integers are written in full; decimals, moments and bytes as text. */
export async function writeJson(columns: readonly Column[], rows: RowSource): Promise<Blob> {
  const names = distinctNames(columns).map((name) => JSON.stringify(name));
  const file = new TextFile();
  let before = "[\n";
  for await (const page of rows) {
    for (const row of page) {
      file.write(`${before}{${row.map((cell, at) => `${names[at] ?? '""'}:${jsonOf(cell)}`).join(",")}}`);
      before = ",\n";
    }
  }
  file.write(before === "[\n" ? "[]\n" : "\n]\n");
  return file.end("application/json");
}

/** Gives a file to whoever uses the browser. */
export function save(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  // The browser reads it after this function has returned.
  setTimeout(() => { URL.revokeObjectURL(link.href); }, 60_000);
}
