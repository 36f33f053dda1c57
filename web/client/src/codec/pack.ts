/** Writes MessagePack. Integers are exact up to 64 bits, and beyond that text, as the protocol has them. */

import { Duration, Exact } from "../values/kinds.js";
import { checkText, depthError, Encoded, MAX_DEPTH } from "./form.js";

const utf8 = new TextEncoder();

let buffer = new Uint8Array(4096);
let view = new DataView(buffer.buffer);
let at = 0;
let nodes = 0;
let isBusy = false;

const LARGEST_KEPT = 1 << 20;

/** Encodes a value.
 * @throws TypeError: a part of it cannot be sent. */
export function pack(value: unknown): Encoded {
  if (isBusy) throw new TypeError("toJSON of a value must not encode anything");
  isBusy = true;
  at = nodes = 0;
  try {
    write(value, 0);
    return new Encoded(buffer.slice(0, at), nodes);
  } finally {
    isBusy = false;
    if (buffer.length > LARGEST_KEPT) {
      buffer = new Uint8Array(4096);
      view = new DataView(buffer.buffer);
    }
  }
}

function reserve(bytes: number): void {
  if (at + bytes <= buffer.length) return;
  const larger = new Uint8Array(Math.max(buffer.length * 2, at + bytes));
  larger.set(buffer.subarray(0, at));
  buffer = larger;
  view = new DataView(buffer.buffer);
}

function byte(value: number): void {
  reserve(1);
  buffer[at++] = value;
}

function write(value: unknown, depth: number): void {
  nodes++;
  switch (typeof value) {
    case "string":
      writeText(value);
      return;
    case "number":
      writeNumber(value);
      return;
    case "boolean":
      byte(value ? 0xc3 : 0xc2);
      return;
    case "bigint":
      writeBigint(value);
      return;
    case "undefined":
      byte(0xc0);
      return;
    case "object":
      if (value === null) byte(0xc0);
      else writeObject(value, depth);
      return;
    default:
      throw new TypeError(`a ${typeof value} cannot be sent`);
  }
}

function writeObject(value: object, depth: number): void {
  if (value instanceof Encoded) {
    reserve(value.data.length);
    buffer.set(value.data as Uint8Array, at);
    at += value.data.length;
    nodes += value.nodes - 1;
  } else if (value instanceof Uint8Array) {
    writeHead(value.length, -1, 0xc4, 0xc5, 0xc6);
    reserve(value.length);
    buffer.set(value, at);
    at += value.length;
  } else if (ArrayBuffer.isView(value)) {
    writeObject(new Uint8Array(value.buffer, value.byteOffset, value.byteLength), depth);
  } else if (value instanceof ArrayBuffer) {
    writeObject(new Uint8Array(value), depth);
  } else if (Array.isArray(value) || value instanceof Set) {
    if (depth >= MAX_DEPTH) throw depthError();
    const items: Iterable<unknown> = value;
    writeHead(Array.isArray(value) ? value.length : value.size, 0x90, -1, 0xdc, 0xdd);
    for (const item of items) write(item, depth + 1);
  } else if (value instanceof Map) {
    if (depth >= MAX_DEPTH) throw depthError();
    writeHead(value.size, 0x80, -1, 0xde, 0xdf);
    for (const [key, item] of value as Map<unknown, unknown>) {
      write(key, depth + 1);
      write(item, depth + 1);
    }
  } else if (value instanceof Exact || value instanceof Duration) {
    writeText(value.toString());
  } else if ("toJSON" in value && typeof value.toJSON === "function") {
    nodes--;
    write((value.toJSON as () => unknown)(), depth);
  } else {
    if (depth >= MAX_DEPTH) throw depthError();
    writeRecord(value as Record<string, unknown>, depth);
  }
}

