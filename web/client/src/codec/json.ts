/** The form of the wire in JSON: one or more messages in a frame, a line each. Integers are exact, of any length. */

import { toUrlBase64 } from "../values/base64.js";
import { Duration, Exact, toInteger } from "../values/kinds.js";
import { checkText, depthError, Encoded, MAX_DEPTH, type Form, type Frame } from "./form.js";

let nodes = 0;

function write(value: unknown, depth: number): string {
  nodes++;
  switch (typeof value) {
    case "string":
      return JSON.stringify(checkText(value));
    case "number":
      if (!Number.isFinite(value)) return `"${String(value)}"`;
      return Object.is(value, -0) ? "-0.0" : String(value);
    case "boolean":
    case "bigint":
      return String(value);
    case "undefined":
      return "null";
    case "object":
      return value === null ? "null" : writeObject(value, depth);
    default:
      throw new TypeError(`a ${typeof value} cannot be sent`);
  }
}

function writeObject(value: object, depth: number): string {
  if (value instanceof Encoded) {
    nodes += value.nodes - 1;
    return value.data as string;
  }
  if (value instanceof Uint8Array) return `"${toUrlBase64(value)}"`;
  if (ArrayBuffer.isView(value)) {
    return `"${toUrlBase64(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))}"`;
  }
  if (value instanceof ArrayBuffer) return `"${toUrlBase64(new Uint8Array(value))}"`;
  if (value instanceof Exact || value instanceof Duration) return JSON.stringify(value.toString());
  if (depth >= MAX_DEPTH) throw depthError();
  if (Array.isArray(value) || value instanceof Set) {
    return `[${Array.from(value as Iterable<unknown>, (item) => write(item, depth + 1)).join(",")}]`;
  }
  if (value instanceof Map) {
    return `{${[...(value as Map<unknown, unknown>)].map(([key, item]) => writeMember(key, item, depth)).join(",")}}`;
  }
  if ("toJSON" in value && typeof value.toJSON === "function") {
    nodes--;
    return write((value.toJSON as () => unknown)(), depth);
  }
  const members: string[] = [];
  for (const [name, item] of Object.entries(value)) {
    if (item !== undefined) members.push(writeMember(name, item, depth));
  }
  return `{${members.join(",")}}`;
}

function writeMember(key: unknown, item: unknown, depth: number): string {
  nodes++;
  return `${JSON.stringify(checkText(nameOf(key)))}:${write(item, depth + 1)}`;
}

function nameOf(key: unknown): string {
  if (typeof key === "string") return key;
  if (typeof key === "number" || typeof key === "bigint" || key instanceof Exact) return key.toString();
  throw new TypeError("a name in JSON must be text or a number");
}

const LONG_INTEGER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g;

/** Tells integers that were replaced by texts from all other texts: nobody outside knows it. */
const mark = `\u0000${Math.random().toString(36)}:`;

/** Reads one JSON text. Integers that no number holds exactly are bigints. */
function parse(text: string): unknown {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  const replaced = text.replace(LONG_INTEGER, (token) =>
    token.length < 16 || !/^-?\d+$/.test(token) ? token : JSON.stringify(mark + token),
  );
  return JSON.parse(replaced, (_name, value: unknown) =>
    typeof value === "string" && value.startsWith(mark) ? toInteger(BigInt(value.slice(mark.length))) : value,
  );
}

/** `rpc.v1.json`. */
export const jsonForm: Form = {
  subprotocol: "rpc.v1.json",
  packed: false,

  encode(value: unknown): Encoded {
    nodes = 0;
    const text = write(value, 0);
    return new Encoded(text, nodes);
  },

  join(messages: readonly Encoded[]): Frame {
    return messages.map((message) => message.data).join("\n");
  },

  decode(frame: Frame): unknown[] {
    if (typeof frame !== "string") throw new TypeError("a binary frame in a text form");
    return frame.split("\n").filter((line) => line.trim() !== "").map(parse);
  },
};
