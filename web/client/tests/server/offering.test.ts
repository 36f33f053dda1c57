/** What a client offers, called message by message: the server of this project makes no calls with streams yet. */

import type { AddressInfo } from "node:net";

import { afterEach, beforeEach, expect, test } from "vitest";
import { WebSocketServer, type WebSocket } from "ws";

import { makeDesk } from "../desk.js";
import type { Client } from "../../src/index.js";
import { Happening, makeClient } from "./place.js";

type Message = Record<string, unknown> & { readonly params?: Record<string, unknown> };

/** The other side of one connection: it sends what it is told to, and keeps what comes. */
class OtherSide {
  readonly #messages: Message[] = [];
  #wake: (() => void) | undefined;

  constructor(readonly socket: WebSocket) {
    socket.on("message", (data: Buffer) => {
      for (const line of data.toString().split("\n")) {
        const message = JSON.parse(line) as Message;
        if (message["method"] === "rpc.hello") this.send({ id: message["id"], result: {} });
        else this.#messages.push(message);
      }
      this.#wake?.();
    });
  }

  send(...messages: object[]): void {
    this.socket.send(messages.map((message) => JSON.stringify({ jsonrpc: "2.0", ...message })).join("\n"));
  }

  sendItems(stream: string, items: readonly unknown[]): void {
    this.send({ method: "rpc.stream.item", params: { stream, items } });
  }

  /** Returns the next message of a kind. Those before it are dropped. */
  async next(wanted: (message: Message) => boolean): Promise<Message> {
    for (;;) {
      for (let message = this.#messages.shift(); message !== undefined; message = this.#messages.shift()) {
        if (wanted(message)) return message;
      }
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async answer(id: number): Promise<Message> {
    return await this.next((message) => message["id"] === id);
  }

  async told(method: string, stream: string): Promise<Message> {
    return await this.next((message) => message["method"] === method && message.params?.["stream"] === stream);
  }
}

let server: WebSocketServer;
let client: Client;
let other: OtherSide;
let events: string[];
let stopped: Happening;

beforeEach(async () => {
  server = new WebSocketServer({ host: "127.0.0.1", port: 0, handleProtocols: () => "rpc.v1.json" });
  const connected = new Happening<OtherSide>();
  server.on("connection", (socket) => { connected.happen(new OtherSide(socket)); });
  if (server.address() === null) await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  client = makeClient({ url: `ws://127.0.0.1:${port.toString()}`, token: undefined, log: (text) => events.push(text) });
  events = [];
  stopped = new Happening();
  client.offer("desk", {
    ...makeDesk(client, (event) => {
      if (event === "stopped") stopped.happen();
    }),
    late: async (params, context) => {
      await new Promise((resolve) => setTimeout(resolve)); // The items come meanwhile.
      let sum = 0;
      for await (const item of context.read((params as unknown[])[0])) sum += item as number;
      return sum;
    },
  });
  await client.connect();
  other = await connected.promise;
});

afterEach(async () => {
  await client.close();
  await new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
});

test("a stream among the parameters is read with credit", async () => {
  other.send({ id: 1, method: "desk.total", params: { items: { stream: "s1" } } });
  expect(await other.told("rpc.stream.credit", "s1")).toMatchObject({ params: { n: 48 } });
  other.sendItems("s1", Array<number>(64).fill(1));
  expect(await other.told("rpc.stream.credit", "s1")).toMatchObject({ params: { n: 32 } });
  other.sendItems("s1", [1, 1]);
  other.send({ method: "rpc.stream.end", params: { stream: "s1" } });
  expect(await other.answer(1)).toMatchObject({ result: 66 });
  expect(events).toEqual([]);
});

test("items that come before the handler asks for them wait for it", async () => {
  other.send(
    { id: 1, method: "desk.late", params: [{ stream: "s1" }] },
    { method: "rpc.stream.item", params: { stream: "s1", items: [1, 2, 3] } },
    { method: "rpc.stream.end", params: { stream: "s1" } },
  );
  expect(await other.answer(1)).toMatchObject({ result: 6 });
  expect(events).toEqual([]);
});

test("a stream that the handler does not read, or not to its end, is cancelled", async () => {
  other.send({ id: 1, method: "desk.first", params: { items: { stream: "s1" } } });
  other.sendItems("s1", [7, 8]);
  expect(await other.told("rpc.stream.cancel", "s1")).toBeDefined();
  expect(await other.answer(1)).toMatchObject({ result: 7 });
  other.send({ id: 2, method: "desk.add", params: { a: 1, b: 2, more: { stream: "s2" } } });
  expect(await other.answer(2)).toMatchObject({ result: 3 });
  expect(await other.told("rpc.stream.cancel", "s2")).toBeDefined();
});

test("the error of a stream among the parameters reaches the handler", async () => {
  other.send({ id: 1, method: "desk.total", params: { items: { stream: "s1" } } });
  other.send({ method: "rpc.stream.end", params: { stream: "s1", error: { code: -32003, message: "no more" } } });
  expect(await other.answer(1)).toMatchObject({ error: { code: -32003, message: "no more" } });
});

test("a handler's items wait for credit, and the deadline of its call is not theirs", async () => {
  other.send({ id: 1, method: "desk.endless", ctx: { ttl_ms: 1 } });
  const { result } = (await other.answer(1)) as unknown as { result: { stream: string } };
  const { stream } = result;
  let count = 0;
  const countUpTo = async (most: number): Promise<void> => {
    while (count < most) {
      const { params } = await other.told("rpc.stream.item", stream);
      count += (params?.["items"] as unknown[]).length;
    }
  };
  await countUpTo(16);
  expect(count).toBe(16);
  other.send({ method: "rpc.stream.credit", params: { stream, n: 5 } });
  await countUpTo(21);
  expect(count).toBe(21);
  other.send({ method: "rpc.stream.cancel", params: { stream } });
  expect((await other.told("rpc.stream.end", stream)).params).toEqual({ stream });
  await stopped.promise;
});

test("a handler whose stream fails says so at its end", async () => {
  other.send({ id: 1, method: "desk.fail_later" });
  const { result } = (await other.answer(1)) as unknown as { result: { stream: string } };
  const end = await other.told("rpc.stream.end", result.stream);
  expect(end.params?.["error"]).toMatchObject({ code: -32603, message: "no more" });
});

test("a handler that streams stops when the connection ends", async () => {
  other.send({ id: 1, method: "desk.endless" });
  await other.answer(1);
  other.socket.terminate();
  await stopped.promise;
});