function writeRecord(value: Record<string, unknown>, depth: number): void {
  const names = Object.keys(value);
  let count = 0;
  for (const name of names) if (value[name] !== undefined) count++;
  writeHead(count, 0x80, -1, 0xde, 0xdf);
  for (const name of names) {
    const item = value[name];
    if (item === undefined) continue;
    nodes++;
    writeText(name);
    write(item, depth + 1);
  }
}

/** Writes the head of something that has a length. A kind that lacks one of the formats has -1 in its place. */
function writeHead(length: number, fix: number, small: number, medium: number, large: number): void {
  reserve(5);
  if (fix >= 0 && length < (fix === 0xa0 ? 32 : 16)) {
    buffer[at++] = fix | length;
  } else if (small >= 0 && length < 0x100) {
    buffer[at++] = small;
    buffer[at++] = length;
  } else if (length < 0x10000) {
    buffer[at++] = medium;
    view.setUint16(at, length);
    at += 2;
  } else {
    buffer[at++] = large;
    view.setUint32(at, length);
    at += 4;
  }
}

const SHORT = 64;

function writeText(text: string): void {
  const length = text.length;
  if (length < SHORT) {
    reserve(2 + length);
    const start = at;
    let position = at + (length < 32 ? 1 : 2);
    let code = 0;
    let index = 0;
    for (; index < length; index++) {
      code = text.charCodeAt(index);
      if (code > 0x7f) break;
      buffer[position++] = code;
    }
    if (index === length) {
      if (length < 32) {
        buffer[start] = 0xa0 | length;
      } else {
        buffer[start] = 0xd9;
        buffer[start + 1] = length;
      }
      at = position;
      return;
    }
  }
  const bytes = utf8.encode(checkText(text));
  writeHead(bytes.length, 0xa0, 0xd9, 0xda, 0xdb);
  reserve(bytes.length);
  buffer.set(bytes, at);
  at += bytes.length;
}

function writeNumber(value: number): void {
  reserve(9);
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
    writeInteger(value);
    return;
  }
  buffer[at++] = 0xcb;
  view.setFloat64(at, value);
  at += 8;
}

function writeInteger(value: number): void {
  if (value >= 0) {
    if (value < 0x80) {
      buffer[at++] = value;
    } else if (value < 0x100) {
      buffer[at++] = 0xcc;
      buffer[at++] = value;
    } else if (value < 0x10000) {
      buffer[at++] = 0xcd;
      view.setUint16(at, value);
      at += 2;
    } else if (value < 0x100000000) {
      buffer[at++] = 0xce;
      view.setUint32(at, value);
      at += 4;
    } else {
      buffer[at++] = 0xcf;
      view.setUint32(at, Math.floor(value / 0x100000000));
      view.setUint32(at + 4, value >>> 0);
      at += 8;
    }
  } else if (value >= -0x20) {
    buffer[at++] = value;
  } else if (value >= -0x80) {
    buffer[at++] = 0xd0;
    view.setInt8(at++, value);
  } else if (value >= -0x8000) {
    buffer[at++] = 0xd1;
    view.setInt16(at, value);
    at += 2;
  } else if (value >= -0x80000000) {
    buffer[at++] = 0xd2;
    view.setInt32(at, value);
    at += 4;
  } else {
    buffer[at++] = 0xd3;
    view.setInt32(at, Math.floor(value / 0x100000000));
    view.setUint32(at + 4, value >>> 0);
    at += 8;
  }
}

function writeBigint(value: bigint): void {
  reserve(9);
  if (value >= 0n && value < 1n << 64n) {
    if (value <= 0xffffffffn) {
      writeInteger(Number(value));
      return;
    }
    buffer[at++] = 0xcf;
    view.setBigUint64(at, value);
    at += 8;
  } else if (value < 0n && value >= -(1n << 63n)) {
    if (value >= -0x80000000n) {
      writeInteger(Number(value));
      return;
    }
    buffer[at++] = 0xd3;
    view.setBigInt64(at, value);
    at += 8;
  } else {
    writeText(value.toString());
  }
}
