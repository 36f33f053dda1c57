/** Machines: the nodes of the group, their pages, and commands on many of them. */

import { useState } from "preact/hooks";
import { useEntry, useIsConnected } from "../../entry.ts";
import { isThere, roster, sortNodes, titleOf, type NodeInfo } from "../../roster.ts";
import { useStore } from "../../store.ts";
import { CommandCard } from "./command_card.tsx";
import "./machines.css";
import { RosterTable } from "./roster_table.tsx";

/** The page. */
export function MachinesPage() {
  const { hasGroup } = useEntry();
  const isConnected = useIsConnected();
  const known = useStore(roster);
  const [ticks, setTicks] = useState<ReadonlySet<string>>(new Set());
  const [selector, setSelector] = useState("");
  if (!hasGroup) {
    return <div class="stack"><h1>Machines</h1><p class="muted">This server belongs to no group. The section <code>group</code> of its configuration makes it a node of one.</p></div>;
  }
  const nodes = known === undefined ? [] : sortNodes(known);
  const ticked = nodes.filter((node) => ticks.has(node.id));
  return (
    <div class="stack machines">
      <div class="row"><h1 class="grow">Machines</h1><span class="small muted" role="status">{describeCounts(nodes)}</span></div>
      {!isConnected && <p class="note warn" role="status">The connection is lost: this is how the nodes were then.</p>}
      {isConnected && known?.isSettled === false && (
        <p class="note warn" role="status">The server is not sure of its nodes now: it has no connection to the broker, or has it since a moment ago. Nodes may be missing or be gone.</p>
      )}
      {known === undefined
        ? <p class="muted" role="status">Asking the server …</p>
        : <RosterTable known={known} nodes={nodes} ticks={ticks} onTick={setTicks} onLabel={setSelector} />}
      {known !== undefined && (
        <CommandCard own={nodes.find((node) => node.is_self)?.name ?? ""} selector={selector} onSelector={setSelector}
          ticked={ticked.map((node) => ({ id: node.id, title: titleOf(node, known) }))} />
      )}
    </div>
  );
}

/** Says how many nodes are in each state, such as `3 up, 1 died`. */
function describeCounts(nodes: readonly NodeInfo[]): string {
  const counts = new Map<string, number>();
  for (const node of [...nodes].sort((one, other) => Number(isThere(other)) - Number(isThere(one)))) {
    counts.set(node.state, (counts.get(node.state) ?? 0) + 1);
  }
  return [...counts].map(([state, count]) => `${String(count)} ${state}`).join(", ");
}
