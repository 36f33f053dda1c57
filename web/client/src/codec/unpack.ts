/** Reads MessagePack. An integer beyond the safe ones is a bigint; a map whose keys are all text is a plain object. */

import { toInteger } from "../values/kinds.js";
import { depthError, MAX_DEPTH } from "./form.js";

const utf8 = new TextDecoder("utf-8", { fatal: true });

let data: Uint8Array = new Uint8Array();
let view: DataView = new DataView(data.buffer);
let at = 0;

/** Decodes one value.
 * @throws Error: the bytes are not MessagePack, or something follows the value. */
export function unpack(bytes: Uint8Array): unknown {
  data = bytes;
  view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  at = 0;
  const value = read(0);
  if (at !== bytes.length) throw new TypeError("something follows the value");
  return value;
}

function read(depth: number): unknown {
  const head = byte();
  if (head < 0x80) return head;
  if (head < 0x90) return readMap(head & 0x0f, depth);
  if (head < 0xa0) return readArray(head & 0x0f, depth);
  if (head < 0xc0) return readText(head & 0x1f);
  if (head >= 0xe0) return head - 0x100;
  switch (head) {
    case 0xc0:
      return null;
    case 0xc2:
      return false;
    case 0xc3:
      return true;
    case 0xc4:
      return readBytes(byte());
    case 0xc5:
      return readBytes(view.getUint16(skip(2)));
    case 0xc6:
      return readBytes(view.getUint32(skip(4)));
    case 0xca:
      return view.getFloat32(skip(4));
    case 0xcb:
      return view.getFloat64(skip(8));
    case 0xcc:
      return byte();
    case 0xcd:
      return view.getUint16(skip(2));
    case 0xce:
      return view.getUint32(skip(4));
    case 0xcf:
      return readLong(false);
    case 0xd0:
      return view.getInt8(skip(1));
    case 0xd1:
      return view.getInt16(skip(2));
    case 0xd2:
      return view.getInt32(skip(4));
    case 0xd3:
      return readLong(true);
    case 0xd9:
      return readText(byte());
    case 0xda:
      return readText(view.getUint16(skip(2)));
    case 0xdb:
      return readText(view.getUint32(skip(4)));
    case 0xdc:
      return readArray(view.getUint16(skip(2)), depth);
    case 0xdd:
      return readArray(view.getUint32(skip(4)), depth);
    case 0xde:
      return readMap(view.getUint16(skip(2)), depth);
    case 0xdf:
      return readMap(view.getUint32(skip(4)), depth);
    default:
      throw new TypeError(`0x${head.toString(16)} begins no value of the protocol`);
  }
}

function byte(): number {
  const value = data[at++];
  if (value === undefined) throw new TypeError("the data end too early");
  return value;
}

/** Returns the present place, and goes on by some bytes. */
function skip(bytes: number): number {
  const place = at;
  at += bytes;
  return place;
}

/** Reads an integer of 64 bits. Most are safe, and need no bigint, which would take several times as long. */
function readLong(isSigned: boolean): number | bigint {
  const place = skip(8);
  const high = isSigned ? view.getInt32(place) : view.getUint32(place);
  if (high > -0x200000 && high < 0x200000) return high * 0x100000000 + view.getUint32(place + 4);
  return toInteger(isSigned ? view.getBigInt64(place) : view.getBigUint64(place));
}

function readBytes(length: number): Uint8Array {
  const end = at + length;
  if (end > data.length) throw new TypeError("the data end too early");
  // A small part is copied, so that it does not keep the whole frame.
  const bytes = length * 2 > data.length ? data.subarray(at, end) : data.slice(at, end);
  at = end;
  return bytes;
}

const SHORT = 32;

/** The codes of a short text. To decode it here takes a fraction of the time of a TextDecoder. */
const codes: number[][] = Array.from({ length: SHORT + 1 }, (_, length) => Array<number>(length).fill(0));

function readText(length: number): string {
  const end = at + length;
  if (end > data.length) throw new TypeError("the data end too early");
  const start = at;
  at = end;
  const units = codes[length];
  if (units !== undefined) {
    let index = 0;
    for (; index < length; index++) {
      const code = data[start + index] ?? 0x80;
      if (code > 0x7f) break;
      units[index] = code;
    }
    if (index === length) return String.fromCharCode.apply(undefined, units);
  }
  return utf8.decode(data.subarray(start, end));
}

function readArray(length: number, depth: number): unknown[] {
  if (depth >= MAX_DEPTH) throw depthError();
  if (length > data.length - at) throw new TypeError("the data end too early");
  const items: unknown[] = [];
  for (let index = 0; index < length; index++) items.push(read(depth + 1));
  return items;
}

function readMap(length: number, depth: number): unknown {
  if (depth >= MAX_DEPTH) throw depthError();
  const record: Record<string, unknown> = {};
  for (let index = 0; index < length; index++) {
    const key = read(depth + 1);
    if (typeof key !== "string") return readRest(record, key, length - index, depth);
    setMember(record, key, read(depth + 1));
  }
  return record;
}

/** Reads the rest of a map of which a key is no text. */
function readRest(record: Record<string, unknown>, first: unknown, left: number, depth: number): Map<unknown, unknown> {
  const map = new Map<unknown, unknown>(Object.entries(record));
  map.set(first, read(depth + 1));
  for (let index = 1; index < left; index++) {
    const key = read(depth + 1);
    map.set(key, read(depth + 1));
  }
  return map;
}

function setMember(record: Record<string, unknown>, name: string, value: unknown): void {
  if (name === "__proto__") {
    Object.defineProperty(record, name, { value, enumerable: true, configurable: true, writable: true });
  } else {
    record[name] = value;
  }
}
