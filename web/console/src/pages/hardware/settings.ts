/** The settings of a serial port, as a form has them. */

import type { SerialSettings } from "@remote-services/client/stubs/hardware";

/** Rates that are usual; a port may take others. */
export const BAUD_RATES: readonly number[] = [1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600, 1_000_000];

export const DATA_BITS = [8, 7, 6, 5] as const;

export const PARITIES: Readonly<Record<SerialSettings["parity"], string>> = { N: "none", E: "even", O: "odd", M: "mark", S: "space" };

export const STOP_BITS: readonly number[] = [1, 1.5, 2];

/** Ways to hold the other side back, with the words for them. */
export const FLOW_CONTROLS = { xonxoff: "XON/XOFF", rtscts: "RTS/CTS", dsrdtr: "DSR/DTR" } as const;

/** Reads a form. What it lacks is as the service has it by default. */
export function readSettings(form: FormData): SerialSettings {
  const textOf = (name: string): string => {
    const value = form.get(name);
    return typeof value === "string" ? value : "";
  };
  const baudrate = Number(textOf("baudrate"));
  const bits = Number(textOf("bytesize"));
  const parity = textOf("parity");
  const stop = Number(textOf("stopbits"));
  return {
    baudrate: Number.isInteger(baudrate) && baudrate > 0 ? baudrate : 9600,
    bytesize: DATA_BITS.find((each) => each === bits) ?? 8,
    parity: isParity(parity) ? parity : "N",
    stopbits: STOP_BITS.includes(stop) ? stop : 1,
    xonxoff: form.get("xonxoff") !== null,
    rtscts: form.get("rtscts") !== null,
    dsrdtr: form.get("dsrdtr") !== null,
  };
}

const KEY = "remote-services.serial";

/** How many ports have settings that are kept. */
const MOST_PORTS = 50;

/** Keeps the settings of a port for the next time. */
export function keepSettings(storage: Storage, port: string, settings: SerialSettings): void {
  const others = Object.entries(readKept(storage)).filter(([name]) => name !== port).slice(1 - MOST_PORTS);
  storage.setItem(KEY, JSON.stringify(Object.fromEntries([...others, [port, settings]])));
}

/** Returns the settings that a port had last; those that the service has by default if there are none. */
export function recallSettings(storage: Storage, port: string): SerialSettings {
  const form = new FormData();
  const kept = readKept(storage)[port];
  if (typeof kept === "object" && kept !== null) {
    for (const [name, value] of Object.entries(kept)) if (value !== false) form.set(name, String(value));
  }
  return readSettings(form);
}

function readKept(storage: Storage): Record<string, unknown> {
  try {
    const kept: unknown = JSON.parse(storage.getItem(KEY) ?? "{}");
    return typeof kept === "object" && kept !== null ? { ...kept } : {};
  } catch {
    return {};
  }
}

function isParity(text: string): text is SerialSettings["parity"] {
  return Object.hasOwn(PARITIES, text);
}

/** Writes settings shortly: `115200 8N1, RTS/CTS`. */
export function writeSettings(settings: SerialSettings): string {
  const flow = Object.entries(FLOW_CONTROLS).filter(([name]) => settings[name as keyof typeof FLOW_CONTROLS]).map(([, text]) => text);
  return [`${String(settings.baudrate)} ${String(settings.bytesize)}${settings.parity}${String(settings.stopbits)}`, ...flow].join(", ");
}
