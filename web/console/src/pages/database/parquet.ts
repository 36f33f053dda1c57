/** Writes rows into a Parquet file, without compression: groups of rows, in each a page for every column, and what they are at the end
 * (https://parquet.apache.org/docs/file-format/). */

import { Exact } from "@remote-services/client";
import type { Column } from "@remote-services/client/stubs/database";
import { distinctNames, type RowSource } from "./files.ts";
import { ByteWriter, CompactWriter } from "./thrift.ts";
import { textOf } from "./values.ts";

/** How a column is written. */
export type ParquetKind = "boolean" | "int64" | "double" | "text" | "bytes" | "decimal" | "date" | "timestamp" | "timestamp_utc";

/** A column of the file. */
export interface ParquetColumn {
  readonly source: Column;
  readonly name: string;
  readonly kind: ParquetKind;
  /** Digits in all, and behind the point, of `decimal`. */
  readonly precision: number;
  readonly scale: number;
}

const LOWEST = -(1n << 63n);
const HIGHEST = (1n << 63n) - 1n;
const MOST_DIGITS = 38;
const DAY_MS = 86_400_000;
const DECIMAL = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/;
const MOMENT = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?(Z|[+-]\d{2}(?::?\d{2}){0,2})?)?$/;

/** Finds out how the cells of one column can be written without loss. */
class KindFinder {
  readonly #kinds = new Set<ParquetKind>();
  #digits = 0;
  #scale = 0;
  #hasLargeInteger = false;

  constructor(readonly column: Column) {}

  look(cell: unknown): void {
    if (cell === null) return;
    this.#kinds.add(this.#kindOf(cell));
  }

  #kindOf(cell: unknown): ParquetKind {
    if (typeof cell === "boolean") return "boolean";
    if (typeof cell === "bigint") {
      this.#hasLargeInteger = true;
      return cell >= LOWEST && cell <= HIGHEST ? "int64" : "text";
    }
    if (typeof cell === "number") return Number.isSafeInteger(cell) && !Object.is(cell, -0) && this.column.type !== "float" ? "int64" : "double";
    if (cell instanceof Uint8Array) return "bytes";
    if (!(cell instanceof Exact)) return "text";
    if (cell.kind === "decimal") return this.#lookAtDecimal(cell.text);
    if (cell.kind === "date") return microsOf(cell.text) === undefined ? "text" : "date";
    if (cell.kind !== "datetime" || microsOf(cell.text) === undefined) return "text";
    return hasOffset(cell.text) ? "timestamp_utc" : "timestamp";
  }

  #lookAtDecimal(text: string): ParquetKind {
    const parts = DECIMAL.exec(text);
    if (parts === null) return "text";
    const [, , whole = "", fraction = "", exponent = "0"] = parts;
    const scale = Math.max(0, fraction.length - Number(exponent));
    this.#scale = Math.max(this.#scale, scale);
    this.#digits = Math.max(this.#digits, whole.length + Number(exponent), 1);
    return "decimal";
  }

  /** Returns what all cells together can be. */
  end(name: string): ParquetColumn {
    const precision = this.#digits + this.#scale;
    return { source: this.column, name, kind: this.#choose(precision), precision, scale: this.#scale };
  }

  #choose(precision: number): ParquetKind {
    const [only, ...others] = this.#kinds;
    if (only === undefined) return this.column.type === "integer" ? "int64" : "text";
    if (others.length === 0) return only === "decimal" && precision > MOST_DIGITS ? "text" : only;
    const isNumeric = others.length === 1 && this.#kinds.has("int64") && this.#kinds.has("double");
    return isNumeric && !this.#hasLargeInteger ? "double" : "text";
  }
}

function hasOffset(text: string): boolean {
  return MOMENT.exec(text)?.[8] !== undefined;
}

