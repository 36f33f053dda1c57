import { afterEach, beforeEach, expect, test } from "vitest";

import { WebSocket as WsClass } from "ws";

import {
  Cancelled, ConnectionClosed, ConnectionLost, NotSent, type Client, type ClientOptions, type ConnectionState,
  type SocketClass,
} from "../../src/index.js";
import { Happening, makeClient, Relay } from "./place.js";

let relay: Relay;
let clients: Client[];

beforeEach(async () => {
  relay = await new Relay().start();
  clients = [];
});

afterEach(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await relay.stop();
});

function connectOver(options: ClientOptions = {}): Client {
  const client = makeClient({ ...options, url: relay.url });
  clients.push(client);
  return client;
}

function reaching(client: Client, wanted: ConnectionState): Promise<void> {
  const happening = new Happening();
  const unwatch = client.watch((state) => {
    if (state === wanted) {
      unwatch();
      happening.happen();
    }
  });
  return happening.promise;
}

test("a call whose answer is lost says that its outcome is unknown, and the next one is made anew", async () => {
  const client = connectOver();
  await client.connect();
  const call = client.call("contract.until_cancelled", ["lost"]);
  const lost = expect(call).rejects.toMatchObject({ type: "ConnectionLost", executed: "unknown", retryable: true });
  await client.call("contract.wait_for", ["lost began"]);
  relay.cut();
  await lost;
  await expect(call).rejects.toThrow(ConnectionLost);
  expect(await client.call("contract.add", [1])).toBe(11);
  expect(relay.connections).toBe(2);
});

test("a client comes back by itself, and what it offers is found again", async () => {
  const client = connectOver();
  client.offer("desk", { ring: () => "ding" });
  await client.connect();
  const back = reaching(client, "connected");
  relay.cut();
  await back;
  expect(await client.call("contract.ask_back", ["desk.ring", {}, null])).toBe("ding");
});

test("a client that came by a ticket comes back by its session", async () => {
  const maker = makeClient();
  const { ticket } = await maker.call<{ ticket: string }>("rpc.create_ticket");
  await maker.close();
  const client = connectOver({ token: undefined, ticket });
  await client.connect();
  const back = reaching(client, "connected");
  relay.cut();
  await back;
  expect(await client.call("contract.add", [1])).toBe(11);
  expect(relay.connections).toBe(2);
});

test("calls made while the server is away are sent when it is back", async () => {
  const client = connectOver();
  await client.connect();
  const lost = reaching(client, "lost");
  await relay.stop();
  await lost;
  const calls = [1, 2, 3].map((a) => client.call("contract.add", [a, 0]));
  await relay.start();
  expect(await Promise.all(calls)).toEqual([1, 2, 3]);
});

test("a call that may not be sent over another connection is not", async () => {
  const client = connectOver();
  await client.connect();
  const lost = reaching(client, "lost");
  await relay.stop();
  await lost;
  await expect(client.call("contract.add", [1], { resend: false })).rejects.toThrow(NotSent);
  await expect(client.call("contract.add", [1], { timeoutMs: 50 })).rejects.toMatchObject({
    type: "NotSent", executed: "no", message: expect.stringContaining("before the deadline") as string,
  });
});

test("without reconnecting, the first connection is the last one", async () => {
  const client = connectOver({ reconnect: false });
  await client.connect();
  const lost = reaching(client, "lost");
  relay.cut();
  await lost;
  await expect(client.call("contract.add", [1])).rejects.toThrow(ConnectionClosed);
  expect(relay.connections).toBe(1);
});

test("the reader of a stream is told of the loss", async () => {
  const client = connectOver();
  const stream = client.stream<number>("contract.one_and_wait", ["stream lost"]);
  expect((await stream.next()).value).toBe(1);
  await client.call("contract.wait_for", ["stream lost began"]);
  const next = expect(stream.next()).rejects.toThrow(ConnectionLost);
  relay.cut();
  await next;
  expect(await stream.next()).toEqual({ done: true, value: undefined });
});

