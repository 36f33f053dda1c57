/** Overview: the host, an hour of it in charts that go on, its processors, and its processes. */

import type { RpcStream } from "@remote-services/client";
import { hardware, type Cpu, type Snapshot } from "@remote-services/client/stubs/hardware";
import { useMemo, useRef, useState } from "preact/hooks";
import { tell } from "../../connection.ts";
import { useAnswer } from "../../entry.ts";
import { formatBytes, formatDuration } from "../../format.ts";
import { useStream } from "../../live.ts";
import { Chart } from "./chart.tsx";
import "./overview.css";
import { Processes } from "./processes.tsx";
import { History, metricsOf, planCharts, SPAN_S, type ChartPlan } from "./series.ts";

const INTERVAL_S = 2;

interface Beginning {
  readonly snapshot: Snapshot;
  readonly plans: readonly ChartPlan[];
  readonly history: History;
}

/** The page. */
export function OverviewPage() {
  // It is asked again when the connection is back: then the history fills the gap.
  const found = useAnswer(async (client): Promise<Beginning> => {
    const stub = client.service(hardware);
    const [snapshot, kept] = await Promise.all([
      stub.snapshot({ sections: ["host", "cpu", "memory", "disks"] }),
      stub.history_metrics(),
    ]);
    // A server that has just started keeps no history yet, but it knows its metrics.
    const sections = ["cpu", "memory", "disks", "network", "pressure"] as const;
    const first = kept.length > 0 ? undefined : await readFirst(stub.subscribe({ sections, interval_s: INTERVAL_S }));
    const disks = (snapshot.disks?.io ?? []).filter((each) => each.kind === "disk").map((each) => each.name);
    const plans = planCharts([...kept, ...Object.keys(first?.values ?? {})], disks);
    const keeps = new Set(kept);
    const metrics = metricsOf(plans).filter((metric) => keeps.has(metric));
    const series = metrics.length === 0 ? [] : await stub.history({ metrics, start_s: -SPAN_S });
    return { snapshot, plans, history: History.from(series) };
  }, []);
  const cores = useCores();
  return (
    <div class="stack overview">
      <h1>Overview</h1>
      {found.error !== undefined && <p class="note bad" role="alert">{tell(found.error)}</p>}
      {found.value === undefined && found.error === undefined && <p class="muted" role="status">Asking the server …</p>}
      {found.value !== undefined && <HostCard snapshot={found.value.snapshot} />}
      {found.value !== undefined && <Charts beginning={found.value} />}
      {cores !== undefined && <Cores cpu={cores} />}
      <Processes />
    </div>
  );
}

/** Reads the first item of a stream, and ends it. */
async function readFirst<T>(stream: RpcStream<T>): Promise<T | undefined> {
  for await (const item of stream) return item;
  return undefined;
}

function useCores(): Cpu | undefined {
  const [cpu, setCpu] = useState<Cpu>();
  useStream(
    (client) => client.service(hardware).watch({ sections: ["cpu"], interval_s: INTERVAL_S }),
    (snapshot) => { if (snapshot.cpu !== null) setCpu(snapshot.cpu); },
    [],
  );
  return cpu;
}

function Charts({ beginning }: { readonly beginning: Beginning }) {
  const { plans, history } = beginning;
  const metrics = useMemo(() => metricsOf(plans), [plans]);
  const [version, setVersion] = useState(0);
  const current = useRef(history);
  current.current = history;
  const error = useStream(
    metrics.length === 0
      ? undefined
      : (client) => client.service(hardware).subscribe({ filter: metrics, interval_s: INTERVAL_S }),
    (sample) => {
      current.current.add(sample, metrics);
      setVersion((before) => before + 1);
    },
    [metrics],
  );
  return (
    <>
      {error !== undefined && <p class="note bad" role="alert">{tell(error)}</p>}
      <div class="charts">{plans.map((plan) => <Chart key={plan.id} plan={plan} history={history} version={version} />)}</div>
    </>
  );
}

function HostCard({ snapshot }: { readonly snapshot: Snapshot }) {
  const { host, cpu, memory } = snapshot;
  if (host === null) return null;
  const facts: [string, string | null | undefined][] = [
    ["System", host.distribution ?? host.system],
    ["Kernel", `${host.release} ${host.machine}`],
    ["Up", formatDuration(host.uptime_s)],
    ["Processors", cpu === null ? null : `${String(cpu.logical)}${cpu.model === null ? "" : ` × ${cpu.model}`}`],
    ["Memory", memory === null ? null : formatBytes(memory.total_bytes)],
    ["Load", cpu?.load_1m === null || cpu === null ? null : [cpu.load_1m, cpu.load_5m, cpu.load_15m].map((each) => each?.toFixed(2) ?? "–").join("  ")],
    ["Virtualization", host.virtualization],
    ["Hardware", [host.hardware_vendor, host.hardware_model].filter((each) => each !== null).join(" ")],
  ];
  return (
    <section class="card host" aria-label="Host">
      <h2>{host.hostname}</h2>
      <dl>{facts.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => (
        <div key={name}><dt class="small muted">{name}</dt><dd>{value}</dd></div>
      ))}</dl>
    </section>
  );
}

function Cores({ cpu }: { readonly cpu: Cpu }) {
  return (
    <section class="card stack" aria-label="Each processor">
      <h2>Each processor</h2>
      <ul class="cores">
        {cpu.cores.map((core) => (
          <li key={core.cpu}>
            <span class="small muted number">{core.cpu}</span>
            <meter min={0} max={100} value={core.percent ?? 0} aria-label={`Processor ${String(core.cpu)}`} />
            <span class="small number">{core.online ? `${core.percent?.toFixed(0) ?? "–"} %` : "offline"}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
