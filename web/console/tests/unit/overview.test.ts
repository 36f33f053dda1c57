/** The charts of the overview. */

import { expect, test } from "vitest";
import type { Sample, Series } from "@remote-services/client/stubs/hardware";
import { History, metricsOf, MOST_CORES, planCharts, SPAN_S } from "../../src/pages/overview/series.ts";

function series(metric: string, ...means: (number | null)[]): Series {
  return { metric, step_s: 10, points: means.map((mean, index) => ({ t_wall_s: 1000 + 10 * index, step_s: 10, mean, min: mean, max: mean })) };
}

function sample(time: number, values: Record<string, number | null>): Sample {
  return { t_mono_s: time, t_wall_s: time, dt_s: 2, values, reasons: {} };
}

test("charts are made of what the machine has", () => {
  const known = ["cpu.percent", "disks.io.read_bytes_per_s{sda}", "disks.io.read_bytes_per_s{sda1}", "disks.io.read_bytes_per_s{sdb}"];
  const plans = planCharts(known, ["sda", "sdb"]);
  expect(plans.map((plan) => plan.id)).toEqual(["cpu", "disks"]);
  expect(metricsOf(plans)).toEqual(["cpu.percent", "disks.io.read_bytes_per_s{sda}", "disks.io.read_bytes_per_s{sdb}"]);
});

test("each processor has a line, in order, behind the one of all", () => {
  const known = ["cpu.cores.percent{10}", "cpu.cores.percent{2}", "cpu.percent", "cpu.cores.percent{0}", "cpu.cores.frequency_mhz{0}"];
  const [plan] = planCharts(known, []);
  expect(plan?.lines.map((line) => [line.label, line.isOneOfMany])).toEqual([["0", true], ["2", true], ["10", true], ["busy", undefined]]);
  const many = planCharts(Array.from({ length: 300 }, (_each, core) => `cpu.cores.percent{${String(core)}}`), []);
  expect(many[0]?.lines.length).toBe(MOST_CORES);
});

test("a line is the sum of its metrics, and has gaps where nothing is known", () => {
  const history = History.from([series("a", 1, null, 3), series("b", 10, null, null)]);
  expect(history.times).toEqual([1010, 1020, 1030]);
  expect(history.pointsOf({ label: "", metrics: ["a", "b"] })).toEqual([11, null, 3]);
  expect(history.pointsOf({ label: "", metrics: ["a"] })).toEqual([1, null, 3]);
});

test("samples go on where the history ends; late and old ones are left out", () => {
  const history = History.from([series("a", 1, 2)]);
  history.add(sample(1015, { a: 9 }), ["a"]);
  history.add(sample(1022, { a: 3 }), ["a"]);
  expect(history.pointsOf({ label: "", metrics: ["a"] })).toEqual([1, 2, 3]);
  history.add(sample(1021 + SPAN_S, { a: 4, new: 5 }), ["a", "new"]);
  expect(history.times).toEqual([1022, 1021 + SPAN_S]);
  expect(history.pointsOf({ label: "", metrics: ["a"] })).toEqual([3, 4]);
  expect(history.pointsOf({ label: "", metrics: ["new"] })).toEqual([null, 5]);
});
