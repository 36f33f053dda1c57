/** The tree of devices, with arrivals and departures. */

import type { Device } from "@remote-services/client/stubs/hardware";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { formatBytes, formatTime } from "../../format.ts";
import { CLOSED_AT_FIRST, describe, growTree, listRows, placesAbove, stepByKey, type Inventory, type News, type Row } from "./inventory.ts";

/** Shows all devices, and the one that is chosen. */
export function TreeView({ inventory }: { readonly inventory: Inventory }) {
  const { devices, arrivals, news } = inventory;
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set(CLOSED_AT_FIRST));
  const [search, setSearch] = useState("");
  const [at, setAt] = useState("");
  const list = useRef<HTMLUListElement>(null);
  const tree = useMemo(() => growTree(devices), [devices]);
  const rows = listRows(tree, closed, search);
  const current = rows.find((row) => row.branch.id === at) ?? rows[0];
  const set = (id: string, isClosed: boolean): void => {
    setClosed((before) => {
      const next = new Set(before);
      if (isClosed) next.add(id);
      else next.delete(id);
      return next;
    });
  };
  // What comes is seen, wherever it is.
  useEffect(() => {
    const [newest] = news;
    if (newest?.kind !== "came") return;
    const above = placesAbove(devices, newest.device);
    setClosed((before) => (above.some((id) => before.has(id)) ? new Set([...before].filter((id) => !above.includes(id))) : before));
  }, [news]);
  const onKey = (event: KeyboardEvent): void => {
    const step = current === undefined || event.ctrlKey || event.altKey || event.metaKey ? undefined : stepByKey(rows, current.branch.id, event.key);
    if (step === undefined) return;
    event.preventDefault();
    if (step.open !== undefined) set(step.open, false);
    if (step.close !== undefined) set(step.close, true);
    if (step.go === undefined) return;
    setAt(step.go);
    list.current?.querySelector<HTMLElement>(`[data-id="${CSS.escape(step.go)}"]`)?.focus();
  };
  return (
    <section class="card stack devices" aria-labelledby="devices-title">
      <div class="row">
        <h2 id="devices-title" class="grow">Devices</h2>
        <span class="small muted">{devices.size}</span>
        <input type="search" aria-label="Find a device" placeholder="Find  ( / )" value={search} onInput={(event) => { setSearch(event.currentTarget.value); }} />
      </div>
      <ul class="tree" role="tree" aria-label="Devices" ref={list} onKeyDown={onKey}>
        {rows.map((row) => (
          <Line key={row.branch.id} row={row} isCurrent={row === current} isNew={arrivals.has(row.branch.id)}
            onChoose={() => { setAt(row.branch.id); }} onTurn={() => { set(row.branch.id, row.isOpen === true); }} />
        ))}
      </ul>
      {rows.length === 0 && <p class="muted">No device has these words.</p>}
      {current?.branch.device !== undefined && <Details device={current.branch.device} />}
      <NewsList news={news} />
    </section>
  );
}

interface LineProps {
  readonly row: Row;
  readonly isCurrent: boolean;
  readonly isNew: boolean;
  readonly onChoose: () => void;
  readonly onTurn: () => void;
}

function Line({ row, isCurrent, isNew, onChoose, onTurn }: LineProps) {
  const { branch, level, place, count, isOpen } = row;
  const { device } = branch;
  return (
    <li role="treeitem" class={`level-${String(Math.min(level, 9))}${device === undefined ? " group" : ""}`} data-id={branch.id} aria-level={level} aria-posinset={place} aria-setsize={count}
      aria-expanded={isOpen} aria-selected={isCurrent} tabIndex={isCurrent ? 0 : -1} onClick={onChoose} onDblClick={onTurn}>
      <span class="twist" aria-hidden="true" onClick={isOpen === undefined ? undefined : onTurn}>{isOpen === undefined ? "" : isOpen ? "▾" : "▸"}</span>
      <span class={device === undefined ? "" : "mono"}>{branch.title}</span>
      {device === undefined && <span class="small muted">{branch.branches.length}</span>}
      {device !== undefined && <span class="small muted cut">{describe(device)}</span>}
      {isNew && <span class="tag good">new</span>}
    </li>
  );
}

function Details({ device }: { readonly device: Device }) {
  const facts: [string, string | number | null][] = [
    ["maker", device.vendor], ["model", device.model], ["ids", [device.vendor_id, device.model_id].filter((each) => each !== null).join(":")],
    ["serial number", device.serial], ["driver", device.driver], ["file", device.node], ["lasting link", device.by_id],
    ...Object.entries(device.properties).map(([name, value]): [string, string | number | null] => (
      name === "size_bytes" && typeof value === "number" ? ["size", formatBytes(value)] : [name.replaceAll("_", " "), value]
    )).filter(([name], index, all) => all.findIndex(([other]) => other === name) === index),
    ["in sysfs", device.id],
  ];
  return (
    <section class="details" aria-label={`About ${device.name}`}>
      <h3 class="mono">{device.name} <span class="muted">{device.subsystem}</span></h3>
      <dl class="facts small">
        {facts.filter(([, value]) => value !== null && value !== "").map(([name, value]) => [<dt key={`${name} name`} class="muted">{name}</dt>, <dd key={name}>{value}</dd>])}
      </dl>
    </section>
  );
}

function NewsList({ news }: { readonly news: readonly News[] }) {
  return (
    <section class="stack" aria-labelledby="news-title">
      <h3 id="news-title">Arrivals and departures</h3>
      <div class="news small" role="log" aria-labelledby="news-title" tabIndex={news.length > 4 ? 0 : -1}>
        {news.map((each, index) => (
          <div class="one" key={news.length - index}>
            <span class="number muted">{formatTime(each.time)}</span>
            <span class={`tag ${each.kind === "came" ? "good" : "warn"}`}>{each.kind}</span>
            <span class="mono">{each.device.name}</span>
            <span class="muted cut">{describe(each.device)}{each.isLate && " (while the connection was away)"}</span>
          </div>
        ))}
        {news.length === 0 && <span class="muted">None since this page was opened.</span>}
      </div>
    </section>
  );
}
