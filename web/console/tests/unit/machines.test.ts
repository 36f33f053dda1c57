/** The page of the group: the roster, what is folded, and the outcomes of a command. */

import { DeadlineExceeded, InvalidParams, type GroupEvent, type Outcome } from "@remote-services/client";
import type { Exit, RunEvent } from "@remote-services/client/stubs/programs";
import { expect, test } from "vitest";
import { contentOf, Gatherer, KEPT, type Member } from "../../src/pages/machines/command.ts";
import { foldAnswers, foldNames, titleOfFold } from "../../src/pages/machines/folding.ts";
import { applyNodesEvent, findNode, keyOf, sortNodes, titleOf, type NodeInfo, type Roster } from "../../src/roster.ts";

function node(id: string, name: string, more: Partial<NodeInfo> = {}): NodeInfo {
  return {
    id, name, epoch: "1", is_self: false, state: "up", since: 0, explanation: "", labels: {}, services: {}, version: "1", load: 0, ...more,
  };
}

function rosterOf(...nodes: NodeInfo[]): Roster {
  return applyNodesEvent(undefined, { kind: "snapshot", nodes, is_settled: true });
}

test("the roster is what the events make of it", () => {
  let known = rosterOf(node("1", "web-10"), node("2", "web-2"));
  expect(sortNodes(known).map((each) => each.name)).toEqual(["web-2", "web-10"]);
  known = applyNodesEvent(known, { kind: "died", nodes: [node("2", "web-2", { state: "died" })], is_settled: true });
  expect(findNode(known, "web-2")?.state).toBe("died");
  known = applyNodesEvent(known, { kind: "unsettled", nodes: [], is_settled: false });
  expect([known.nodes.size, known.isSettled]).toEqual([2, false]);
  known = applyNodesEvent(known, { kind: "forgotten", nodes: [node("2", "web-2")], is_settled: true });
  expect(findNode(known, "web-2")).toBeUndefined();
  known = applyNodesEvent(known, { kind: "resync", nodes: [node("3", "db-1")], is_settled: true });
  expect(sortNodes(known).map((each) => each.name)).toEqual(["db-1"]);
});

test("nodes of one name are told apart by their ids", () => {
  const one = node("1", "web");
  const known = rosterOf(one, node("2", "web"), node("3", "db"));
  expect([titleOf(one, known), keyOf(one, known)]).toEqual(["web@1", "1"]);
  const db = findNode(known, "db");
  expect(db === undefined ? [] : [titleOf(db, known), keyOf(db, known)]).toEqual(["db", "db"]);
  expect(findNode(known, "2")?.id).toBe("2");
});

test.each([
  [["web-2", "web-1", "web-4", "db-1"], "db-1,web-[1-2,4]"],
  [["web-9", "web-10", "web-11"], "web-[9-11]"],
  [["web-09", "web-10", "web-1"], "web-[1,09-10]"],
  [["a1.site", "a2.site", "b1.site"], "a[1-2].site,b1.site"],
  [["rack2-node7", "rack2-node8", "rack1-node7"], "rack1-node7,rack2-node[7-8]"],
  [["alpha", "alpha", "beta one", "größe-1"], "alpha,beta one,größe-1"],
  [["7", "8"], "[7-8]"],
  [[], ""],
])("names become ranges: %j", (names, folded) => {
  expect(foldNames(names)).toBe(folded);
});

test("what is alike is told once", () => {
  const answers: [string, string][] = [["web-10", "a"], ["db-1", "b"], ["web-9", "a"]];
  const folds = foldAnswers(answers, ([name]) => name, ([, text]) => text);
  expect(folds.map((fold) => [titleOfFold(fold), fold.answer[1]])).toEqual([["db-1", "b"], ["web-[9-10] (2)", "a"]]);
});

const start: GroupEvent<RunEvent> = {
  kind: "start", isSettled: true, unknown: ["nobody"],
  nodes: [{ name: "a", id: "1", epoch: 1 }, { name: "b", id: "2", epoch: 1 }, { name: "b", id: "3", epoch: 1 }],
};

