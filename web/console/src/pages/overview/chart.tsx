/** A chart of the last hour. */

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { formatBytes, formatPercent } from "../../format.ts";
import { useStore } from "../../store.ts";
import { theme } from "../../theme.ts";
import { SPAN_S, type ChartPlan, type History, type Line } from "./series.ts";

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

  const legend = legendOf(plan, points.map((values) => values.at(-1)));
  const words = legend.map((entry) => `${entry.label} ${entry.value}`).join(", ");
  return (
    <figure class="card chart" data-chart={plan.id}>
      <figcaption class="row">
        <h2 class="grow">{plan.title}</h2>
        {legend.map((entry) => (
          <span key={entry.label} class={`legend small series-${entry.look}`}>{entry.label} <b class="number">{entry.value}</b></span>
        ))}
      </figcaption>
      <div ref={place} class="plot" role="img" aria-label={`${plan.title} over the last hour, now ${words}`} />
    </figure>
  );
}

interface LegendEntry {
  readonly label: string;
  readonly value: string;
  /** The end of the name of its colour. */
  readonly look: string;
}

/** Returns what stands above a chart. Lines of many share an entry, with the least and the most of them. */
function legendOf(plan: ChartPlan, latest: readonly (number | null | undefined)[]): LegendEntry[] {
  const write = plan.unit === "percent" ? formatPercent : (value: number | null | undefined) => (value === null || value === undefined ? "–" : `${formatBytes(value)}/s`);
  const looks = looksOf(plan.lines);
  const entries = plan.lines.flatMap((line, index) => (line.isOneOfMany === true ? [] : [{ label: line.label, value: write(latest[index]), look: looks[index] ?? "" }]));
  const many = plan.lines.flatMap((line, index) => (line.isOneOfMany === true ? [latest[index]] : []));
  if (many.length === 0) return entries;
  const known = many.filter((value) => typeof value === "number");
  const value = known.length === 0 ? "–" : `${Math.min(...known).toFixed(0)} to ${Math.max(...known).toFixed(0)} %`;
  return [...entries, { label: `each of ${String(many.length)}`, value, look: "each" }];
}

/** Returns the ends of the names of the colours of lines. */
function looksOf(lines: readonly Line[]): string[] {
  let count = 0;
  return lines.map((line) => (line.isOneOfMany === true ? "each" : String(++count)));
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

/** Reads a colour of the style sheet as it is shown now: a canvas knows neither names nor `light-dark()`. */
function readColour(element: HTMLElement, name: string): string {
  const probe = document.createElement("span");
  probe.hidden = true;
  probe.style.color = `var(${name})`;
  element.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function optionsOf(plan: ChartPlan, element: HTMLElement): uPlot.Options {
  const colour = (name: string): string => readColour(element, name);
  const looks = looksOf(plan.lines);
  const grid = { stroke: colour("--line"), width: 1 };
  const font = `11px ${getComputedStyle(element).getPropertyValue("--sans")}`;
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
        label: line.label, stroke: colour(`--series-${looks[index] ?? ""}`), width: line.isOneOfMany === true ? 1 : 1.5, points: { show: false }, spanGaps: false,
        // The ground of a chart with lines of many would hide what the first line stands in front of.
        ...(looks[0] === "1" && index === 0 ? { fill: colour("--accent-ground") } : {}),
      })),
    ],
  };
}
