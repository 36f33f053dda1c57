/** What sensors and graphics processors tell, in words. */

import type { Sensor, Smart } from "@remote-services/client/stubs/hardware";

/** How something is. */
export interface Verdict {
  readonly text: string;
  readonly look: "good" | "warn" | "bad" | "";
}

const UNITS: Readonly<Record<Sensor["kind"], readonly [string, number]>> = {
  temperature: ["°C", 1], fan: ["rpm", 0], voltage: ["V", 2], current: ["A", 2], power: ["W", 1], humidity: ["%", 0],
};

/** Writes a value in the unit of its kind. */
export function writeReading(kind: Sensor["kind"], value: number): string {
  const [unit, digits] = UNITS[kind];
  return `${value.toFixed(digits)} ${unit}`;
}

/** Says how a sensor's value is, as far as the sensor has limits. */
export function judgeReading({ current, high, critical }: Sensor): Verdict {
  if (current === null) return { text: "no value", look: "" };
  if (critical !== null && current >= critical) return { text: "critical", look: "bad" };
  if (high !== null && current >= high) return { text: "high", look: "warn" };
  return { text: "", look: "" };
}

/** Says how a disk finds itself. */
export function judgeDisk(smart: Smart): Verdict {
  if (smart.passed === null) return { text: "no verdict", look: "warn" };
  return smart.passed ? { text: "healthy", look: "good" } : { text: "about to fail", look: "bad" };
}

/** Writes reasons, as the server gives them: `absent: the machine shows none`. */
export function writeReasons(reasons: Readonly<Record<string, string>>): string {
  return Object.entries(reasons).map(([name, reason]) => `${name.replaceAll("_", " ")}: ${reason}`).join("; ");
}
