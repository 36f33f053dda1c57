/** From what somebody has typed to the values of parameters, and from results to text. */

import { nameType, withoutNull, type Parameter, type Schema, type Schemas } from "./document.ts";

/** How a parameter is asked for. */
export type Widget = "text" | "number" | "integer" | "boolean" | "choice" | "lines" | "bytes" | "json";

/** How a parameter is asked for, with what belongs to it. */
export interface Field {
  readonly name: string;
  readonly widget: Widget;
  readonly isRequired: boolean;
  readonly isNullable: boolean;
  readonly isSecret: boolean;
  /** Whether it is a stream: the form takes a list of its items. */
  readonly isStream: boolean;
  readonly choices: readonly string[];
  readonly type: string;
  readonly description: string;
  /** What holds where nothing is given, as JSON; empty if there is no default. */
  readonly default: string;
}

/** Decides how a parameter is asked for. */
export function makeField(parameter: Parameter, schemas: Schemas): Field {
  const items = parameter["x-stream"];
  const { schema, isNullable } = withoutNull(parameter.schema, schemas);
  const isStream = items !== undefined;
  const whole = isStream ? {} : schema;
  return {
    name: parameter.name,
    widget: isStream ? "json" : widgetOf(whole, schemas),
    isRequired: parameter.required === true,
    isNullable: !isStream && isNullable,
    isSecret: parameter["x-secret"] === true,
    isStream,
    choices: (whole.enum ?? []).filter((each) => typeof each === "string"),
    type: isStream ? `stream of ${nameType(items, schemas, 1)}` : nameType(parameter.schema, schemas),
    description: schema.description ?? "",
    default: parameter.schema.default === undefined ? "" : JSON.stringify(parameter.schema.default),
  };
}

function widgetOf(schema: Schema, schemas: Schemas): Widget {
  if (schema.enum !== undefined) return schema.enum.every((each) => typeof each === "string") ? "choice" : "json";
  switch (schema.type) {
    case "string": return schema.contentEncoding === undefined ? "text" : "bytes";
    case "boolean": return "boolean";
    case "integer": return "integer";
    case "number": return "number";
    case "array": {
      const items = typeof schema.items === "object" ? withoutNull(schema.items, schemas).schema : {};
      const isText = items.type === "string" && items.contentEncoding === undefined && items.enum === undefined;
      return isText ? "lines" : "json";
    }
    default: return "json";
  }
}

/** Something that was typed is no value of its field. */
export class FieldProblem extends Error {
  constructor(readonly field: string, text: string) {
    super(text);
  }
}

/** Reads what was typed into one field; undefined for nothing.
 * @throws FieldProblem: it is no value of the field. */
export function readField(field: Field, text: string): unknown {
  const trimmed = text.trim();
  if (text === "") {
    if (!field.isRequired) return undefined;
    if (field.widget === "text" || field.widget === "bytes") return field.widget === "text" ? "" : new Uint8Array();
    if (field.widget === "lines") return [];
    throw new FieldProblem(field.name, `${field.name}: give a value`);
  }
  switch (field.widget) {
    case "text":
    case "choice": return text;
    case "boolean": return text === "true";
    case "lines": return text.replace(/\n$/, "").split("\n");
    case "bytes": return new TextEncoder().encode(text);
    case "integer": {
      if (!/^[+-]?\d+$/.test(trimmed)) throw new FieldProblem(field.name, `${field.name}: ${trimmed} is no integer`);
      return exactInteger(trimmed);
    }
    case "number": {
      const number = Number(trimmed);
      if (trimmed === "" || Number.isNaN(number)) throw new FieldProblem(field.name, `${field.name}: ${trimmed} is no number`);
      return number;
    }
    case "json": {
      const value = parseExactly(text, field.name);
      if (field.isStream && !Array.isArray(value)) throw new FieldProblem(field.name, `${field.name}: give a list of the items`);
      return value;
    }
  }
}

/** Reads all fields: the parameters by name. */
export function readFields(fields: readonly Field[], typed: Readonly<Record<string, string>>): Record<string, unknown> {
  const params: Record<string, unknown> = {};
  for (const field of fields) {
    const value = readField(field, typed[field.name] ?? "");
    if (value !== undefined) params[field.name] = value;
  }
  return params;
}

function exactInteger(digits: string): number | bigint {
  const number = Number(digits);
  return Number.isSafeInteger(number) ? number : BigInt(digits.replace(/^\+/, ""));
}

/** Reads JSON with integers of any size.
 * @throws FieldProblem: it is no JSON. */
export function parseExactly(text: string, name: string): unknown {
  try {
    return JSON.parse(text, ((_key: string, value: unknown, context?: { source?: string }) => {
      const source = context?.source;
      return typeof value === "number" && !Number.isSafeInteger(value) && source !== undefined && /^-?\d+$/.test(source)
        ? BigInt(source)
        : value;
    }) as (key: string, value: unknown) => unknown);
  } catch (error) {
    throw new FieldProblem(name, `${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Writes a value as JSON that people can read: integers in full, bytes as text where they are text.
 * @param indent - spaces for each level; 0 for one line. */
export function writeValue(value: unknown, indent: number, level = 0): string {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Uint8Array) return writeBytes(value);
  if (value === undefined) return "null";
  const pad = indent === 0 ? "" : `\n${" ".repeat(indent * (level + 1))}`;
  const end = indent === 0 ? "" : `\n${" ".repeat(indent * level)}`;
  const gap = indent === 0 ? ", " : ",";
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    if (value.every((each) => typeof each !== "object" || each === null)) {
      return `[${value.map((each) => writeValue(each, 0)).join(", ")}]`;
    }
    return `[${pad}${value.map((each) => writeValue(each, indent, level + 1)).join(`${gap}${pad}`)}${end}]`;
  }
  if (value instanceof Set) return writeValue([...value], indent, level);
  if (hasText(value)) return JSON.stringify(value.toJSON());
  if (value instanceof Map) return writeValue(Object.fromEntries([...value].map(([key, each]) => [String(key), each])), indent, level);
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value);
    if (entries.length === 0) return "{}";
    const members = entries.map(([key, each]) => `${JSON.stringify(key)}: ${writeValue(each, indent, level + 1)}`);
    return `{${pad}${members.join(`${gap}${pad}`)}${end}}`;
  }
  return JSON.stringify(value);
}

/** Tells whether a value says itself what it is in JSON: decimals, moments, lengths of time. */
function hasText(value: unknown): value is { toJSON(): unknown } {
  return typeof value === "object" && value !== null && "toJSON" in value && typeof value.toJSON === "function";
}

function writeBytes(bytes: Uint8Array): string {
  try {
    return JSON.stringify(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return `bytes.fromhex("${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ")}")`;
  }
}
