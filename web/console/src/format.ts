/** Numbers, sizes and times for people. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** Writes a size in bytes, with three digits that count. */
export function formatBytes(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined) return "–";
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? String(Math.round(value)) : value.toPrecision(value >= 1000 ? 4 : 3)} ${UNITS[unit] ?? ""}`;
}

/** Writes a share of 100. */
export function formatPercent(percent: number | null | undefined): string {
  return percent === null || percent === undefined ? "–" : `${percent.toFixed(1)} %`;
}

/** Writes a length of time, such as `3 d 4 h`, `5 min 2 s`, `12 s`. */
export function formatDuration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.max(0, Math.floor(seconds));
  const parts: [number, string][] = [
    [Math.floor(whole / 86_400), "d"], [Math.floor(whole / 3600) % 24, "h"], [Math.floor(whole / 60) % 60, "min"], [whole % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return "0 s";
  return parts.slice(first, first + 2).filter(([count]) => count > 0).map(([count, unit]) => `${String(count)} ${unit}`).join(" ");
}

/** Writes a moment of the local clock. */
export function formatTime(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString();
}

/** Writes a moment with its day. */
export function formatMoment(seconds: number): string {
  return new Date(seconds * 1000).toLocaleString();
}
