import { expect, test } from "vitest";

import { jsonForm } from "../../src/codec/json.js";
import { msgpackForm } from "../../src/codec/msgpack.js";
import { Busy, LocalProtocolError, TooLarge } from "../../src/errors.js";
import { DEFAULT_LIMITS } from "../../src/wire/limits.js";
import type { SessionEvent } from "../../src/wire/messages.js";
import { Session } from "../../src/wire/session.js";

const ALL = Number.MAX_SAFE_INTEGER;

function makeSession(limits: Partial<typeof DEFAULT_LIMITS> = {}): Session {
  return new Session(jsonForm, { ...DEFAULT_LIMITS, ...limits });
}

function sent(session: Session): unknown[] {
  return session.frames(ALL).flatMap((frame) => session.form.decode(frame));
}

function receive(session: Session, ...messages: object[]): SessionEvent[] {
  const lines = messages.map((message) => JSON.stringify({ jsonrpc: "2.0", ...message })).join("\n");
  return [...session.receive(lines)];
}

test("an answer reaches its call once", () => {
  const session = makeSession();
  expect(session.call("a.b", [1], { ttl_ms: 5 })).toBe(1);
  expect(sent(session)).toEqual([{ jsonrpc: "2.0", id: 1, method: "a.b", params: [1], ctx: { ttl_ms: 5 } }]);
  expect(receive(session, { id: 1, result: 3 })).toEqual([{ kind: "result", id: 1, value: 3 }]);
  expect(receive(session, { id: 1, result: 3 })).toEqual([]);
  expect(receive(session, { id: 2, result: 3 }).map((event) => event.kind)).toEqual(["violation"]);
});

test("messages that are ready together go in one frame, up to a size", () => {
  const session = new Session(msgpackForm, DEFAULT_LIMITS);
  for (let count = 0; count < 3; count++) session.call("a.b", ["x".repeat(20_000)], undefined);
  session.notify("a.c", undefined);
  expect(session.frames(ALL)).toHaveLength(3);
  expect(session.hasOutput).toBe(false);
});

test("frames are given only up to a number of bytes, and the rest was never sent", () => {
  const session = makeSession();
  for (let count = 0; count < 4; count++) session.call("a.b", ["x".repeat(40_000)], undefined);
  expect(session.frames(60_000)).toHaveLength(2);
  expect(session.close()).toEqual({ unsent: [3, 4], lost: [1, 2] });
  expect(() => session.call("a.b", [], undefined)).toThrow(LocalProtocolError);
});

test("a call that was not sent yet is taken back, another one is cancelled over there", () => {
  const session = makeSession();
  session.call("a.b", [], undefined);
  sent(session);
  session.call("a.b", [], undefined);
  expect(session.cancel(2)).toBe(false);
  expect(session.cancel(1)).toBe(true);
  expect(sent(session)).toEqual([{ jsonrpc: "2.0", method: "rpc.cancel", params: { id: 1 } }]);
});

test("a message beyond a limit is not sent", () => {
  const session = makeSession({ messageBytes: 1000, messageNodes: 50 });
  expect(() => session.call("a.b", ["x".repeat(1000)], undefined)).toThrow(TooLarge);
  expect(() => session.call("a.b", Array(60).fill(0), undefined)).toThrow("values, and the limit is 50");
  expect(session.hasOutput).toBe(false);
});

test("a producer waits for credit", () => {
  const session = makeSession();
  const stream = session.streams.open();
  for (let item = 0; item < 16; item++) session.streams.sendItem(stream, item);
  expect(() => {
    session.streams.sendItem(stream, 16);
  }).toThrow("takes no item");
  expect(receive(session, { method: "rpc.stream.credit", params: { stream: "c1", n: 2 } })).toEqual([
    { kind: "credit", stream: "c1" },
  ]);
  session.streams.sendItem(stream, 16);
  session.streams.end(stream);
  expect(sent(session)).toEqual([
    { jsonrpc: "2.0", method: "rpc.stream.item", params: { stream: "c1", items: [...Array(17).keys()] } },
    { jsonrpc: "2.0", method: "rpc.stream.end", params: { stream: "c1" } },
  ]);
});

