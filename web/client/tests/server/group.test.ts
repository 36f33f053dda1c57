/** Several nodes, through the server that a client is connected to; and a server without a group, which is a group of one. */

import { afterEach, beforeEach, expect, test } from "vitest";

import { InvalidParams, RpcError, type Client, type GroupEvent } from "../../src/index.js";
import { programs, ProgramNotFound } from "../../src/stubs/programs.js";
import { makeClient, token, url } from "./place.js";

const gatewayUrl = process.env["TEST_GATEWAY_URL"] ?? "";
const builtinUrl = process.env["TEST_BUILTIN_URL"] ?? "";

let client: Client;

beforeEach(() => {
  client = makeClient({ url: gatewayUrl });
});

afterEach(async () => {
  await client.close();
});

test("a client of another node has that node's services, by a connection of its own", async () => {
  const node = client.node("target");
  expect(await node.call("contract.add", [1, 2])).toBe(3);
  const about = await node.call<{ principal: string }>("contract.about");
  expect(about.principal).toContain("via gateway");
  const items: unknown[] = [];
  for await (const item of node.stream("contract.count", [100])) items.push(item);
  expect(items).toHaveLength(100);
  expect(await node.upload("contract.total", { items: [1, 2, 3] }, ["items"])).toBe(6);
  node.offer("desk", { ring: () => "ding" });
  expect(await node.call("contract.ask_back", ["desk.ring", {}, null])).toBe("ding");
  await node.close();
  await expect(client.node("nobody").call("contract.add", [1])).rejects.toThrow(RpcError);
});

test("a client that came by a ticket has clients of nodes by its session", async () => {
  const { ticket } = await client.call<{ ticket: string }>("rpc.create_ticket");
  const page = makeClient({ url: gatewayUrl, token: undefined, ticket });
  const node = page.node("target");
  expect(await node.call("contract.add", [1, 2])).toBe(3);
  await node.close();
  await page.close();
});

test("nodes are called together, and each has its outcome", async () => {
  const outcomes = await client.group(["target", "gateway", "nobody"]).call<number>("contract.add", [1, 2]);
  const byName = Object.fromEntries(outcomes.map((each) => [each.name, [each.state, each.result]]));
  expect(byName).toEqual({ target: ["ok", 3], gateway: ["ok", 3], nobody: ["unknown", undefined] });
  const [failed] = await client.group(["target"]).call("contract.order", ["pears", 5]);
  expect(failed).toMatchObject({ name: "target", state: "error", executed: "yes" });
  expect(failed?.error).toMatchObject({ type: "OutOfStock", details: { item: "pears" } });
  await expect(client.group("role=(").call("contract.add", [1])).rejects.toThrow(InvalidParams);
});

test("streams of nodes are merged, and leaving them early ends them", async () => {
  const events: GroupEvent<number>[] = [];
  for await (const event of client.everyone().events<number>("contract.count", [5])) events.push(event);
  expect(events[0]).toMatchObject({ kind: "start", isSettled: true });
  const items = events.filter((event) => event.kind === "item");
  expect(items.map((event) => event.item).sort()).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
  const ended = events.filter((event) => event.kind === "outcome");
  expect(ended.map((event) => [event.state, event.items])).toEqual([["ok", 5], ["ok", 5]]);
  for await (const event of client.group(["target"]).events("contract.count", [1e9, "left early"])) {
    if (event.kind === "item") break;
  }
  await client.node("target").call("contract.wait_for", ["left early ended"]);
});

test("events tell what happens", async () => {
  const alone = makeClient({ url: builtinUrl });
  for (const following of [alone, alone.everyone()]) {
    const news = following.subscribe(["bell.rung"], { policy: "drop_oldest", bufferItems: 10 });
    expect(await news.next()).toMatchObject({ value: { kind: "following" } });
    await alone.call("bell.ring", [3]);
    expect(await news.next()).toMatchObject({ value: { kind: "event", event: "bell.rung", lost: 0, value: 3 } });
    await news.close();
  }
  await alone.close();
});

test("a stub types the outcomes, and reads their values", async () => {
  const alone = makeClient({ url: builtinUrl });
  const [outcome] = await alone.everyone().service(programs).run({ argv: ["printf", "abc"] });
  expect(new TextDecoder().decode(outcome?.result?.stdout)).toBe("abc");
  const [failed] = await alone.everyone().service(programs).get({ id: "nobody" });
  expect(failed?.error).toBeInstanceOf(ProgramNotFound);
  let output = "";
  for await (const event of alone.everyone().service(programs).stream({ argv: ["printf", "xyz"] })) {
    if (event.kind === "item" && event.item.output !== null) output += new TextDecoder().decode(event.item.output.data);
  }
  expect(output).toBe("xyz");
  await alone.close();
});

test("of several addresses any will do", async () => {
  const several = makeClient({ url: ["ws://127.0.0.1:9", url] });
  expect(await several.call("contract.add", [1, 2])).toBe(3);
  expect(several.url).toContain(url);
  await several.close();
  const none = makeClient({ url: ["ws://127.0.0.1:9", "ws://localhost:9"] });
  await expect(none.connect()).rejects.toThrow("localhost:9");
  const wrong = makeClient({ url: ["ws://127.0.0.1:9", url], token: `${token}x` });
  await expect(wrong.connect()).rejects.toMatchObject({ type: "Unauthenticated" });
});

test("what traces a call goes with it", async () => {
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  expect(await client.call("contract.add", [1, 2], { traceparent, tracestate: "a=b" })).toBe(3);
});