/** Returns a moment in microseconds since 1970; undefined where the text is none. */
function microsOf(text: string): bigint | undefined {
  const parts = MOMENT.exec(text);
  if (parts === null) return undefined;
  const [, year, month, day, hour = "0", minute = "0", second = "0", fraction = "", offset = "Z"] = parts as unknown as string[];
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day)); // Date.UTC takes the year 99 for 1999.
  const seconds = Number(hour) * 3600 + Number(minute) * 60 + Number(second) - offsetOf(offset);
  return BigInt(date.getTime() + seconds * 1000) * 1000n + BigInt(fraction.padEnd(6, "0"));
}

function offsetOf(text: string): number {
  const [hours = 0, minutes = 0, seconds = 0] = (text.match(/\d{2}/g) ?? []).map(Number);
  return (text.startsWith("-") ? -1 : 1) * (hours * 3600 + minutes * 60 + seconds);
}

/** Returns a decimal without its point, as an integer with so many digits behind where the point was. */
function unscaled(text: string, scale: number): bigint {
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = (DECIMAL.exec(text) ?? []) as unknown as (string | undefined)[];
  const digits = BigInt(`${whole}${fraction}` === "" ? "0" : `${whole}${fraction}`);
  const shift = scale - fraction.length + Number(exponent);
  const size = shift >= 0 ? digits * 10n ** BigInt(shift) : digits / 10n ** BigInt(-shift);
  return sign === "-" ? -size : size;
}

/** Writes an integer in two's complement, the highest byte first, in as few bytes as it takes. */
function bigEndian(value: bigint): Uint8Array {
  let length = 1;
  while (BigInt.asIntN(length * 8, value) !== value) length++;
  return Uint8Array.from({ length }, (_, at) => Number((value >> BigInt(8 * (length - 1 - at))) & 0xffn));
}

const TYPES: Readonly<Record<ParquetKind, number>> = {
  boolean: 0, int64: 2, double: 5, text: 6, bytes: 6, decimal: 6, date: 1, timestamp: 2, timestamp_utc: 2,
};

const encoder = new TextEncoder();

/** Writes the cells of a column that are not NULL. */
function writeCells(out: ByteWriter, { source, kind, scale }: ParquetColumn, cells: readonly unknown[]): void {
  const writeBytes = (bytes: Uint8Array): void => {
    out.uint32(bytes.length);
    out.bytes(bytes);
  };
  if (kind === "boolean") {
    out.bits(cells as readonly boolean[]);
    return;
  }
  for (const cell of cells) {
    switch (kind) {
      case "int64": out.int64(BigInt(cell as number | bigint)); break;
      case "double": out.double(Number(cell)); break;
      case "bytes": writeBytes(cell as Uint8Array); break;
      case "decimal": writeBytes(bigEndian(unscaled(String(cell), scale))); break;
      case "date": out.int32(Number((microsOf(String(cell)) ?? 0n) / 1000n) / DAY_MS); break;
      case "timestamp":
      case "timestamp_utc": out.int64(microsOf(String(cell)) ?? 0n); break;
      case "text": writeBytes(encoder.encode(textOf(cell, source))); break;
    }
  }
}

interface ChunkPlace {
  readonly column: ParquetColumn;
  readonly offset: number;
  readonly bytes: number;
}

interface GroupPlace {
  readonly count: number;
  readonly chunks: readonly ChunkPlace[];
}

const MAGIC = encoder.encode("PAR1");
const GROUP_ROWS = 50_000;
const DATA_PAGE = 0;
const PLAIN = 0;
const RLE = 3;
const OPTIONAL = 1;

/** Writes a file.
 * @param read - gives the rows; it is called twice, since the type of a column is known only when all of its cells are. */