test("a reader grants credit when it has consumed half of its window", () => {
  for (const window of [1, 3, 16, 17, 64, 1000]) {
    const session = makeSession();
    const stream = session.streams.accept("s1", window);
    let granted = 16 + sent(session).reduce<number>((sum, message) => sum + creditOf(message), 0);
    let arrived = 0;
    let ahead = 0;
    for (let turn = 0; turn < 5000; turn++) {
      if (granted > arrived) {
        expect(receive(session, { method: "rpc.stream.item", params: { stream: "s1", items: [turn] } })).toHaveLength(1);
        arrived++;
        ahead++;
      }
      if (granted === arrived && ahead > 0) {
        session.streams.consume(stream, 1);
        ahead--;
      }
      granted += sent(session).reduce<number>((sum, message) => sum + creditOf(message), 0);
    }
    expect(arrived).toBeGreaterThan(1000);
    expect(ahead).toBeLessThanOrEqual(Math.max(window, 16));
  }
});

function creditOf(message: unknown): number {
  const { method, params } = message as { method: string; params: { n: number } };
  return method === "rpc.stream.credit" ? params.n : 0;
}

test("a producer that sends without credit loses its stream", () => {
  const session = makeSession();
  session.streams.accept("s1");
  sent(session);
  const events = receive(session, { method: "rpc.stream.item", params: { stream: "s1", items: Array(65).fill(0) } });
  expect(events.map((event) => event.kind)).toEqual(["end"]);
  expect(sent(session)).toEqual([{ jsonrpc: "2.0", method: "rpc.stream.cancel", params: { stream: "s1" } }]);
});

test("items of a stream that nobody reads are answered with a cancellation", () => {
  const session = makeSession();
  receive(session, { method: "rpc.stream.item", params: { stream: "s9", items: [1] } });
  expect(sent(session)).toEqual([{ jsonrpc: "2.0", method: "rpc.stream.cancel", params: { stream: "s9" } }]);
});

test("there are only so many streams and calls", () => {
  const session = makeSession({ streams: 1, calls: 1 });
  session.streams.open();
  expect(() => session.streams.open()).toThrow(Busy);
  expect(receive(session, { id: "a", method: "x.y" })).toHaveLength(1);
  expect(receive(session, { id: "b", method: "x.y" })).toEqual([]);
  expect(sent(session)).toMatchObject([{ id: "b", error: { code: -32003, data: { type: "Busy", executed: "no" } } }]);
});

test("the id of a call of the other side may be used again only after its answer", () => {
  const session = makeSession();
  const [event] = receive(session, { id: "a", method: "x.y", params: { b: 1 } });
  expect(receive(session, { id: "a", method: "x.y" })).toEqual([]);
  expect(sent(session)).toMatchObject([{ id: "a", error: { code: -32600 } }]);
  expect(receive(session, { method: "rpc.cancel", params: { id: "a" } })).toHaveLength(1);
  if (event?.kind === "call") session.reply(event.call, undefined);
  expect(sent(session)).toEqual([{ jsonrpc: "2.0", id: "a", result: null }]);
  expect(receive(session, { id: "a", method: "x.y" })).toHaveLength(1);
});

test("what cannot be read breaks a rule and nothing else", () => {
  const session = makeSession();
  session.call("a.b", [], undefined);
  for (const frame of ["{", "[]", "5", '{"jsonrpc":"1.0"}', '{"jsonrpc":"2.0","id":{},"method":"x"}', new Uint8Array([1])]) {
    expect([...session.receive(frame)].map((event) => event.kind)).toEqual(["violation"]);
  }
  expect(receive(session, { id: 1, error: "what" })).toMatchObject([{ kind: "error", error: { code: -32603 } }]);
});

test("an answer that cannot be sent becomes an error", () => {
  const session = makeSession({ messageBytes: 1000 });
  for (const result of ["x".repeat(2000), () => 1]) {
    const [event] = receive(session, { id: "a", method: "x.y" });
    if (event?.kind === "call") expect(session.reply(event.call, result)).toBeDefined();
    expect(sent(session)).toMatchObject([{ id: "a", error: { data: { executed: "yes" } } }]);
  }
});
