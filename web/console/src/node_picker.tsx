/** Chooses the node whose pages are shown, and follows the nodes that there are. */

import { useEffect } from "preact/hooks";
import type { Entry } from "./connection.ts";
import { useStream } from "./live.ts";
import { hashOf, type Place } from "./routes.ts";
import { applyNodesEvent, findNode, keyOf, roster, sortNodes, titleOf, type NodeInfo, type NodesEvent } from "./roster.ts";
import { useStore } from "./store.ts";

/** The permission to reach other nodes through the server. */
export const CONNECT = "rpc.connect_node";

/** Follows the nodes of the group. It shows nothing. */
export function RosterWatch() {
  useStream((client) => client.stream<NodesEvent>("rpc.watch_nodes"), (event) => { roster.set(applyNodesEvent(roster.value, event)); }, []);
  useEffect(() => () => { roster.set(undefined); }, []); // Whoever signs in next may see another group, or none.
  return null;
}

/** A list of the nodes in the head, of which one is chosen. */
export function NodePicker({ server, here }: { readonly server: Entry; readonly here: Place }) {
  const known = useStore(roster);
  const nodes = known === undefined ? [] : sortNodes(known);
  const own = nodes.find((node) => node.is_self);
  const others = nodes.filter((node) => !node.is_self && (node.state !== "left" || isChosen(node, here)));
  const may = server.permissions.has(CONNECT);
  const chosen = findNode(known, here.node);
  const value = chosen === undefined || known === undefined ? here.node : keyOf(chosen, known);
  return (
    <span class={here.node === "" ? "node" : "node chosen"} title={may ? "The node whose pages are shown (n)" : `Your role lacks the permission ${CONNECT}`}>
      <select id="node" aria-label="Node" value={value} disabled={!may && here.node === ""}
        onChange={(event) => { location.hash = hashOf(here.page, "", event.currentTarget.value); }}>
        <option value="">{own === undefined || known === undefined ? "this server" : `${titleOf(own, known)} (this server)`}</option>
        {known !== undefined && others.map((node) => (
          <option key={node.id} value={keyOf(node, known)}>{titleOf(node, known)}{node.state === "up" ? "" : ` (${node.state})`}</option>
        ))}
        {here.node !== "" && chosen === undefined && <option value={here.node}>{here.node} (not known)</option>}
      </select>
    </span>
  );
}

function isChosen(node: NodeInfo, here: Place): boolean {
  return here.node === node.name || here.node === node.id;
}
