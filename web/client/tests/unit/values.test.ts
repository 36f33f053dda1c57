import { expect, test } from "vitest";

import { msgpackForm } from "../../src/codec/msgpack.js";
import { jsonForm } from "../../src/codec/json.js";
import { dump, load, type Shape } from "../../src/shapes.js";
import { Duration, Exact, FrozenSet, Tuple } from "../../src/values/kinds.js";
import { fromTagged, toTagged } from "../../src/values/tagged.js";

const forms = [msgpackForm, jsonForm];

const values: unknown[] = [
  null, true, 1, 1.5, -0, NaN, Infinity, 2n ** 53n, -(2n ** 70n), "text", new Uint8Array([0, 255]),
  new Exact("decimal", "1.50"), new Exact("datetime", "2026-11-23T07:47:32.000001+02:00"), new Exact("date", "2026-11-23"),
  new Exact("time", "07:47:32"), new Exact("uuid", "12345678-1234-5678-1234-567812345678"), new Duration(-1, 30, 5),
  [1, [new Uint8Array([1])]], Tuple.from([1, 2]), new Set([1, 2]), new FrozenSet(["a"]), { a: { b: 2n ** 60n } },
  new Map<unknown, unknown>([[1, "one"], [Tuple.from([1]), 2]]), new Map([["$int", "1"]]),
];

test("tagged values survive in both forms", () => {
  for (const form of forms) {
    for (const value of values) {
      const frame = form.join([form.encode(toTagged(value, form.packed))]);
      // A frame of MessagePack that is an array has several messages.
      const decoded = form.decode(frame);
      const data = Array.isArray(value) && form.packed && !(value instanceof Tuple) ? decoded : decoded[0];
      expect(fromTagged(data)).toEqual(value);
    }
  }
});

test("a tag that is unknown or has the wrong body is refused", () => {
  for (const data of [{ $what: 1 }, { $int: "x" }, { $map: [[1]] }, { $duration: [1] }]) {
    expect(() => fromTagged(data)).toThrow("not a value");
  }
});

test("typed values survive in both forms", () => {
  const model: Shape = () => ({ raw: "bytes", size: "int", next: model, odd: "float" });
  const cases: readonly (readonly [Shape, unknown])[] = [
    ["bytes", new Uint8Array([1, 255])],
    ["int", 2n ** 70n],
    ["float", NaN],
    [["set", "int"], new Set([1, 2n ** 60n])],
    [["map", "int", "bytes"], new Map([[1, new Uint8Array([1])], [-5, new Uint8Array()]])],
    [["record", ["list", "bytes"]], { a: [new Uint8Array([7])] }],
    [["tuple", "int", "plain", "bytes"], [1, "a", new Uint8Array([3])]],
    [["union", "plain", "bytes"], null],
    [["union", model, "plain"], { raw: new Uint8Array([1]), size: 5, next: null, odd: -Infinity }],
    [["list", "value"], [2n ** 60n, new Exact("decimal", "1.0"), new Set([1])]],
  ];
  for (const form of forms) {
    for (const [shape, value] of cases) {
      const [message] = form.decode(form.encode({ value: dump(shape, value, form.packed) }).data);
      expect(load(shape, (message as { value: unknown }).value, form.packed)).toEqual(value);
    }
  }
});

test("a duration is written as ISO 8601 has it", () => {
  expect(new Duration(1, 30, 5).toString()).toBe("PT86430.000005S");
  expect(new Duration(-1, 1, 1).toString()).toBe("-PT86398.999999S");
  expect(new Duration(0, 0, 0).toMs()).toBe(0);
});
