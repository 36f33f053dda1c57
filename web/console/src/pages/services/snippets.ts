/** The same call in other languages. */

import { isStream, type Method } from "./document.ts";
import { writeValue } from "./values.ts";

/** A way to write a call. */
export interface Snippet {
  readonly name: string;
  readonly text: string;
}

/** Writes a call in every language.
 * @param url - the address of the server, with `ws` or `wss`. */
export function writeSnippets(method: Method, params: Readonly<Record<string, unknown>>, url: string): Snippet[] {
  return [
    { name: "Python", text: writePython(method, params, url) },
    { name: "TypeScript", text: writeTypeScript(method, params, url) },
    { name: "Shell", text: writeShell(method, params, url) },
    { name: "JSON", text: writeJson(method, params) },
  ];
}

function writePython(method: Method, params: Readonly<Record<string, unknown>>, url: string): string {
  const given = Object.keys(params).length === 0 ? "" : `, ${pythonOf(params)}`;
  const head = `from rpcclient import Client\n\nwith Client(${pythonOf(url)}) as client:\n`;
  return isStream(method)
    ? `${head}    with client.stream(${pythonOf(method.name)}${given}) as items:\n        for item in items:\n            print(item)\n`
    : `${head}    print(client.call(${pythonOf(method.name)}${given}))\n`;
}

/** Writes a value in Python. */
export function pythonOf(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Uint8Array) {
    const text = [...value].map((byte) => (byte >= 32 && byte < 127 && byte !== 34 && byte !== 92
      ? String.fromCharCode(byte)
      : `\\x${byte.toString(16).padStart(2, "0")}`));
    return `b"${text.join("")}"`;
  }
  if (Array.isArray(value)) return `[${value.map(pythonOf).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}: ${pythonOf(each)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}

function writeTypeScript(method: Method, params: Readonly<Record<string, unknown>>, url: string): string {
  const given = Object.keys(params).length === 0 ? "" : `, ${scriptOf(params)}`;
  const head = `import { Client } from "@remote-services/client";\n\nconst client = new Client(${JSON.stringify(url)}, { token });\n`;
  return isStream(method)
    ? `${head}for await (const item of client.stream(${JSON.stringify(method.name)}${given})) console.log(item);\n`
    : `${head}console.log(await client.call(${JSON.stringify(method.name)}${given}));\n`;
}

function scriptOf(value: unknown): string {
  if (typeof value === "bigint") return `${value.toString()}n`;
  if (value instanceof Uint8Array) return `new Uint8Array([${[...value].join(", ")}])`;
  if (Array.isArray(value)) return `[${value.map(scriptOf).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    return `{ ${Object.entries(value).map(([key, each]) => `${/^[A-Za-z_]\w*$/.test(key) ? key : JSON.stringify(key)}: ${scriptOf(each)}`).join(", ")} }`;
  }
  return JSON.stringify(value);
}

function writeShell(method: Method, params: Readonly<Record<string, unknown>>, url: string): string {
  const words = Object.entries(params).map(([name, value]) => quote(
    typeof value === "string" && !isJson(value) ? `${name}=${value}` : `${name}:=${writeValue(value, 0)}`,
  ));
  return `rpcclient --url ${quote(url)} call ${[method.name, ...words].join(" ")}\n`;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return /^[@-]/.test(text); // These have a meaning of their own.
  }
}

/** Quotes a word for the shell, if that is needed. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

function writeJson(method: Method, params: Readonly<Record<string, unknown>>): string {
  const request: Record<string, unknown> = { jsonrpc: "2.0", id: 1, method: method.name };
  if (Object.keys(params).length > 0) request["params"] = encodeBytes(params);
  return `${writeValue(request, 2)}\n`;
}

/** In JSON, bytes travel in base64 with the URL-safe alphabet (docs/protocol.md). */
function encodeBytes(value: unknown): unknown {
  if (value instanceof Uint8Array) {
    return btoa(String.fromCharCode(...value)).replaceAll("+", "-").replaceAll("/", "_");
  }
  if (Array.isArray(value)) return value.map(encodeBytes);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, encodeBytes(each)]));
  }
  return value;
}
