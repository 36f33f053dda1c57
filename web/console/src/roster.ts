/** The nodes of the group, as the server tells of them. */

import { Store } from "./store.ts";

/** How a node is. */
export type NodeState = "up" | "suspect" | "leaving" | "left" | "died";

/** A node, as `rpc.watch_nodes` tells of it. */
export interface NodeInfo {
  readonly name: string;
  readonly id: string;
  /** The number of its life: each start makes a later one. */
  readonly epoch: string;
  readonly is_self: boolean;
  readonly state: NodeState;
  /** Since when it is in that state, in seconds since 1970. */
  readonly since: number;
  /** Why it is in that state, as a sentence. */
  readonly explanation: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly services: Readonly<Record<string, string>>;
  readonly version: string;
  /** 1.0 if as many processes want to run as it has processors. */
  readonly load: number;
}

/** What happens in the group. */
export interface NodesEvent {
  readonly kind: string;
  readonly nodes: readonly NodeInfo[];
  readonly is_settled: boolean;
}

/** What is known of the group. */
export interface Roster {
  /** The nodes by their ids. */
  readonly nodes: ReadonlyMap<string, NodeInfo>;
  /** Whether the server is sure of them. */
  readonly isSettled: boolean;
}

/** What is known of the group of the server that somebody is signed in to; undefined as long as nothing is. */
export const roster = new Store<Roster | undefined>(undefined);

/** Returns what is known after an event. */
export function applyNodesEvent(before: Roster | undefined, event: NodesEvent): Roster {
  const isWhole = event.kind === "snapshot" || event.kind === "resync";
  const nodes = new Map(isWhole ? [] : before?.nodes);
  for (const node of event.nodes) {
    if (event.kind === "forgotten") nodes.delete(node.id);
    else nodes.set(node.id, node);
  }
  return { nodes, isSettled: event.is_settled };
}

/** Compares texts so that `web-2` stands before `web-10`. */
export function compareNaturally(one: string, other: string): number {
  return one.localeCompare(other, "en", { numeric: true });
}

/** The nodes in their order. */
export function sortNodes(known: Roster): NodeInfo[] {
  return [...known.nodes.values()].sort((one, other) => compareNaturally(one.name, other.name) || compareNaturally(one.id, other.id));
}

/** Tells whether a node is there, and takes calls. */
export function isThere(node: NodeInfo): boolean {
  return node.state === "up" || node.state === "suspect" || node.state === "leaving";
}

/** What nodes are called for people: `web-1`, or `web-1@4c21be3f5db2a708` where it is not the only one of that name. */
export function titleOf(node: NodeInfo, known: Roster): string {
  return isAlone(node, known) ? node.name : `${node.name}@${node.id}`;
}

/** What a node is called in addresses: its name, or its id where it is not the only one of that name. */
export function keyOf(node: NodeInfo, known: Roster): string {
  return isAlone(node, known) ? node.name : node.id;
}

function isAlone(node: NodeInfo, known: Roster): boolean {
  return [...known.nodes.values()].every((each) => each === node || each.name !== node.name);
}

/** Finds the node of a name or an id. */
export function findNode(known: Roster | undefined, key: string): NodeInfo | undefined {
  return known?.nodes.get(key) ?? [...(known?.nodes.values() ?? [])].find((node) => node.name === key);
}
