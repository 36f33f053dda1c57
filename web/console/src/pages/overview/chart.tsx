/** A chart of the last hour. */

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { formatBytes, formatPercent } from "../../format.ts";
import { useStore } from "../../store.ts";
import { theme } from "../../theme.ts";
import { SPAN_S, type ChartPlan, type History } from "./series.ts";

const HEIGHT = 132;

interface ChartProps {
  readonly plan: ChartPlan;
  readonly history: History;
  /** Grows with each sample. */
  readonly version: number;
}

/** Shows the lines of a chart, and their newest values. */
export function Chart({ plan, history, version }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const now = useStore(theme);
  const points = plan.lines.map((line) => history.pointsOf(line));
  const latest = points.map((values) => values.at(-1));
  const write = plan.unit === "percent" ? formatPercent : (value: number | null | undefined) => (value === null || value === undefined ? "–" : `${formatBytes(value)}/s`);
  const data = useRef<uPlot.AlignedData>([[]]);
  data.current = [history.times, ...points];

  useEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    const make = (): void => {
      plot.current?.destroy();
      plot.current = new uPlot(optionsOf(plan, element), data.current, element);
    };
    make();
    const observer = new ResizeObserver(() => {
      plot.current?.setSize({ width: element.clientWidth, height: HEIGHT });
    });
    observer.observe(element);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", make);
    return () => {
      observer.disconnect();
      scheme.removeEventListener("change", make);
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, [plan, now]);
  useEffect(() => { plot.current?.setData(data.current); }, [version]);

  const words = plan.lines.map((line, index) => `${line.label} ${write(latest[index])}`).join(", ");
  return (
    <figure class="card chart" data-chart={plan.id}>
      <figcaption class="row">
        <h2 class="grow">{plan.title}</h2>
        {plan.lines.map((line, index) => (
          <span key={line.label} class={`legend small series-${String(index + 1)}`}>{line.label} <b class="number">{write(latest[index])}</b></span>
        ))}
      </figcaption>
      <div ref={place} class="plot" role="img" aria-label={`${plan.title} over the last hour, now ${words}`} />
    </figure>
  );
}

/** How little time a chart shows at least, in seconds: a server that has just started has no hour behind it. */
const LEAST_S = 600;

/** Returns from when until when a chart reaches, in seconds since 1970. */
function rangeOf(first: number | undefined, now: number): [number, number] {
  return [Math.min(Math.max(first ?? now, now - SPAN_S), now - LEAST_S), now];
}

function clockOf(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

function optionsOf(plan: ChartPlan, element: HTMLElement): uPlot.Options {
  const style = getComputedStyle(element);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  const grid = { stroke: colour("--line"), width: 1 };
  const font = `11px ${colour("--sans")}`;
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { sync: { key: "overview" }, drag: { x: false, y: false } },
    scales: {
      x: { time: true, range: (plot) => rangeOf(plot.data[0][0], Date.now() / 1000) },
      y: { range: plan.unit === "percent" ? [0, 100] : (_plot, _low, high) => [0, Math.max(high * 1.1, 1024)] },
    },
    axes: [
      { stroke: colour("--muted"), grid: { show: false }, ticks: grid, font, size: 26, values: (_plot, splits) => splits.map(clockOf) },
      {
        stroke: colour("--muted"), grid, ticks: { show: false }, font, size: 62,
        ...(plan.unit === "rate" ? { incrs: Array.from({ length: 50 }, (_each, power) => 2 ** power) } : {}),
        values: (_plot, splits) => splits.map((value) => (plan.unit === "percent" ? `${String(value)} %` : formatBytes(value))),
      },
    ],
    series: [
      {},
      ...plan.lines.map((line, index) => ({
        label: line.label, stroke: colour(`--series-${String(index + 1)}`), width: 1.5, points: { show: false }, spanGaps: false,
        ...(index === 0 ? { fill: colour("--accent-ground") } : {}),
      })),
    ],
  };
}
