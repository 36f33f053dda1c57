/** Forms, values and snippets of the page of services. */

import { Exact } from "@remote-services/client";
import { expect, test } from "vitest";
import { groupMethods, isAllowed, nameType, type Method, type Schema } from "../../src/pages/services/document.ts";
import { pythonOf, quote, writeSnippets } from "../../src/pages/services/snippets.ts";
import { splitProse } from "../../src/pages/services/prose.tsx";
import { FieldProblem, makeField, parseExactly, readField, readFields, writeValue } from "../../src/pages/services/values.ts";

const schemas: Record<string, Schema> = {
  Size: { type: "object", title: "Size", properties: { rows: { type: "integer" } } },
  Mode: { type: "string", enum: ["fast", "slow"] },
};

function field(schema: Schema, required = false) {
  return makeField({ name: "x", required, schema }, schemas);
}

function method(name: string, more: Partial<Method> = {}): Method {
  return { name, params: [], result: { schema: {} }, "x-permission": name, "x-kind": "read", "x-deadline_s": 60, ...more };
}

test("each type has its widget", () => {
  expect(field({ type: "string" }).widget).toBe("text");
  expect(field({ type: "string", contentEncoding: "base64url" }).widget).toBe("bytes");
  expect(field({ anyOf: [{ type: "integer" }, { type: "null" }] })).toMatchObject({ widget: "integer", isNullable: true });
  expect(field({ allOf: [{ $ref: "#/components/schemas/Mode" }], default: "fast" })).toMatchObject({
    widget: "choice", choices: ["fast", "slow"], default: '"fast"',
  });
  expect(field({ type: "array", items: { type: "string" } }).widget).toBe("lines");
  expect(field({ $ref: "#/components/schemas/Size" }).widget).toBe("json");
  expect(makeField({ name: "x", schema: {}, "x-stream": { type: "integer" } }, schemas)).toMatchObject({ isStream: true, type: "stream of integer" });
});

test("types are named for people", () => {
  expect(nameType({ anyOf: [{ $ref: "#/components/schemas/Size" }, { type: "null" }] }, schemas)).toBe("Size or null");
  expect(nameType({ type: "array", items: { type: "string" } }, schemas)).toBe("list of string");
  expect(nameType({ type: "object", additionalProperties: { type: "number" } }, schemas)).toBe("object of number");
});

test("what was typed becomes exact values, or a problem of its field", () => {
  expect(readField(field({ type: "integer" }), "9223372036854775807")).toBe(9223372036854775807n);
  expect(readField(field({ type: "integer" }), " 12 ")).toBe(12);
  expect(readField(field({ type: "array", items: { type: "string" } }), "ls\n-l\n")).toEqual(["ls", "-l"]);
  expect(readField(field({ type: "string" }), "")).toBeUndefined();
  expect(readField(field({ type: "string" }, true), "")).toBe("");
  expect(readField(field({ type: "string", contentEncoding: "base64url" }), "hé")).toEqual(new TextEncoder().encode("hé"));
  expect(() => readField(field({ type: "integer" }, true), "")).toThrow(FieldProblem);
  expect(() => readField(field({ type: "number" }), "much")).toThrow("much is no number");
  expect(() => readField(field({}), "{")).toThrow(FieldProblem);
  expect(readFields([field({ type: "boolean" })], { x: "false" })).toEqual({ x: false });
});

test("JSON keeps integers of any size", () => {
  const value = parseExactly('{"a": [9223372036854775807, 1, 1e300]}', "x");
  expect(value).toEqual({ a: [9223372036854775807n, 1, 1e300] });
  expect(writeValue(value, 0)).toBe('{"a": [9223372036854775807, 1, 1e+300]}');
});

test("values are written so that they can be read", () => {
  expect(writeValue({ out: new TextEncoder().encode("hi\n"), raw: new Uint8Array([255, 0]) }, 2)).toBe(
    '{\n  "out": "hi\\n",\n  "raw": bytes.fromhex("ff 00")\n}',
  );
  expect(writeValue([], 2)).toBe("[]");
  expect(writeValue([new Exact("decimal", "1.10"), new Set([1])], 0)).toBe('["1.10", [1]]');
  expect(writeValue({ rows: [{ a: null }] }, 2)).toBe('{\n  "rows": [\n    {\n      "a": null\n    }\n  ]\n}');
});

test("the same call in other languages", () => {
  const [python, script, shell, json] = writeSnippets(method("desk.add"), { a: 1, text: "it's", big: 2n ** 63n }, "ws://h:1/");
  expect(python?.text).toContain('client.call("desk.add", {"a": 1, "text": "it\'s", "big": 9223372036854775808})');
  expect(script?.text).toContain('client.call("desk.add", { a: 1, text: "it\'s", big: 9223372036854775808n })');
  expect(shell?.text).toBe("rpcclient --url ws://h:1/ call desk.add a:=1 'text=it'\\''s' big:=9223372036854775808\n");
  expect(JSON.parse(json?.text.replace("9223372036854775808", "1") ?? "")).toMatchObject({ method: "desk.add", params: { a: 1 } });
  const [stream] = writeSnippets(method("desk.count", { result: { schema: {}, "x-stream": { type: "integer" } } }), {}, "ws://h:1/");
  expect(stream?.text).toContain('with client.stream("desk.count") as items:');
  expect(pythonOf([true, null, new Uint8Array([104, 34, 255])])).toBe('[True, None, b"h\\x22\\xff"]');
  expect(quote("a b")).toBe("'a b'");
  expect(writeSnippets(method("d.e"), { text: "12" }, "ws://h/")[2]?.text).toContain("'text:=\"12\"'");
});

test("methods are found by all words, and the protocol's own come last", () => {
  const methods = [method("rpc.ping", { summary: "Answer." }), method("b.run", { summary: "Run it." }), method("a.run")];
  expect(groupMethods(methods, "").map((each) => each.name)).toEqual(["a", "b", "rpc"]);
  expect(groupMethods(methods, "RUN it").map((each) => each.name)).toEqual(["b"]);
});

test("a role allows what its permissions say, and everybody what is open", () => {
  expect(isAllowed(method("rpc.ping"), new Set())).toBe(true);
  expect(isAllowed(method("a.run", { "x-permission": "a.use" }), new Set(["a.use"]))).toBe(true);
  expect(isAllowed(method("a.run"), new Set())).toBe(false);
});

test("a docstring has its parts", () => {
  expect(splitProse("One.\n\nParameters:\n    a: first.\n        more.\n\nRaises:\n    Busy: never.")).toEqual([
    { title: "", text: "One." }, { title: "Parameters", text: "a: first.\n    more." }, { title: "Raises", text: "Busy: never." },
  ]);
});
