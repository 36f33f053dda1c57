/** Values of databases: what is typed as a parameter, and what is shown of a cell. Nothing of a value is lost on the way. */

import { Duration, Exact } from "@remote-services/client";
import type { Column } from "@remote-services/client/stubs/database";

/** What a parameter is. */
export type ParameterKind = "text" | "integer" | "float" | "decimal" | "boolean" | "bytes" | "json" | "null";

export const PARAMETER_KINDS: readonly ParameterKind[] = ["text", "integer", "float", "decimal", "boolean", "bytes", "json", "null"];

/** A parameter as it was typed. */
export interface TypedParameter {
  readonly kind: ParameterKind;
  readonly text: string;
}

/** Reads a parameter.
 * @throws Error: the text is no such value. */
export function readParameter(name: string, { kind, text }: TypedParameter): unknown {
  const trimmed = text.trim();
  const refuse = (what: string): Error => new Error(`parameter ${name}: “${trimmed}” is ${what}`);
  switch (kind) {
    case "text": return text;
    case "null": return null;
    case "integer": {
      if (!/^[+-]?\d+$/.test(trimmed)) throw refuse("no integer");
      const number = Number(trimmed);
      return Number.isSafeInteger(number) ? number : BigInt(trimmed.replace(/^\+/, ""));
    }
    case "float": {
      if (trimmed === "" || (Number.isNaN(Number(trimmed)) && trimmed !== "NaN")) throw refuse("no number");
      return Number(trimmed);
    }
    case "decimal": {
      if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(trimmed)) throw refuse("no decimal number");
      return new Exact("decimal", trimmed);
    }
    case "boolean": {
      if (!/^(?:true|false)$/i.test(trimmed)) throw refuse("neither true nor false");
      return /^true$/i.test(trimmed);
    }
    case "bytes": {
      const digits = trimmed.replace(/^(?:0x|\\x)/i, "").replace(/\s/g, "");
      if (!/^(?:[0-9a-f]{2})*$/i.test(digits)) throw refuse("no bytes: write them in hex, such as 00 ff");
      return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
    }
    case "json":
      try {
        return JSON.parse(text) as unknown;
      } catch {
        throw refuse("no JSON");
      }
  }
}

/** How a cell is shown. */
export interface CellLook {
  readonly text: string;
  /** `number` stands at the right; `null`, `empty` and `bytes` differ from text of the same letters. */
  readonly look: "text" | "number" | "null" | "empty" | "bytes";
}

/** How many characters of a value the grid shows. */
export const SHOWN_CHARACTERS = 300;
const SHOWN_BYTES = 64;

/** Decides how a cell is shown. */
export function lookOf(value: unknown, column: Column | undefined): CellLook {
  if (value === null || value === undefined) return { text: "NULL", look: "null" };
  if (value === "") return { text: "''", look: "empty" };
  if (value instanceof Uint8Array) {
    const more = value.length > SHOWN_BYTES ? `… ${String(value.length)} bytes` : "";
    return { text: `x'${hexOf(value.subarray(0, SHOWN_BYTES))}'${more}`, look: "bytes" };
  }
  if (typeof value === "number" || typeof value === "bigint" || isDecimal(value)) return { text: textOf(value, column), look: "number" };
  const text = textOf(value, column);
  return { text: showControls(text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text), look: "text" };
}

function isDecimal(value: unknown): boolean {
  return value instanceof Exact && value.kind === "decimal";
}

const SIGNS: Readonly<Record<string, string>> = { "\n": "↵", "\t": "⇥", "\u007f": "␡" };

/** Writes control characters so that they are seen, such as the end of a line. */
function showControls(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f]/g, (sign) => SIGNS[sign] ?? String.fromCharCode(0x2400 + sign.charCodeAt(0)));
}

/** Writes bytes in hex. */
export function hexOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/** Writes a value in full: what is copied, and what CSV has. */
export function textOf(value: unknown, column?: Column): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value;
  if (typeof value === "number") return writeNumber(value, column);
  if (typeof value === "bigint" || typeof value === "boolean") return String(value);
  if (value instanceof Uint8Array) return `\\x${hexOf(value)}`;
  if (value instanceof Exact || value instanceof Duration) return value.toString();
  return jsonOf(value);
}

/** Writes a number; one of a column of floating-point numbers is no integer, even if it is whole. */
function writeNumber(value: number, column: Column | undefined): string {
  if (Object.is(value, -0)) return "-0.0";
  const text = String(value);
  return column?.type === "float" && /^-?\d+$/.test(text) ? `${text}.0` : text;
}

/** Writes a value as JSON: integers in full, whatever has no form in JSON as text. */
export function jsonOf(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number") return Number.isFinite(value) ? JSON.stringify(Object.is(value, -0) ? 0 : value) : JSON.stringify(String(value));
  if (value instanceof Uint8Array || value instanceof Exact || value instanceof Duration) return JSON.stringify(textOf(value));
  if (Array.isArray(value) || value instanceof Set) return `[${Array.from(value as Iterable<unknown>, jsonOf).join(",")}]`;
  if (value instanceof Map) return `{${[...value].map(([key, each]) => `${JSON.stringify(textOf(key))}:${jsonOf(each)}`).join(",")}}`;
  if (typeof value === "object") return `{${Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}:${jsonOf(each)}`).join(",")}}`;
  return JSON.stringify(value);
}

/** Names what a value is, for a person. */
export function typeOf(value: unknown, column: Column | undefined): string {
  const type = column?.db_type ?? column?.type ?? "";
  if (value === null || value === undefined) return type === "" ? "NULL" : `NULL, ${type}`;
  if (value instanceof Uint8Array) return `${String(value.length)} bytes, ${type}`;
  if (typeof value === "string") return `${String(value.length)} characters, ${type}`;
  return type;
}
