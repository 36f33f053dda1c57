import { afterAll, beforeAll, describe, expect, test } from "vitest";

import {
  Cancelled, Client, ConnectFailed, DeadlineExceeded, InternalError, InvalidParams, MethodNotFound, RemoteProtocolError,
  RpcError, ServiceError, TooLarge, Unauthenticated, type BrowserSession, type Progress, type Subprotocol,
} from "../../src/index.js";
import { Happening, makeClient, token, url, WsSocket } from "./place.js";

interface Contract {
  add(params: { a: number; b?: number }): Promise<number>;
  count(params: { n: number }): AsyncIterable<number>;
}

describe.each<Subprotocol>(["rpc.v1.msgpack", "rpc.v1.json"])("over %s", (subprotocol) => {
  let client: Client;

  beforeAll(() => {
    client = makeClient({ subprotocol });
  });
  afterAll(async () => {
    await client.close();
  });

  async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
    const all: T[] = [];
    for await (const item of items) all.push(item);
    return all;
  }

  test("calls by position, by name and by the service's own name", async () => {
    expect(await client.call("contract.add", [1, 2])).toBe(3);
    expect(await client.call("contract.add", { a: 1, b: 2 })).toBe(3);
    expect(await client.call("contract.nothing")).toBeNull();
    const contract = client.service<Contract>("contract");
    expect(await contract.add({ a: 1 })).toBe(11);
    expect(await collect(contract.count({ n: 3 }))).toEqual([0, 1, 2]);
    expect(await client.call<{ subprotocol: string }>("rpc.hello")).toMatchObject({ subprotocol });
  });

  test("errors have their classes, and say whether the handler ran", async () => {
    const order = client.call("contract.order", ["pears", 5]);
    await expect(order).rejects.toThrow(ServiceError);
    await expect(order).rejects.toMatchObject({ type: "OutOfStock", executed: "yes", details: { item: "pears", left: 3 } });
    await expect(client.call("contract.add", ["x"])).rejects.toThrow(InvalidParams);
    await expect(client.call("contract.add", ["x"])).rejects.toMatchObject({ executed: "no", errors: [{ loc: ["a"] }] });
    await expect(client.call("contract.nope")).rejects.toThrow(MethodNotFound);
    await expect(client.call("contract.broken")).rejects.toThrow(InternalError);
    await expect(client.call("contract.add", 5 as never)).rejects.toThrow(InvalidParams);
    await expect(client.call("contract.add", [Symbol("x")])).rejects.toThrow(InvalidParams);
    await expect(client.call("contract.add", ["x".repeat(17 * 1024 * 1024)])).rejects.toThrow(TooLarge);
    expect(await client.call("contract.add", [1, 1])).toBe(2);
  });

  test("a deadline ends a call on both sides", async () => {
    const late = client.call("contract.slow", [30, "late"], { timeoutMs: 100 });
    await expect(late).rejects.toThrow(DeadlineExceeded);
    for (const timeoutMs of [0, -1, NaN]) {
      await expect(client.call("contract.add", [1], { timeoutMs })).rejects.toMatchObject({
        type: "DeadlineExceeded", executed: "no",
      });
    }
    expect(await client.call("contract.add", [1], { timeoutMs: Infinity })).toBe(11);
    const told = await client.call<Record<string, unknown>>("contract.about", {}, { timeoutMs: 7000, key: "k1" });
    expect(told["key"]).toBe("k1");
    expect(told["remaining_s"]).toBeLessThanOrEqual(7);
  });

  test("a signal cancels the work on the server", async () => {
    const controller = new AbortController();
    const name = `cancel ${subprotocol}`;
    const call = client.call("contract.until_cancelled", [name], { signal: controller.signal });
    await client.call("contract.wait_for", [`${name} began`]);
    controller.abort(new Error("no more"));
    await expect(call).rejects.toThrow(Cancelled);
    await expect(call).rejects.toMatchObject({ executed: "unknown", cause: new Error("no more") });
    await client.call("contract.wait_for", [`${name} ended`]);
    await expect(client.call("contract.add", [1], { signal: controller.signal })).rejects.toMatchObject({ executed: "no" });
  });

  test("progress is reported in order", async () => {
    const reports: Progress[] = [];
    const answer = await client.call("contract.report", [3], { progress: (progress) => reports.push(progress) });
    expect(answer).toBe(3);
    expect(reports).toEqual([1, 2, 3].map((step) => ({ done: step, total: 3, message: `step ${step.toString()}` })));
  });

  test("a progress function that fails costs no call", async () => {
    const lines: string[] = [];
    const own = makeClient({ subprotocol, log: (text) => lines.push(text) });
    const fail = (): never => {
      throw new Error("hook");
    };
    expect(await own.call("contract.report", [2], { progress: fail })).toBe(2);
    expect(lines).toContain("the progress function of contract.report has failed");
    await own.close();
  });

  test("a signal ends a stream that is being read", async () => {
    const controller = new AbortController();
    const name = `stream aborted ${subprotocol}`;
    const stream = client.stream("contract.one_and_wait", [name], { signal: controller.signal });
    await stream.next();
    const next = expect(stream.next()).rejects.toMatchObject({ type: "Cancelled", executed: "yes" });
    await client.call("contract.wait_for", [`${name} began`]);
    controller.abort();
    await next;
    await client.call("contract.wait_for", [`${name} ended`]);
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });

  test("notifications are carried out", async () => {
    await client.notify("contract.note", { value: `told ${subprotocol}` });
    await client.call("contract.wait_for", [`note told ${subprotocol}`]);
  });

  test("streams come down, whole, and end with their errors", async () => {
    expect(await collect(client.stream("contract.count", [500]))).toEqual([...Array(500).keys()]);
    expect(await collect(client.stream("contract.count", { n: 0 }))).toEqual([]);
    for (const window of [1, 3, 16, 17, 1000]) {
      expect(await collect(client.stream("contract.count", [40], { window }))).toHaveLength(40);
    }
    const items: unknown[] = [];
    const reading = (async () => {
      for await (const item of client.stream("contract.count_then_fail", [40])) items.push(item);
    })();
    await expect(reading).rejects.toMatchObject({ type: "OutOfStock", details: { item: "numbers" } });
    expect(items).toHaveLength(40);
    await expect(collect(client.stream("contract.add", [1]))).rejects.toThrow(RemoteProtocolError);
    await expect(collect(client.stream("contract.nope"))).rejects.toThrow(MethodNotFound);
    await expect(collect(client.stream("contract.fail_to_begin", [1]))).rejects.toThrow(InternalError);
  });

  test("break ends a stream on the server", async () => {
    const name = `break ${subprotocol}`;
    for await (const item of client.stream<number>("contract.count", [1e9, name])) {
      if (item === 5) break;
    }
    await client.call("contract.wait_for", [`${name} ended`]);
    const unread = client.stream("contract.count", [1e9]);
    await unread.close();
    expect(await collect(unread)).toEqual([]);
  });

  test("streams go up, from whatever can be iterated over", async () => {
    async function* numbers(): AsyncGenerator<number> {
      for (let number = 0; number < 100; number++) yield await Promise.resolve(number);
    }
    for (const items of [numbers(), Array.from({ length: 100 }, (_, at) => at), new Set(Array(100).keys())]) {
      expect(await client.upload("contract.total", { items }, ["items"])).toBe(4950);
    }
    await expect(client.upload("contract.total", { items: 5 }, ["items"])).rejects.toThrow("items: must be iterable");
    await expect(client.upload("contract.total", { items: ["x"] }, ["items"])).rejects.toThrow(RpcError);
  });

  test("a source that is not read to its end is closed", async () => {
    const closed = new Happening();
    async function* numbers(): AsyncGenerator<number> {
      try {
        for (let number = 0; ; number++) yield await Promise.resolve(number);
      } finally {
        closed.happen();
      }
    }
    expect(await client.upload("contract.first", { items: numbers() }, ["items"])).toBe(0);
    await closed.promise;
  });

  test("many calls at once, and each gets its own answer", async () => {
    const answers = await Promise.all(Array.from({ length: 500 }, (_, at) => client.call("contract.add", [at, at])));
    expect(answers).toEqual(Array.from({ length: 500 }, (_, at) => 2 * at));
  });

  test("a reader that stops holds nobody up", async () => {
    const stopped = client.stream("contract.blobs", [100_000, 10_000]);
    await stopped.next();
    expect(await collect(client.stream("contract.count", [500]))).toHaveLength(500);
    expect(await client.call("contract.add", [1, 1])).toBe(2);
    await stopped.close();
  });

  test("the server calls what the client offers", async () => {
    const own = makeClient({ subprotocol });
    const noted = new Happening<unknown>();
    own.offer("desk", {
      add: (params) => {
        const { a, b } = params as { a: number; b: number };
        return a + b;
      },
      refuse: () => {
        throw new ServiceError("come back later", { type: "NotToday", details: { until: 5 } });
      },
      broken: () => {
        throw new Error("secret");
      },
      note: (params) => {
        noted.happen(params);
      },
      wait: (_params, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => {
            reject(signal.reason as Error);
          });
        }),
      late: async (_params, { signal }) => {
        await new Promise((resolve) => {
          signal.addEventListener("abort", resolve);
        });
        return "too late";
      },
      again: async () => await own.call("contract.add", [4, 1]),
    });
    const ask = (method: string, params: object, timeoutS: number | null = null): Promise<unknown> =>
      own.call("contract.ask_back", [`desk.${method}`, params, timeoutS]);
    expect(await ask("add", { a: 1, b: 2 })).toBe(3);
    expect(await ask("again", {})).toBe(5);
    await own.call("contract.tell_back", ["desk.note", { value: 1 }]);
    expect(await noted.promise).toEqual({ value: 1 });
    await expect(ask("refuse", {})).rejects.toMatchObject({ type: "NotToday", details: { until: 5 } });
    await expect(ask("broken", {})).rejects.toThrow(RpcError);
    await expect(ask("broken", {})).rejects.not.toThrow("secret");
    await expect(ask("nope", {})).rejects.toMatchObject({ code: -32601 });
    await expect(ask("wait", {}, 0.2)).rejects.toThrow(DeadlineExceeded);
    await expect(ask("late", {}, 0.2)).rejects.toThrow(DeadlineExceeded);
    await own.close();
  });
});

