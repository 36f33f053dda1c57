/** The devices that a page knows, as events tell of them, and the tree that they make. */

import type { Device, DeviceEvent } from "@remote-services/client/stubs/hardware";

/** A device that has come or gone. */
export interface News {
  /** When it was seen, in seconds since 1970. */
  readonly time: number;
  readonly kind: "came" | "went";
  readonly device: Device;
  /** Whether it came or went while nobody told of it, so that nobody knows when. */
  readonly isLate: boolean;
}

/** What is known. */
export interface Inventory {
  /** By their ids. */
  readonly devices: ReadonlyMap<string, Device>;
  /** The ids of those that have come since the page was opened. */
  readonly arrivals: ReadonlySet<string>;
  /** What has come and gone since the page was opened, the newest first. */
  readonly news: readonly News[];
}

/** How many news are kept. */
export const MOST_NEWS = 50;

/** Returns what is known after an event.
 * @param before - what was known; undefined at the beginning. */
export function applyEvent(before: Inventory | undefined, event: DeviceEvent): Inventory {
  if (event.devices !== null) return applyList(before, event.devices, event.t_wall_s);
  const known = before ?? { devices: new Map<string, Device>(), arrivals: new Set<string>(), news: [] };
  const { device } = event;
  if (device === null) return known;
  if (event.action === "remove") return change(known, [], [device], event.t_wall_s, false);
  return change(known, [device], [], event.t_wall_s, false);
}

/** Returns what is known after a whole list. What differs from the one before has come or gone meanwhile. */
export function applyList(before: Inventory | undefined, list: readonly Device[], time: number): Inventory {
  if (before === undefined) return { devices: new Map(list.map((each) => [each.id, each])), arrivals: new Set(), news: [] };
  const ids = new Set(list.map((each) => each.id));
  return change(before, list, [...before.devices.values()].filter((each) => !ids.has(each.id)), time, true);
}

function change(before: Inventory, present: readonly Device[], absent: readonly Device[], time: number, isLate: boolean): Inventory {
  const devices = new Map(before.devices);
  const arrivals = new Set(before.arrivals);
  const news: News[] = [];
  for (const device of absent) {
    arrivals.delete(device.id);
    if (devices.delete(device.id)) news.push({ time, kind: "went", device, isLate });
  }
  for (const device of present) {
    if (!devices.has(device.id)) {
      arrivals.add(device.id);
      news.push({ time, kind: "came", device, isLate });
    }
    devices.set(device.id, device);
  }
  return { devices, arrivals, news: [...news.reverse(), ...before.news].slice(0, MOST_NEWS) };
}

/** A part of the tree: a group, which has no device, or a device with those that hang on it. */
export interface Branch {
  readonly id: string;
  readonly title: string;
  readonly device?: Device;
  readonly branches: readonly Branch[];
}

const GROUPS: readonly (readonly [string, string])[] = [
  ["dmi", "Machine"], ["memory", "Memory modules"], ["pci", "PCI"], ["usb", "USB"], ["block", "Disks"], ["net", "Network"], ["drm", "Graphics"],
  ["input", "Input"], ["tty", "Serial ports"], ["block virtual", "Disks without hardware"], ["net virtual", "Network without hardware"],
  ["other virtual", "Others without hardware"],
];

/** The groups that are closed at first: those that are long and tell little. */
export const CLOSED_AT_FIRST: readonly string[] = ["block virtual"];

/** Tells whether nothing that can be touched is behind a device. */
export function isVirtual(device: Device): boolean {
  return device.id.startsWith("devices/virtual/");
}

function groupOf(device: Device): string {
  if (!isVirtual(device)) return device.subsystem;
  return device.subsystem === "block" || device.subsystem === "net" ? `${device.subsystem} virtual` : "other virtual";
}

/** Makes the tree: each device hangs on its parent, and those without one stand in groups. */
export function growTree(devices: ReadonlyMap<string, Device>): Branch[] {
  const below = new Map<string, Device[]>();
  const put = (place: string, device: Device): void => {
    const list = below.get(place);
    if (list === undefined) below.set(place, [device]);
    else list.push(device);
  };
  for (const device of devices.values()) {
    const hasParent = device.parent !== null && device.parent !== device.id && devices.has(device.parent);
    put(hasParent ? (device.parent ?? "") : groupOf(device), device);
  }
  const grow = (place: string): Branch[] => (below.get(place) ?? [])
    .sort((one, other) => compareNames(one.name, other.name))
    .map((device) => ({ id: device.id, title: device.name, device, branches: grow(device.id) }));
  return GROUPS.map(([id, title]) => ({ id, title, branches: grow(id) })).filter((group) => group.branches.length > 0);
}

const names = new Intl.Collator("en", { numeric: true });

function compareNames(one: string, other: string): number {
  return names.compare(one, other);
}

/** A line of the tree as it is shown. */
export interface Row {
  readonly branch: Branch;
  /** How deep it is; groups have 1. */
  readonly level: number;
  /** Its place among those beside it, from 1. */
  readonly place: number;
  /** How many stand beside each other there. */
  readonly count: number;
  /** The id of what it hangs on; undefined for groups. */
  readonly parent: string | undefined;
  /** Whether those below are shown; undefined where there are none. */
  readonly isOpen: boolean | undefined;
}

