/** What has gone through a serial line, as lines of hexadecimal numbers, and bytes from what somebody types. */

/** Which way bytes went; or something that happened to the line. */
export type Way = "in" | "out" | "mark";

/** Bytes that went one way without a pause in which the other side had its turn. */
interface Part {
  readonly way: Way;
  /** How many bytes had gone that way before. */
  readonly offset: number;
  /** It has room for more than there is. */
  bytes: Uint8Array;
  length: number;
  readonly text: string;
}

/** A line of the view. */
export interface ByteRow {
  readonly way: Way;
  /** Where its first byte stands among all that went that way. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** What has happened, of a mark. */
  readonly text: string;
}

const PART_BYTES = 4096;

/** How many bytes are kept at most. */
export const MOST_BYTES = 512 * 1024;

/** How many parts are kept at most. */
const MOST_PARTS = 20_000;

/** What has gone through a line, the newest of it. */
export class ByteLog {
  #parts: Part[] = [];
  #kept = 0;
  readonly #total = { in: 0, out: 0 };
  /** How many bytes were forgotten, to make room for new ones. */
  forgotten = 0;

  /** How many bytes have gone a way. */
  countOf(way: "in" | "out"): number {
    return this.#total[way];
  }

  /** Adds bytes. */
  add(way: "in" | "out", data: Uint8Array): void {
    for (let done = 0; done < data.length;) {
      let last = this.#parts.at(-1);
      if (last?.way !== way || last.length === PART_BYTES) {
        last = { way, offset: this.#total[way], bytes: new Uint8Array(64), length: 0, text: "" };
        this.#parts.push(last);
      }
      const piece = data.subarray(done, done + PART_BYTES - last.length);
      if (last.bytes.length < last.length + piece.length) last.bytes = widen(last.bytes, last.length + piece.length);
      last.bytes.set(piece, last.length);
      last.length += piece.length;
      done += piece.length;
      this.#total[way] += piece.length;
      this.#kept += piece.length;
    }
    this.#forget();
  }

  /** Notes that something has happened. */
  mark(text: string): void {
    this.#parts.push({ way: "mark", offset: 0, bytes: new Uint8Array(0), length: 0, text });
    this.#forget();
  }

  /** Forgets everything. Offsets go on. */
  clear(): void {
    this.#parts = [];
    this.#kept = 0;
    this.forgotten = 0;
  }

  #forget(): void {
    let count = 0;
    while (this.#parts.length - count > 1 && (this.#kept > MOST_BYTES || this.#parts.length - count > MOST_PARTS)) {
      const length = this.#parts[count]?.length ?? 0;
      this.#kept -= length;
      this.forgotten += length;
      count++;
    }
    if (count > 0) this.#parts.splice(0, count);
  }

  /** How many lines there are.
   * @param width - the bytes in a line. */
  countRows(width: number): number {
    return this.#parts.reduce((sum, part) => sum + rowsOf(part, width), 0);
  }

  /** Returns some of the lines.
   * @param width - the bytes in a line.
   * @param first - the number of the first of them, from 0.
   * @param count - how many at most. */
  rows(width: number, first: number, count: number): ByteRow[] {
    const rows: ByteRow[] = [];
    let before = 0;
    for (const part of this.#parts) {
      const own = rowsOf(part, width);
      for (let row = Math.max(0, first - before); row < own && rows.length < count; row++) {
        const bytes = part.bytes.subarray(row * width, Math.min((row + 1) * width, part.length));
        rows.push({ way: part.way, offset: part.offset + row * width, bytes, text: part.text });
      }
      before += own;
      if (rows.length === count) break;
    }
    return rows;
  }
}

/** Copies bytes into more room, so much that this happens seldom. */
function widen(bytes: Uint8Array, least: number): Uint8Array {
  const wide = new Uint8Array(Math.min(PART_BYTES, Math.max(least, bytes.length * 2)));
  wide.set(bytes);
  return wide;
}

function rowsOf(part: Part, width: number): number {
  return part.way === "mark" ? 1 : Math.ceil(part.length / width);
}

/** Writes bytes as pairs of hexadecimal digits. */
export function writeHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

/** Writes bytes as signs of ASCII; a dot stands for what has none. */
export function writeSigns(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·")).join("");
}

/** Writes lines as text, to be copied. */
export function writeRows(rows: readonly ByteRow[], width: number): string {
  return rows.map((row) => (row.way === "mark"
    ? `-- ${row.text}`
    : `${row.way === "in" ? "<" : ">"} ${writeOffset(row.offset)}  ${writeHex(row.bytes).padEnd(width * 3 - 1)}  ${writeSigns(row.bytes)}`)).join("\n");
}

/** Writes the place of a byte. */
export function writeOffset(offset: number): string {
  return offset.toString(16).padStart(6, "0");
}

/** What somebody has typed is no bytes. */
export class BytesProblem extends Error {}

/** Reads hexadecimal numbers: pairs of digits, with or without spaces, commas, colons and `0x` between them.
 * @throws BytesProblem: there is something else. */
export function readHex(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const word of text.split(/[\s,:;-]+/)) {
    const digits = word.replace(/^0x/i, "");
    if (word === "") continue;
    if (!/^[0-9a-f]+$/i.test(digits)) throw new BytesProblem(`“${word}” is no hexadecimal number: write pairs of 0 to 9 and a to f, such as 41 54 0d`);
    const whole = digits.length === 1 ? `0${digits}` : digits;
    if (whole.length % 2 === 1) throw new BytesProblem(`“${word}” has an odd number of digits: write two for each byte`);
    for (let place = 0; place < whole.length; place += 2) bytes.push(Number.parseInt(whole.slice(place, place + 2), 16));
  }
  return Uint8Array.from(bytes);
}

/** How a line ends. */
export const LINE_ENDS = { cr: "\r", lf: "\n", crlf: "\r\n", none: "" } as const;

/** The name of a way to end lines. */
export type LineEnd = keyof typeof LINE_ENDS;

/** Returns the bytes of what somebody types into a terminal: its key Enter gives a carriage return, and ends lines as wished. */
export function encodeKeys(text: string, end: LineEnd): Uint8Array {
  return new TextEncoder().encode(text.replaceAll("\r", LINE_ENDS[end]));
}