test("a silent connection is found to be dead by a ping without an answer", async () => {
  const client = connectOver({ pingIntervalMs: 50, pingTimeoutMs: 200 });
  await client.connect();
  const lost = reaching(client, "lost");
  const call = expect(client.call("contract.until_cancelled", ["silent"])).rejects.toThrow(ConnectionLost);
  relay.isDeaf = true;
  await lost;
  await call;
  relay.isDeaf = false;
  expect(await client.call("contract.add", [1])).toBe(11);
});

test("closing fails what is under way, and lets nothing begin", async () => {
  const client = connectOver();
  const call = client.call("contract.until_cancelled", ["closed"]);
  await client.call("contract.wait_for", ["closed began"]);
  const lost = expect(call).rejects.toThrow(ConnectionLost);
  await client.close();
  await lost;
  expect(client.state).toBe("closed");
  await expect(client.call("contract.add", [1])).rejects.toThrow(ConnectionClosed);
});

test("what was told before closing arrives", async () => {
  const client = connectOver();
  await client.connect();
  await client.notify("contract.note", ["x".repeat(500_000)]);
  await client.notify("contract.note", ["before closing"]);
  await client.close();
  const other = connectOver();
  await other.call("contract.wait_for", ["note before closing"]);
});

/** Connects over the relay, stops the relay's reading, and fills the socket by uploads of blobs. */
async function fill(): Promise<{ client: Client; count: () => number; socket: WsClass; uploads: Promise<unknown>[] }> {
  const sockets: WsClass[] = [];
  class Watched extends WsClass {
    constructor(url: string, protocols: string[]) {
      super(url, protocols);
      sockets.push(this);
    }
  }
  const client = connectOver({ WebSocket: Watched as unknown as SocketClass });
  await client.connect();
  const [socket] = sockets;
  if (socket === undefined) throw new Error("no socket");
  relay.pause();
  let given = 0;
  function* blobs(): Generator<Uint8Array> {
    for (;;) {
      given++;
      yield new Uint8Array(BLOB_BYTES);
    }
  }
  const uploads = Array.from({ length: UPLOADS }, () => client.upload("contract.total", { items: blobs() }, ["items"]));
  for (const upload of uploads) upload.catch(() => undefined);
  // No event tells that nothing more is taken: so many turns of the loop have to pass in which no item was asked for.
  for (let quiet = 0, before = 0; quiet < 50; quiet = given === before && given > UPLOADS ? quiet + 1 : 0, before = given) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return { client, count: () => given, socket, uploads };
}

const BLOB_BYTES = 64 * 1024;
const UPLOADS = 30;
const MEBIBYTE = 1024 * 1024;

test("what waits in the socket is bounded, whatever producers have, and the server's side has not read", async () => {
  const { client, count, socket } = await fill();
  expect(socket.bufferedAmount).toBeGreaterThanOrEqual(MEBIBYTE);
  expect(socket.bufferedAmount).toBeLessThan(2 * MEBIBYTE);
  // The server's credit allows 16 items of each, which are 30 MiB; the sockets of the system hold some MiB.
  expect(count()).toBeLessThan(16 * UPLOADS);
  await expect(client.call("contract.add", [1], { timeoutMs: 20 })).rejects.toMatchObject({
    type: "NotSent", executed: "no", message: "the connection took no output before the deadline",
  });
  await expect(client.call("contract.add", [1], { signal: AbortSignal.timeout(20) })).rejects.toThrow(Cancelled);
});

test("a server that reads again gets what has waited", async () => {
  const { client, uploads } = await fill();
  const call = client.call("contract.add", [1, 2]);
  relay.resume();
  expect(await call).toBe(3);
  const refused = await Promise.allSettled(uploads);
  expect(refused.map((each) => each.status)).toEqual(Array(UPLOADS).fill("rejected")); // Blobs are no numbers.
});

test("closing does not wait for a server that reads nothing", async () => {
  const { client, uploads } = await fill();
  await client.close({ timeoutMs: 20 });
  expect(client.state).toBe("closed");
  for (const upload of uploads) await expect(upload).rejects.toThrow(ConnectionLost);
});