/** Returns the lines that are shown.
 * @param closed - the ids of branches that are closed.
 * @param search - words that a device or one below it must have; then all is open. */
export function listRows(tree: readonly Branch[], closed: ReadonlySet<string>, search: string): Row[] {
  const words = search.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const rows: Row[] = [];
  const visit = (branches: readonly Branch[], level: number, parent: string | undefined): void => {
    const shown = words.length === 0 ? branches : branches.filter((branch) => matches(branch, words));
    shown.forEach((branch, index) => {
      const isOpen = branch.branches.length === 0 ? undefined : words.length > 0 || !closed.has(branch.id);
      rows.push({ branch, level, place: index + 1, count: shown.length, parent, isOpen });
      if (isOpen === true) visit(branch.branches, level + 1, branch.id);
    });
  };
  visit(tree, 1, undefined);
  return rows;
}

function matches(branch: Branch, words: readonly string[]): boolean {
  const { device } = branch;
  const text = device === undefined ? "" : [
    device.name, describe(device), device.subsystem, device.driver, device.node, device.by_id, device.serial, device.properties["mac"],
  ].join(" ").toLowerCase();
  return (text !== "" && words.every((word) => text.includes(word))) || branch.branches.some((each) => matches(each, words));
}

/** What a key does in the tree. */
export interface Step {
  /** The id of the line to go to. */
  readonly go?: string | undefined;
  readonly open?: string;
  readonly close?: string;
}

/** Tells what a key does, as the pattern of ARIA for trees has it.
 * @param at - the id of the line that has the focus.
 * @returns undefined where the key has no meaning. */
export function stepByKey(rows: readonly Row[], at: string, key: string): Step | undefined {
  const index = rows.findIndex((row) => row.branch.id === at);
  const row = rows[index];
  if (row === undefined) return undefined;
  const goTo = (place: number): Step => ({ go: rows[Math.min(Math.max(place, 0), rows.length - 1)]?.branch.id });
  switch (key) {
    case "ArrowDown": return goTo(index + 1);
    case "ArrowUp": return goTo(index - 1);
    case "Home": return goTo(0);
    case "End": return goTo(rows.length - 1);
    case "ArrowRight":
      if (row.isOpen === undefined) return {};
      return row.isOpen ? goTo(index + 1) : { open: at };
    case "ArrowLeft": return row.isOpen === true ? { close: at } : row.parent === undefined ? {} : { go: row.parent };
    default: return undefined;
  }
}

/** Returns the ids of what a device hangs on, its group included. */
export function placesAbove(devices: ReadonlyMap<string, Device>, device: Device): string[] {
  const above: string[] = [];
  for (let each: Device | undefined = device; each !== undefined;) {
    const next: Device | undefined = each.parent === null || above.includes(each.parent) ? undefined : devices.get(each.parent);
    above.push(next === undefined ? groupOf(each) : next.id);
    each = next;
  }
  return above;
}

/** The classes of PCI devices (PCI Code and ID Assignment Specification, section 1), for machines without names of their own. */
const PCI_CLASSES: Readonly<Record<string, string>> = {
  "01": "mass storage", "02": "network", "03": "display", "04": "multimedia", "05": "memory", "06": "bridge", "07": "communication",
  "08": "system peripheral", "09": "input", "0a": "docking station", "0b": "processor", "0c": "serial bus", "0d": "wireless", "0e": "intelligent I/O",
  "0f": "satellite communication", "10": "encryption", "11": "signal processing", "12": "processing accelerator",
};

/** Says what a device is, by its maker and model, or else by its kind; may be empty. */
export function describe(device: Device): string {
  const vendor = /^0x[0-9a-f]+$/i.test(device.vendor ?? "") ? null : device.vendor;
  const { model } = device;
  const name = vendor !== null && model?.toLowerCase().startsWith(vendor.toLowerCase()) === true ? model : [vendor, model].filter((each) => each !== null).join(" ");
  if (name !== "") return name;
  if (device.subsystem !== "pci") return "";
  const { properties } = device;
  const kind = properties["pci_subclass"] ?? properties["pci_class"] ?? PCI_CLASSES[String(properties["pci_class_id"])] ?? "device";
  return `${String(kind)} ${[device.vendor_id, device.model_id].filter((each) => each !== null).join(":")}`.trim();
}

/** The disks of the machine: no parts of one, and none without hardware. */
export function listDisks(devices: ReadonlyMap<string, Device>): Device[] {
  return [...devices.values()]
    .filter((each) => each.subsystem === "block" && !isVirtual(each) && (each.properties["partition"] ?? null) === null)
    .sort((one, other) => compareNames(one.name, other.name));
}

/** Names what is in a slot of PCI; empty where nobody knows. */
export function nameSlot(devices: ReadonlyMap<string, Device>, slot: string): string {
  const found = [...devices.values()].find((each) => each.subsystem === "pci" && each.name === slot);
  return found === undefined ? "" : describe(found);
}
