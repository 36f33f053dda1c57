import { decode } from "@msgpack/msgpack";
import { describe, expect, test } from "vitest";

import { jsonForm } from "../../src/codec/json.js";
import { pack } from "../../src/codec/pack.js";
import { unpack } from "../../src/codec/unpack.js";
import { Exact } from "../../src/values/kinds.js";

const bytes = (value: unknown): Uint8Array => pack(value).data as Uint8Array;
const hex = (value: unknown): string => Buffer.from(bytes(value)).toString("hex");
const text = (value: unknown): string => jsonForm.encode(value).data as string;

const integers = [
  0, 1, 127, 128, 255, 256, 65535, 65536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 33, 2 ** 53 - 1,
  -1, -32, -33, -128, -129, -32768, -32769, -(2 ** 31), -(2 ** 31) - 1, -(2 ** 40), -(2 ** 53) + 1,
];

describe("MessagePack", () => {
  test("integers of all sizes survive, and others read them", () => {
    for (const value of integers) {
      expect(unpack(bytes(value))).toBe(value);
      expect(unpack(bytes(BigInt(value)))).toBe(value);
      expect(BigInt(decode(bytes(value), { useBigInt64: true }) as number)).toBe(BigInt(value));
    }
  });

  test("an integer beyond 32 bits is sent as one, and not as a float", () => {
    expect(hex(2 ** 33)).toBe("cf0000000200000000");
    expect(hex(-(2 ** 40))).toBe("d3ffffff0000000000");
    expect(hex(2n ** 63n)).toBe("cf8000000000000000");
    expect(hex(-(2n ** 63n))).toBe("d38000000000000000");
  });

  test("an integer beyond the safe ones comes as a bigint, and one beyond 64 bits goes as text", () => {
    for (const value of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n, -(2n ** 63n)]) expect(unpack(bytes(value))).toBe(value);
    expect(unpack(bytes(2n ** 64n))).toBe("18446744073709551616");
    expect(unpack(bytes(-(2n ** 63n) - 1n))).toBe("-9223372036854775809");
  });

  test("floats survive, the negative zero and what is not finite included", () => {
    for (const value of [-0, 0.1, 1e308, 5e-324, Infinity, -Infinity, NaN]) expect(unpack(bytes(value))).toBe(value);
  });

  test("texts of all lengths survive", () => {
    for (const length of [0, 1, 23, 24, 25, 31, 32, 63, 64, 255, 256, 65535, 65536]) {
      for (const letter of ["a", "é", "日", "😀"]) {
        const value = letter.repeat(length);
        expect(unpack(bytes(value))).toBe(value);
        expect(decode(bytes(value))).toBe(value);
      }
    }
    expect(() => pack("\ud800")).toThrow("surrogate");
  });

  test("collections survive, with any keys", () => {
    const value = { a: [1, [2, { b: null }]], "": true, __proto__x: new Uint8Array([0, 255]) };
    expect(unpack(bytes(value))).toEqual(value);
    expect(unpack(bytes(new Map([[1, "one"]])))).toEqual(new Map([[1, "one"]]));
    expect(unpack(bytes(new Set([1, 2])))).toEqual([1, 2]);
    expect(unpack(bytes(new Map([["__proto__", 1]])))).toEqual(Object.fromEntries([["__proto__", 1]]));
    expect(unpack(bytes({ a: undefined, b: 1 }))).toEqual({ b: 1 });
    expect(unpack(bytes(Array.from({ length: 70_000 }, (_, at) => at)))).toHaveLength(70_000);
    expect(unpack(bytes({ at: new Date(0), exact: new Exact("decimal", "1.50") }))).toEqual({
      at: "1970-01-01T00:00:00.000Z", exact: "1.50",
    });
  });

  test("what is no value is refused", () => {
    let deep: unknown = 1;
    for (let level = 0; level < 65; level++) deep = [deep];
    expect(() => pack(deep)).toThrow("deeper than 64");
    for (const value of [() => 1, Symbol("x")]) expect(() => pack(value)).toThrow("cannot be sent");
    for (const data of ["c1", "91", "cf00", "a561", "c40500", "0101", "ddffffffff", "dfffffffff"]) {
      expect(() => unpack(Buffer.from(data, "hex"))).toThrow();
    }
    expect(() => unpack(Buffer.alloc(70, 0x91))).toThrow();
  });

  test("the nodes of a value are counted as the server counts them", () => {
    expect(pack({ a: [1, 2], b: {} }).nodes).toBe(7);
    expect(pack([]).nodes).toBe(1);
  });
});

describe("JSON", () => {
  const read = (line: string): unknown => jsonForm.decode(line)[0];

  test("integers of any length survive", () => {
    for (const value of integers) expect(read(text(value))).toBe(value);
    for (const value of [2n ** 53n, -(2n ** 64n), 10n ** 300n]) {
      expect(read(text([value, { a: value }]))).toEqual([value, { a: value }]);
      expect(text(value)).toBe(value.toString());
    }
  });

  test("digits in texts stay texts, and long floats floats", () => {
    const value = { a: "12345678901234567890", b: '\\" 12345678901234567890', c: 1e21, d: 0.12345678901234567 };
    expect(read(text(value))).toEqual(value);
    expect(read('{"a":12345678901234567890.5}')).toEqual({ a: 12345678901234567890.5 });
  });

  test("what JSON lacks is sent as the protocol says", () => {
    expect(text([NaN, Infinity, -Infinity, -0])).toBe('["NaN","Infinity","-Infinity",-0.0]');
    expect(text(new Uint8Array([255, 254]))).toBe('"__4="');
    expect(text({ set: new Set([1]), map: new Map([[1, 2]]), no: undefined })).toBe('{"set":[1],"map":{"1":2}}');
    expect(() => text("\udc00")).toThrow("surrogate");
  });

  test("one frame has several messages", () => {
    const frame = jsonForm.join([jsonForm.encode({ a: 1 }), jsonForm.encode({ b: "\n" })]);
    expect(jsonForm.decode(frame)).toEqual([{ a: 1 }, { b: "\n" }]);
  });
});