test("a wrong token is refused, and a missing one", async () => {
  for (const wrong of ["no", undefined]) {
    const client = makeClient({ token: wrong });
    await expect(client.call("contract.add", [1])).rejects.toThrow(Unauthenticated);
    await client.close();
  }
});

test("the token may be a function", async () => {
  const client = makeClient({ token: () => Promise.resolve(token) });
  expect(await client.call("contract.add", [1])).toBe(11);
  await client.close();
});

test("a ticket is exchanged for a session, once, and the session for further connections", async () => {
  const maker = makeClient();
  const { ticket } = await maker.call<{ ticket: string }>("rpc.create_ticket");
  const sessions: BrowserSession[] = [];
  const signIn = { token: undefined, ticket, onSession: (session: BrowserSession) => sessions.push(session) };
  const page = makeClient(signIn);
  expect(await page.call("contract.add", [1])).toBe(11);
  expect(sessions).toHaveLength(1);
  const [session] = sessions;
  const hello = await page.call<{ principal: { method: string } }>("rpc.hello");
  expect(hello.principal.method).toBe("session");
  await page.close();
  const again = makeClient({ token: undefined, session: session?.secret });
  expect(await again.call("contract.add", [1])).toBe(11);
  await again.close();
  const late = makeClient(signIn);
  await expect(late.call("contract.add", [1])).rejects.toMatchObject({ type: "TicketUsed", code: -32001 });
  await late.close();
  await maker.close();
  expect(() => makeClient({ ticket })).toThrow("ticket: give it, or token");
});

test("the global WebSocket will do", async () => {
  const client = new Client(url, { token });
  expect(await client.call("contract.add", [1])).toBe(11);
  await client.close();
});

test("a server that is not there, and one that may not be told", async () => {
  const client = makeClient({ url: "ws://127.0.0.1:9" });
  await expect(client.call("a.b")).rejects.toThrow(ConnectFailed);
  expect(client.state).toBe("idle");
  expect(() => makeClient({ url: "ws://192.0.2.1:8765" })).toThrow("in clear");
  expect(() => new Client("not a url", { WebSocket: WsSocket })).toThrow(ConnectFailed);
});
