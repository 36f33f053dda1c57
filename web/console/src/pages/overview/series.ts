/** The lines of the charts: which metrics they are made of, and their points over the last hour. */

import type { Sample, Series } from "@remote-services/client/stubs/hardware";

/** How much time the charts show, in seconds. */
export const SPAN_S = 3600;

/** A line: the sum of its metrics. */
export interface Line {
  readonly label: string;
  readonly metrics: readonly string[];
  /** Whether it is one of many of the same kind, which stand behind the others and share an entry of the legend. */
  readonly isOneOfMany?: boolean;
}

/** A chart. */
export interface ChartPlan {
  readonly id: string;
  readonly title: string;
  readonly unit: "percent" | "rate";
  readonly lines: readonly Line[];
}

/** How many processors have lines of their own: more cannot be told apart, and a history has at most 1,000 metrics. */
export const MOST_CORES = 128;

const CORE = /^cpu\.cores\.percent\{(\d+)\}$/;

/** Plans a line for each processor, in their order. */
function planCores(known: readonly string[]): Line[] {
  return known
    .flatMap((metric) => {
      const number = CORE.exec(metric)?.[1];
      return number === undefined ? [] : [{ label: number, metrics: [metric], isOneOfMany: true }];
    })
    .sort((one, other) => Number(one.label) - Number(other.label))
    .slice(0, MOST_CORES);
}

/** Plans the charts with the metrics that this machine has.
 * @param known - the names of the metrics that have a history.
 * @param disks - the names of whole disks: what goes through a partition goes through its disk, too. */
export function planCharts(known: readonly string[], disks: readonly string[]): ChartPlan[] {
  const has = new Set(known);
  const ofDisks = (name: string): string[] => disks.map((disk) => `disks.io.${name}{${disk}}`);
  const plans: ChartPlan[] = [
    { id: "cpu", title: "Processors", unit: "percent", lines: [...planCores(known), { label: "busy", metrics: ["cpu.percent"] }] },
    {
      id: "memory", title: "Memory", unit: "percent",
      lines: [{ label: "in use", metrics: ["memory.percent"] }, { label: "swap", metrics: ["memory.swap.percent"] }],
    },
    {
      id: "disks", title: "Disks", unit: "rate",
      lines: [{ label: "read", metrics: ofDisks("read_bytes_per_s") }, { label: "written", metrics: ofDisks("write_bytes_per_s") }],
    },
    {
      id: "network", title: "Network", unit: "rate",
      lines: [
        { label: "received", metrics: ["network.total.bytes_recv_per_s"] },
        { label: "sent", metrics: ["network.total.bytes_sent_per_s"] },
      ],
    },
    {
      id: "pressure", title: "Pressure", unit: "percent",
      lines: ["cpu", "memory", "io"].map((name) => ({ label: name, metrics: [`pressure.${name}_some.avg10`] })),
    },
  ];
  return plans
    .map((plan) => ({
      ...plan,
      lines: plan.lines.map((line) => ({ ...line, metrics: line.metrics.filter((metric) => has.has(metric)) })).filter((line) => line.metrics.length > 0),
    }))
    .filter((plan) => plan.lines.length > 0);
}

/** The metrics of charts. */
export function metricsOf(plans: readonly ChartPlan[]): string[] {
  return [...new Set(plans.flatMap((plan) => plan.lines.flatMap((line) => line.metrics)))];
}

/** The points of all metrics, on one axis of time. */
export class History {
  /** Moments, in seconds since 1970, in their order. */
  times: number[] = [];
  readonly #values = new Map<string, (number | null)[]>();

  /** Begins with what the server has kept. */
  static from(series: readonly Series[]): History {
    const history = new History();
    const moments = new Set<number>();
    for (const each of series) for (const point of each.points) moments.add(Math.round(point.t_wall_s + point.step_s));
    history.times = [...moments].sort((one, other) => one - other);
    const places = new Map(history.times.map((time, index) => [time, index]));
    for (const each of series) {
      const values = new Array<number | null>(history.times.length).fill(null);
      for (const point of each.points) values[places.get(Math.round(point.t_wall_s + point.step_s)) ?? 0] = point.mean;
      history.#values.set(each.metric, values);
    }
    return history;
  }

  /** Adds the newest sample, and forgets what is too old. Samples that come late are left out. */
  add(sample: Sample, metrics: readonly string[]): void {
    if (sample.t_wall_s <= (this.times.at(-1) ?? 0)) return;
    this.times.push(sample.t_wall_s);
    for (const metric of metrics) {
      const values = this.#values.get(metric) ?? new Array<number | null>(this.times.length - 1).fill(null);
      values.push(sample.values[metric] ?? null);
      this.#values.set(metric, values);
    }
    const old = this.times.findIndex((time) => time > sample.t_wall_s - SPAN_S);
    if (old <= 0) return;
    this.times.splice(0, old);
    for (const values of this.#values.values()) values.splice(0, old);
  }

  /** The points of a line: the sums of its metrics; null where none is known. */
  pointsOf(line: Line): (number | null)[] {
    const [first = [], ...others] = line.metrics.map((metric) => this.#values.get(metric) ?? []);
    if (others.length === 0) return first;
    return this.times.map((_time, index) => {
      const known = [first, ...others].map((values) => values[index]).filter((value) => typeof value === "number");
      return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0);
    });
  }
}
