/** The nodes, one on each line. */

import { useSeconds } from "../../app.tsx";
import { useEntry } from "../../entry.ts";
import { formatDuration, formatMoment } from "../../format.ts";
import { CONNECT } from "../../node_picker.tsx";
import { hashOf } from "../../routes.ts";
import { isThere, keyOf, titleOf, type NodeInfo, type NodeState, type Roster } from "../../roster.ts";

const LOOKS: Readonly<Record<NodeState, string>> = { up: "good", suspect: "warn", leaving: "warn", left: "", died: "bad" };

interface TableProps {
  readonly known: Roster;
  /** Its nodes, in their order. */
  readonly nodes: readonly NodeInfo[];
  /** The ids of those that are ticked. */
  readonly ticks: ReadonlySet<string>;
  readonly onTick: (ticks: ReadonlySet<string>) => void;
  /** Gets a selector for the nodes with a label. */
  readonly onLabel: (selector: string) => void;
}

/** Shows the nodes. */
export function RosterTable({ known, nodes, ticks, onTick, onLabel }: TableProps) {
  const { permissions } = useEntry();
  useSeconds(true);
  const now = Date.now() / 1000;
  const present = nodes.filter(isThere);
  const areAllTicked = present.length > 0 && present.every((node) => ticks.has(node.id));
  const tick = (id: string): void => {
    const next = new Set(ticks);
    if (!next.delete(id)) next.add(id);
    onTick(next);
  };
  const may = permissions.has(CONNECT);
  return (
    <section class="card stack" aria-label="Nodes of the group">
      {!may && <p class="small muted">Your role lacks the permission <code>{CONNECT}</code>: you cannot open the pages of other nodes.</p>}
      <table class="nodes">
        <thead><tr>
          <th>
            <span class="caption">all</span>
            <input type="checkbox" aria-label="All nodes that are there" checked={areAllTicked}
              onChange={() => { onTick(new Set(areAllTicked ? [] : present.map((node) => node.id))); }} />
          </th>
          <th>Name</th><th>State</th><th class="number">For</th><th class="number">Load</th><th>Labels</th><th>Version</th>
        </tr></thead>
        <tbody>
          {nodes.map((node) => (
            <tr key={node.id} class={isThere(node) ? "" : "gone"}>
              <td class="tick"><input type="checkbox" aria-label={titleOf(node, known)} checked={ticks.has(node.id)} onChange={() => { tick(node.id); }} /></td>
              <td class="name">
                {node.is_self || may ? <a href={hashOf("overview", "", node.is_self ? "" : keyOf(node, known))}>{titleOf(node, known)}</a> : titleOf(node, known)}
                {node.is_self && <> <span class="small muted">this server</span></>}
              </td>
              <td class="condition"><span class={`tag ${LOOKS[node.state]}`}>{node.state}</span>
                {node.state !== "up" && <span class="small muted reason"> {node.explanation}</span>}</td>
              <td class="number since" title={`since ${formatMoment(node.since)}`}>{formatDuration(now - node.since)}</td>
              <td class="number load"><span class="caption">load </span>{node.load.toFixed(2)}</td>
              <td class="labels"><div class="row">
                {Object.entries(node.labels).map(([name, value]) => (
                  <button key={name} type="button" class="tag" title="Run a command on the nodes with this label" onClick={() => { onLabel(`${name}=${value}`); }}>{name}={value}</button>
                ))}
              </div></td>
              <td class="version"><span class="caption">version </span>{node.version}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
