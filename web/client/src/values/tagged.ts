/** Values whose type is not known in advance, such as those of a database: what the form of the wire cannot express
 * exactly is an object with one member, whose name is a dollar sign and the type (docs/protocol.md, "Values"). */

import { fromBase64, toBase64 } from "./base64.js";
import { Duration, Exact, FrozenSet, SAFE_INTEGER, Tuple, type TextKind } from "./kinds.js";

const WIDEST = 1n << 64n;
const LOWEST = -(1n << 63n);

/** Makes plain data of a value.
 * @param packed - whether the data are for MessagePack.
 * @throws TypeError: the type is not in this module's table. */
export function toTagged(value: unknown, packed: boolean): unknown {
  switch (typeof value) {
    case "undefined":
      return null;
    case "string":
    case "boolean":
      return value;
    case "number":
      return packed || Number.isFinite(value) ? value : { $float: String(value) };
    case "bigint": {
      const fits = packed ? value >= LOWEST && value < WIDEST : value >= -SAFE_INTEGER && value <= SAFE_INTEGER;
      return fits ? value : { $int: value.toString() };
    }
    case "object":
      return value === null ? null : tagObject(value, packed);
    default:
      throw new TypeError(`a ${typeof value} cannot be sent`);
  }
}

function tagObject(value: object, packed: boolean): unknown {
  const tagEach = (items: Iterable<unknown>): unknown[] => Array.from(items, (item) => toTagged(item, packed));
  if (value instanceof Tuple) return { $tuple: tagEach(value) };
  if (Array.isArray(value)) return tagEach(value);
  if (value instanceof Uint8Array) return packed ? value : { $bytes: toBase64(value) };
  if (value instanceof Exact) return { [`$${value.kind}`]: value.text };
  if (value instanceof Duration) return { $duration: [value.days, value.seconds, value.microseconds] };
  if (value instanceof Date) return { $datetime: value.toISOString().replace("Z", "+00:00") };
  if (value instanceof FrozenSet) return { $frozenset: tagEach(value) };
  if (value instanceof Set) return { $set: tagEach(value) };
  const entries: [unknown, unknown][] = value instanceof Map ? [...value] : Object.entries(value);
  if (entries.every(([key]) => typeof key === "string" && !key.startsWith("$"))) {
    return new Map(entries.map(([key, item]) => [key, toTagged(item, packed)]));
  }
  return { $map: entries.map(([key, item]) => [toTagged(key, packed), toTagged(item, packed)]) };
}

const texts: ReadonlySet<string> = new Set<TextKind>(["decimal", "datetime", "date", "time", "uuid"]);

/** Converts plain data to the value for which it stands. An object of names becomes a plain object, and any other
 * mapping a `Map`.
 * @throws TypeError: a tag is unknown, or its body is not allowed. */
export function fromTagged(data: unknown): unknown {
  if (typeof data !== "object" || data === null || data instanceof Uint8Array) return data;
  if (Array.isArray(data)) return data.map(fromTagged);
  const entries = Object.entries(data);
  const [first] = entries;
  if (entries.length === 1 && first?.[0].startsWith("$") === true) return untag(first[0], first[1]);
  return Object.fromEntries(entries.map(([name, item]) => [name, fromTagged(item)]));
}

function untag(tag: string, body: unknown): unknown {
  const kind = tag.slice(1);
  if (typeof body === "string") {
    if (texts.has(kind)) return new Exact(kind as TextKind, body);
    if (kind === "int" && /^-?\d+$/.test(body)) return BigInt(body);
    if (kind === "float") return Number(body);
    if (kind === "bytes") return fromBase64(body);
  } else if (Array.isArray(body)) {
    const items = body.map(fromTagged);
    if (kind === "tuple") return Tuple.from(items);
    if (kind === "set") return new Set(items);
    if (kind === "frozenset") return new FrozenSet(items);
    if (kind === "map" && items.every((pair) => Array.isArray(pair) && pair.length === 2)) {
      return new Map(items as [unknown, unknown][]);
    }
    const [days, seconds, micro] = items;
    if (kind === "duration" && typeof days === "number" && typeof seconds === "number" && typeof micro === "number") {
      return new Duration(days, seconds, micro);
    }
  }
  throw new TypeError(`not a value of the protocol: ${tag.slice(0, 32)}`);
}