function written(id: string, data: Uint8Array | string, stream: "stdout" | "stderr" = "stdout", lost = 0): GroupEvent<RunEvent> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  return { kind: "item", node: id, lost, item: { output: { stream, offset: 0, data: bytes, lost_bytes: 0, cut: false }, exit: null } };
}

function ended(id: string, code: number): GroupEvent<RunEvent> {
  const status = { code, signal: null, limit: null, core_dumped: false, lost: false };
  const exit: Exit = { id: "", status, duration_s: 1, usage: null, pipes_still_held: false, output_cut: false, survivors: [] };
  return { kind: "item", node: id, lost: 0, item: { output: null, exit } };
}

function outcome(id: string | null, state: string, more: Partial<Outcome<RunEvent>> = {}): Outcome<RunEvent> {
  return {
    kind: "outcome", name: "nobody", id, epoch: 1, state, executed: "yes", durationS: 1, result: undefined, error: undefined, items: 0,
    itemsLost: 0, ...more,
  };
}

function gather(...events: GroupEvent<RunEvent>[]): Gatherer {
  const gatherer = new Gatherer();
  for (const event of [start, ...events]) gatherer.take(event);
  return gatherer;
}

function statesOf(gatherer: Gatherer): Record<string, string> {
  return Object.fromEntries(gatherer.run.members.map((member) => [member.name, member.state]));
}

test("each node has what it has written, and its outcome", () => {
  const gatherer = gather(
    written("1", "one "), written("1", new Uint8Array([0xc3])), written("1", new Uint8Array([0xb6, 0x0a])), written("1", "oops", "stderr", 2),
    ended("1", 0), outcome("1", "ok"), written("2", "half"), outcome("3", "refused", { executed: "no", error: new InvalidParams("not here") }),
    outcome(null, "unknown"),
  );
  expect(statesOf(gatherer)).toEqual({ "a": "ok", "b@2": "running", "b@3": "refused", "nobody": "unknown" });
  const [one, , three] = gatherer.run.members;
  expect(one).toMatchObject({ stdout: "one ö\n", stderr: "oops", end: "code 0", lost: 2, executed: "yes", problem: "" });
  expect(three).toMatchObject({ problem: "not here", executed: "no" });
});

test("nodes without an outcome are cancelled when it is stopped, and lost when it fails", () => {
  const stopped = gather(outcome("1", "ok"), written("2", "half"));
  stopped.end(true);
  expect(statesOf(stopped)).toEqual({ "a": "ok", "b@2": "cancelled", "b@3": "cancelled", "nobody": "cancelled" });
  expect(stopped.run.members.map((member) => member.executed)).toEqual(["yes", "yes", "unknown", "unknown"]);
  const failed = gather(outcome("1", "ok"));
  failed.fail(new Error("the connection is gone"));
  expect(failed.run).toMatchObject({ state: "failed", problem: "the connection is gone" });
  expect(statesOf(failed)["b@2"]).toBe("error");
  const late = gather();
  late.fail(new DeadlineExceeded("too late"));
  expect(statesOf(late)["a"]).toBe("timeout");
});

test("no more is kept of a node than is shown, and all else is counted", () => {
  const gatherer = gather(written("1", "x".repeat(KEPT - 1)), written("1", "yyy"), written("1", "zz"));
  const [one] = gatherer.run.members;
  expect([one?.stdout.length, one?.stdout.at(-1), one?.hidden]).toEqual([KEPT, "y", 4]);
});

test("nodes are alike if everything is that is shown of them", () => {
  const gatherer = gather(written("2", "same"), ended("2", 0), outcome("2", "ok"), written("3", "sa"), written("3", "me"), ended("3", 0), outcome("3", "ok"));
  const alike = gatherer.run.members.filter((member) => member.name.startsWith("b"));
  expect(foldAnswers(alike, (member: Member) => member.name, contentOf).length).toBe(1);
});
