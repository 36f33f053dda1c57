/** What the machine measures of itself: sensors, batteries, graphics processors. */

import type { Battery, Gpu, Gpus, Sensor, Sensors } from "@remote-services/client/stubs/hardware";
import { formatBytes, formatDuration, formatPercent } from "../../format.ts";
import { judgeReading, writeReading, writeReasons } from "./figures.ts";

/** Shows the sensors. */
export function SensorsView({ sensors, reason }: { readonly sensors: Sensors | null; readonly reason: string }) {
  const readings = sensors?.readings ?? [];
  const absent = writeReasons(sensors?.reasons ?? {});
  return (
    <section class="card stack" aria-labelledby="sensors-title">
      <h2 id="sensors-title">Sensors</h2>
      {readings.length > 0 && (
        <ul class="readings">{readings.map((each) => <Reading key={`${each.kind} ${each.chip} ${each.device} ${each.label}`} sensor={each} />)}</ul>
      )}
      {readings.length === 0 && <p>The machine shows no sensors{reason === "" ? "." : `: ${reason}.`}</p>}
      {absent !== "" && <p class="small muted">{absent}</p>}
    </section>
  );
}

function Reading({ sensor }: { readonly sensor: Sensor }) {
  const { kind, chip, label, current, high, critical } = sensor;
  const name = [chip, label].filter((each) => each !== "").join(" · ");
  const verdict = judgeReading(sensor);
  const most = critical ?? high;
  return (
    <li>
      <span class="cut" title={sensor.device}>{name} <span class="small muted">{kind}</span></span>
      {most !== null && current !== null
        ? <meter min={0} max={most} high={high ?? most} value={current} aria-label={`${name}: of ${writeReading(kind, most)}`} />
        : <span class="small muted">{sensor.reason}</span>}
      <span class="number">{current === null ? "–" : writeReading(kind, current)}</span>
      {verdict.text !== "" && verdict.look !== "" && <span class={`tag ${verdict.look}`}>{verdict.text}</span>}
    </li>
  );
}

/** Shows the batteries; nothing where there are none. */
export function BatteryView({ battery }: { readonly battery: Battery | null }) {
  if (battery?.present !== true) return null;
  return (
    <section class="card stack" aria-labelledby="battery-title">
      <h2 id="battery-title">Battery</h2>
      <p class="row">
        <meter class="grow" min={0} max={100} value={battery.percent ?? 0} aria-label="Charge" />
        <b class="number">{formatPercent(battery.percent)}</b>
        <span class="small muted">{battery.power_plugged === true ? "on mains" : battery.secsleft === null ? "" : `${formatDuration(battery.secsleft)} left`}</span>
      </p>
      <ul class="small muted">
        {battery.batteries.map((each) => (
          <li key={each.name}>
            {[each.name, each.manufacturer, each.model_name, each.status, each.energy_full_wh === null || each.energy_design_wh === null
              ? null : `holds ${each.energy_full_wh.toFixed(1)} of ${each.energy_design_wh.toFixed(1)} Wh`,
            each.cycle_count === null ? null : `${String(each.cycle_count)} cycles`].filter((text) => text !== null).join(", ")}
          </li>
        ))}
      </ul>
    </section>
  );
}

interface GpusProps {
  readonly gpus: Gpus | null;
  readonly reason: string;
  /** Names what is in a slot of PCI, for drivers that tell no name. */
  readonly nameOf: (slot: string) => string;
}

/** Shows the graphics processors, and says why there are none. */
export function GpusView({ gpus, reason, nameOf }: GpusProps) {
  const list = gpus?.gpus ?? [];
  const absent = Object.entries(gpus?.reasons ?? {});
  return (
    <section class="card stack" aria-labelledby="gpus-title">
      <h2 id="gpus-title">Graphics processors</h2>
      {list.map((each) => <GpuView key={`${each.vendor} ${String(each.index)}`} gpu={each} name={each.name ?? (each.pci_bus_id === null ? "" : nameOf(each.pci_bus_id))} />)}
      {list.length === 0 && <p>The machine has none{reason === "" ? "." : `: ${reason}.`}</p>}
      {absent.length > 0 && (
        <ul class="small muted">{absent.map(([vendor, why]) => <li key={vendor}>{VENDORS[vendor] ?? vendor}: {why}</li>)}</ul>
      )}
    </section>
  );
}

const VENDORS: Readonly<Record<string, string>> = { nvidia: "NVIDIA", amd: "AMD" };

function GpuView({ gpu, name }: { readonly gpu: Gpu; readonly name: string }) {
  const facts: [string, string | null][] = [
    ["temperature", gpu.temperature_celsius === null ? null : writeReading("temperature", gpu.temperature_celsius)],
    ["power", gpu.power_draw_w === null ? null : `${writeReading("power", gpu.power_draw_w)}${gpu.power_limit_w === null ? "" : ` of ${writeReading("power", gpu.power_limit_w)}`}`],
    ["fan", gpu.fan_percent === null ? null : formatPercent(gpu.fan_percent)],
    ["clock", gpu.clock_graphics_mhz === null ? null : `${String(gpu.clock_graphics_mhz)} MHz`],
    ["clock of memory", gpu.clock_memory_mhz === null ? null : `${String(gpu.clock_memory_mhz)} MHz`],
    ["driver", gpu.driver_version], ["slot", gpu.pci_bus_id], ["UUID", gpu.uuid],
    ["processes", gpu.processes === null ? null : gpu.processes.length === 0 ? "none" : gpu.processes.map((each) => `${String(each.pid)} (${formatBytes(each.memory_bytes)})`).join(", ")],
  ];
  const missing = writeReasons(gpu.reasons);
  const memory = gpu.memory_total_bytes;
  return (
    <article class="stack gpu" aria-label={`Graphics processor ${String(gpu.index)}`}>
      <h3>{name !== "" ? name : `${VENDORS[gpu.vendor] ?? gpu.vendor} ${String(gpu.index)}`}</h3>
      <ul class="readings sizes">
        <li>
          <span>busy</span>
          <meter min={0} max={100} value={gpu.utilization_gpu_percent ?? 0} aria-label="Busy" />
          <span class="number">{formatPercent(gpu.utilization_gpu_percent)}</span>
        </li>
        {memory !== null && (
          <li>
            <span>memory</span>
            <meter min={0} max={memory} value={gpu.memory_used_bytes ?? 0} aria-label="Memory in use" />
            <span class="number">{formatBytes(gpu.memory_used_bytes)} of {formatBytes(memory)}</span>
          </li>
        )}
      </ul>
      <dl class="facts small">
        {facts.filter(([, value]) => value !== null).map(([name, value]) => [<dt key={`${name} name`} class="muted">{name}</dt>, <dd key={name}>{value}</dd>])}
      </dl>
      {missing !== "" && <details class="small muted"><summary>What it does not tell</summary>{missing}</details>}
    </article>
  );
}
