/** What a stub knows of the types of values, so that bytes, long integers, sets and the like are the same in every form
 * of the wire. */

import { unpack } from "./codec/unpack.js";
import { fromBase64 } from "./values/base64.js";
import { toInteger } from "./values/kinds.js";
import { loadRows } from "./values/rows.js";
import { fromTagged, toTagged } from "./values/tagged.js";

/** The type of a value. A value of the type `plain` is the same everywhere. A model is a function, since models may
 * have themselves as members. What is `packed` is bytes in MessagePack, which hold the value in MessagePack. */
export type Shape =
  | "plain" | "int" | "float" | "bytes" | "value" | "rows"
  | readonly ["packed", Shape]
  | readonly ["list" | "set", Shape]
  | readonly ["map", Shape, Shape]
  | readonly ["record", Shape]
  | readonly ["tuple", ...Shape[]]
  | readonly ["union", ...Shape[]]
  | (() => Readonly<Record<string, Shape>>);

/** Reads a value that has arrived.
 * @param isPacked - whether it came in MessagePack; otherwise in JSON.
 * @throws TypeError: it is not of this type. */
export function load(shape: Shape, data: unknown, isPacked: boolean): unknown {
  if (shape === "plain" || data === null) return data;
  if (typeof shape === "string") return loadPart(shape, data);
  if (typeof shape === "function") return mapRecord(data, shape(), (member, value) => load(member, value, isPacked));
  switch (shape[0]) {
    case "packed":
      return load(shape[1], data instanceof Uint8Array ? unpack(data) : data, isPacked);
    case "list":
      return Array.from(data as Iterable<unknown>, (item) => load(shape[1], item, isPacked));
    case "set":
      return new Set(Array.from(data as Iterable<unknown>, (item) => load(shape[1], item, isPacked)));
    case "map":
      return new Map(
        entriesOf(data).map(([key, item]) => [loadKey(shape[1], key, isPacked), load(shape[2], item, isPacked)]),
      );
    case "record":
      return Object.fromEntries(entriesOf(data).map(([key, item]) => [key, load(shape[1], item, isPacked)]));
    case "tuple": {
      const members = shape.slice(1) as readonly Shape[];
      return Array.from(data as Iterable<unknown>, (item, at) => load(members[at] ?? "plain", item, isPacked));
    }
    case "union": {
      const members = shape.slice(1) as readonly Shape[];
      return load(members.find((member) => fits(member, data, isPacked)) ?? "plain", data, isPacked);
    }
  }
}

function loadPart(shape: "int" | "float" | "bytes" | "value" | "rows", data: unknown): unknown {
  switch (shape) {
    case "int":
      return typeof data === "string" ? toInteger(BigInt(data)) : data;
    case "float":
      return Number(data);
    case "bytes":
      return typeof data === "string" ? fromBase64(data) : data;
    case "value":
      return fromTagged(data);
    case "rows":
      return loadRows(data);
  }
}

/** Reads the key of a map: JSON has only text for keys. */
function loadKey(shape: Shape, key: unknown, isPacked: boolean): unknown {
  if (typeof key === "string" && shape === "int") return toInteger(BigInt(key));
  return load(shape, key, isPacked);
}

function entriesOf(data: unknown): [unknown, unknown][] {
  return data instanceof Map ? [...(data as Map<unknown, unknown>)] : Object.entries(data as object);
}

function mapRecord(
  data: unknown, members: Readonly<Record<string, Shape>>, convert: (shape: Shape, value: unknown) => unknown,
): unknown {
  if (typeof data !== "object" || data === null || Array.isArray(data)) return data;
  return Object.fromEntries(
    Object.entries(data).map(([name, value]) => [
      name, Object.hasOwn(members, name) ? convert(members[name] ?? "plain", value) : value,
    ]),
  );
}

/** Tells whether a value that has arrived may be of a type. */
function fits(shape: Shape, data: unknown, isPacked: boolean): boolean {
  const isText = typeof data === "string";
  if (typeof shape === "function") {
    const members = Object.keys(shape());
    return typeof data === "object" && data !== null && Object.keys(data).every((name) => members.includes(name));
  }
  if (typeof shape !== "string") {
    if (shape[0] === "packed") return true;
    if (shape[0] === "union") return (shape.slice(1) as readonly Shape[]).some((member) => fits(member, data, isPacked));
    const isList = shape[0] === "list" || shape[0] === "set" || shape[0] === "tuple";
    return isList ? Array.isArray(data) : typeof data === "object" && data !== null && !Array.isArray(data);
  }
  switch (shape) {
    case "plain":
      return typeof data !== "object";
    case "int":
      return typeof data === "bigint" || Number.isInteger(data) || (isText && isPacked && /^-?\d{19,}$/.test(data));
    case "float":
      return typeof data === "number" || (isText && /^(NaN|-?Infinity)$/.test(data));
    case "bytes":
      return data instanceof Uint8Array || (isText && !isPacked);
    case "value":
    case "rows":
      return true;
  }
}

/** Makes what is sent of a value. Only values whose type is not known in advance need it: encoders know all others. */
export function dump(shape: Shape, value: unknown, isPacked: boolean): unknown {
  if (value === null || value === undefined || typeof shape === "string") {
    return shape === "value" ? toTagged(value, isPacked) : value;
  }
  if (typeof shape === "function") return mapRecord(value, shape(), (member, item) => dump(member, item, isPacked));
  switch (shape[0]) {
    case "packed":
      return dump(shape[1], value, isPacked);
    case "list":
    case "set":
      return Array.from(value as Iterable<unknown>, (item) => dump(shape[1], item, isPacked));
    case "map":
      return new Map(entriesOf(value).map(([key, item]) => [key, dump(shape[2], item, isPacked)]));
    case "record":
      return Object.fromEntries(entriesOf(value).map(([key, item]) => [key, dump(shape[1], item, isPacked)]));
    case "tuple": {
      const members = shape.slice(1) as readonly Shape[];
      return Array.from(value as Iterable<unknown>, (item, at) => dump(members[at] ?? "plain", item, isPacked));
    }
    case "union": {
      const members = shape.slice(1) as readonly Shape[];
      const member = members.find((each) => each !== "plain" && fits(each, value, true));
      return member === undefined ? value : dump(member, value, isPacked);
    }
  }
}