export async function writeParquet(columns: readonly Column[], read: () => RowSource): Promise<Blob> {
  const finders = columns.map((column) => new KindFinder(column));
  for await (const page of read()) for (const row of page) finders.forEach((finder, at) => { finder.look(row[at]); });
  const names = distinctNames(columns);
  const plan = finders.map((finder, at) => finder.end(names[at] ?? ""));
  const parts: Blob[] = [new Blob([MAGIC])];
  const groups: GroupPlace[] = [];
  let offset = MAGIC.length;
  let waiting: unknown[][] = [];
  const flush = (): void => {
    if (waiting.length === 0) return;
    const chunks = plan.map((column, at) => {
      const bytes = makeChunk(column, waiting.map((row) => row[at]));
      parts.push(new Blob([bytes as BlobPart]));
      const place = { column, offset, bytes: bytes.length };
      offset += bytes.length;
      return place;
    });
    groups.push({ count: waiting.length, chunks });
    waiting = [];
  };
  for await (const page of read()) {
    for (const row of page) waiting.push(row);
    if (waiting.length >= GROUP_ROWS) flush();
  }
  flush();
  const footer = makeFooter(plan, groups);
  const end = new ByteWriter();
  end.bytes(footer);
  end.uint32(footer.length);
  end.bytes(MAGIC);
  return new Blob([...parts, end.end() as BlobPart], { type: "application/vnd.apache.parquet" });
}

/** Makes the page of a column: its header, which cells are there, and those cells. */
function makeChunk(column: ParquetColumn, cells: readonly unknown[]): Uint8Array {
  const body = new ByteWriter();
  const present = cells.map((cell) => cell !== null);
  const levels = new ByteWriter();
  levels.varint((Math.ceil(cells.length / 8) << 1) | 1);
  levels.bits(present);
  const packed = levels.end();
  body.uint32(packed.length);
  body.bytes(packed);
  writeCells(body, column, cells.filter((cell) => cell !== null));
  const content = body.end();
  const header = new CompactWriter();
  header.struct(() => {
    header.i32(1, DATA_PAGE);
    header.i32(2, content.length);
    header.i32(3, content.length);
    header.structField(5, () => {
      header.i32(1, cells.length);
      header.i32(2, PLAIN);
      header.i32(3, RLE);
      header.i32(4, RLE);
    });
  });
  const head = header.end();
  const chunk = new Uint8Array(head.length + content.length);
  chunk.set(head);
  chunk.set(content, head.length);
  return chunk;
}

function makeFooter(plan: readonly ParquetColumn[], groups: readonly GroupPlace[]): Uint8Array {
  const out = new CompactWriter();
  out.struct(() => {
    out.i32(1, 2);
    out.structList(2, [undefined, ...plan], (column) => {
      if (column === undefined) {
        out.text(4, "schema");
        out.i32(5, plan.length);
      } else writeElement(out, column);
    });
    out.i64(3, groups.reduce((sum, each) => sum + each.count, 0));
    out.structList(4, groups, ({ count, chunks }) => {
      out.structList(1, chunks, ({ column, offset, bytes }) => {
        out.i64(2, offset);
        out.structField(3, () => {
          out.i32(1, TYPES[column.kind]);
          out.i32List(2, [PLAIN, RLE]);
          out.textList(3, [column.name]);
          out.i32(4, 0);
          out.i64(5, count);
          out.i64(6, bytes);
          out.i64(7, bytes);
          out.i64(9, offset);
        });
      });
      out.i64(2, chunks.reduce((sum, each) => sum + each.bytes, 0));
      out.i64(3, count);
    });
    out.text(6, "remote-services console");
  });
  return out.end();
}

/** Writes what a column is. */
function writeElement(out: CompactWriter, { name, kind, precision, scale }: ParquetColumn): void {
  out.i32(1, TYPES[kind]);
  out.i32(3, OPTIONAL);
  out.text(4, name);
  const nothing = (): void => undefined;
  switch (kind) {
    case "text":
      out.i32(6, 0);
      out.structField(10, () => { out.structField(1, nothing); });
      break;
    case "decimal":
      out.i32(6, 5);
      out.i32(7, scale);
      out.i32(8, precision);
      out.structField(10, () => { out.structField(5, () => { out.i32(1, scale); out.i32(2, precision); }); });
      break;
    case "date":
      out.i32(6, 6);
      out.structField(10, () => { out.structField(6, nothing); });
      break;
    case "timestamp":
    case "timestamp_utc":
      out.structField(10, () => {
        out.structField(8, () => {
          out.bool(1, kind === "timestamp_utc");
          out.structField(2, () => { out.structField(2, nothing); });
        });
      });
      break;
    default:
  }
}
