/** Hardware: the tree of devices and what events make of it, bytes in lines, and what somebody types. */

import type { Device, DeviceEvent, SerialSettings, Smart } from "@remote-services/client/stubs/hardware";
import { expect, test } from "vitest";
import { BytesProblem, ByteLog, encodeKeys, MOST_BYTES, readHex, writeHex, writeRows, writeSigns } from "../../src/pages/hardware/bytes.ts";
import { judgeDisk, judgeReading, writeReading, writeReasons } from "../../src/pages/hardware/figures.ts";
import {
  applyEvent, describe as describeDevice, growTree, listDisks, listRows, MOST_NEWS, placesAbove, stepByKey, type Inventory,
} from "../../src/pages/hardware/inventory.ts";
import { keepSettings, readSettings, recallSettings, writeSettings } from "../../src/pages/hardware/settings.ts";

function device(id: string, more: Partial<Device> = {}): Device {
  return {
    id, subsystem: "usb", name: id.split("/").at(-1) ?? "", vendor: null, vendor_id: null, model: null, model_id: null, serial: null, driver: null,
    node: null, by_id: null, parent: null, properties: {}, ...more,
  };
}

function event(action: DeviceEvent["action"], one: Device | null, all: Device[] | null = null, time = 1): DeviceEvent {
  return { action, t_wall_s: time, device: one, devices: all, reason: "" };
}

const hub = device("devices/usb1");
const stick = device("devices/usb1/1-2", { parent: "devices/usb1", vendor: "FTDI", model: "FTDI UART" });
const port = device("devices/usb1/1-2/ttyUSB0", { subsystem: "tty", parent: "devices/usb1/1-2" });
const loop = device("devices/virtual/block/loop0", { subsystem: "block" });

function known(...devices: Device[]): Inventory {
  return applyEvent(undefined, event("snapshot", null, devices));
}

test("devices come and go as events tell", () => {
  let inventory = known(hub);
  expect(inventory.news).toEqual([]);
  inventory = applyEvent(inventory, event("add", stick, null, 5));
  inventory = applyEvent(inventory, event("change", { ...stick, model: "other" }, null, 6));
  expect([...inventory.arrivals]).toEqual([stick.id]);
  expect(inventory.news.map((each) => [each.kind, each.device.id, each.time, each.isLate])).toEqual([["came", stick.id, 5, false]]);
  expect(inventory.devices.get(stick.id)?.model).toBe("other");
  inventory = applyEvent(inventory, event("remove", stick, null, 7));
  inventory = applyEvent(inventory, event("remove", stick, null, 8));
  expect([...inventory.devices.keys()]).toEqual([hub.id]);
  expect(inventory.arrivals.size).toBe(0);
  expect(inventory.news.map((each) => each.kind)).toEqual(["went", "came"]);
});

test("a new list tells what came and went while nobody told", () => {
  const inventory = applyEvent(known(hub, stick), event("snapshot", null, [hub, loop], 9));
  expect(inventory.news.map((each) => [each.kind, each.device.id, each.isLate])).toEqual([["came", loop.id, true], ["went", stick.id, true]]);
  let many = known();
  for (let count = 0; count < MOST_NEWS + 5; count++) many = applyEvent(many, event("add", device(`devices/${String(count)}`)));
  expect(many.news.length).toBe(MOST_NEWS);
});

test("devices hang on what they are plugged into; those without a parent stand in groups", () => {
  const { devices } = known(port, loop, hub, stick, device("devices/usb1/1-10", { parent: "devices/usb1" }), device("devices/odd", { parent: "devices/unlisted" }));
  const tree = growTree(devices);
  expect(tree.map((group) => [group.title, group.branches.map((each) => each.title)])).toEqual([["USB", ["odd", "usb1"]], ["Disks without hardware", ["loop0"]]]);
  const rows = listRows(tree, new Set(["block virtual"]), "");
  expect(rows.map((row) => [row.branch.title, row.level, row.place, row.count, row.isOpen])).toEqual([
    ["USB", 1, 1, 2, true], ["odd", 2, 1, 2, undefined], ["usb1", 2, 2, 2, true], ["1-2", 3, 1, 2, true], ["ttyUSB0", 4, 1, 1, undefined],
    ["1-10", 3, 2, 2, undefined], ["Disks without hardware", 1, 2, 2, false],
  ]);
  expect(listRows(tree, new Set([hub.id]), "ftdi uart").map((row) => row.branch.title)).toEqual(["USB", "usb1", "1-2"]);
  expect(listRows(tree, new Set(), "nothing has this")).toEqual([]);
  expect(placesAbove(devices, port)).toEqual([stick.id, hub.id, "usb"]);
});

test("devices that hang on each other do not hang the page", () => {
  const { devices } = known(device("a", { parent: "b" }), device("b", { parent: "a" }), device("c", { parent: "c" }));
  expect(growTree(devices).flatMap((group) => group.branches.map((each) => each.title))).toEqual(["c"]);
  expect(placesAbove(devices, device("a", { parent: "b" }))).toContain("b");
});

test("keys go through the tree", () => {
  const tree = growTree(known(hub, stick, port).devices);
  const rows = listRows(tree, new Set(), "");
  const step = (at: string, key: string) => stepByKey(rows, at, key);
  expect(step("usb", "ArrowDown")).toEqual({ go: hub.id });
  expect(step("usb", "ArrowUp")).toEqual({ go: "usb" });
  expect(step("usb", "End")).toEqual({ go: port.id });
  expect(step(port.id, "ArrowDown")).toEqual({ go: port.id });
  expect(step(port.id, "ArrowRight")).toEqual({});
  expect(step(port.id, "ArrowLeft")).toEqual({ go: stick.id });
  expect(step(hub.id, "ArrowLeft")).toEqual({ close: hub.id });
  expect(step(hub.id, "ArrowRight")).toEqual({ go: stick.id });
  expect(stepByKey(listRows(tree, new Set([hub.id]), ""), hub.id, "ArrowRight")).toEqual({ open: hub.id });
  expect(step(hub.id, "x")).toBeUndefined();
});

test("what a device is", () => {
  expect(describeDevice(stick)).toBe("FTDI UART");
  expect(describeDevice(device("a", { vendor: "0x1af4" }))).toBe("");
  const bare = device("a", { subsystem: "pci", vendor_id: "1af4", model_id: "1041", properties: { pci_class_id: "02", pci_class: null } });
  expect(describeDevice(bare)).toBe("network 1af4:1041");
  const disk = device("devices/pci/sda", { subsystem: "block", properties: { partition: null } });
  const part = device("devices/pci/sda/sda1", { subsystem: "block", properties: { partition: 1 } });
  expect(listDisks(known(part, loop, disk).devices)).toEqual([disk]);
});

test("bytes stand in lines, each way with its own count", () => {
  const log = new ByteLog();
  log.add("in", new TextEncoder().encode("login: "));
  log.add("out", Uint8Array.of(0x72, 0x0d));
  log.mark("gone");
  log.add("in", Uint8Array.from({ length: 20 }, (_each, index) => index));
  log.add("in", Uint8Array.of(0xff));
  expect(log.countRows(16)).toBe(5);
  expect(writeRows(log.rows(16, 0, 9), 16).split("\n")).toEqual([
    "< 000000  6c 6f 67 69 6e 3a 20                             login: ",
    "> 000000  72 0d                                            r·",
    "-- gone",
    "< 000007  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f  ················",
    "< 000017  10 11 12 13 ff                                   ·····",
  ]);
  expect(log.rows(16, 3, 1)).toEqual(log.rows(16, 0, 9).slice(3, 4));
  expect(log.rows(8, 0, 99).length).toBe(log.countRows(8));
  expect([log.countOf("in"), log.countOf("out")]).toEqual([28, 2]);
  log.clear();
  expect([log.countRows(16), log.countOf("in")]).toEqual([0, 28]);
});

test("the newest bytes are kept, and those that were forgotten are counted", () => {
  const log = new ByteLog();
  log.add("in", new Uint8Array(MOST_BYTES + 5000));
  const [first] = log.rows(16, 0, 1);
  expect(first?.offset).toBe(log.forgotten);
  expect(log.forgotten).toBeGreaterThanOrEqual(5000);
  expect(log.countRows(16)).toBe((MOST_BYTES + 5000 - log.forgotten + 15) >> 4);
});

test("bytes are read as people write them", () => {
  for (const text of ["41 54 0d", "0x41,0x54,0xD", "41:54:0d", "41540d", " 41-54 d "]) expect(writeHex(readHex(text))).toBe("41 54 0d");
  expect(readHex("")).toEqual(new Uint8Array(0));
  expect(() => readHex("4x")).toThrow(BytesProblem);
  expect(() => readHex("415")).toThrow("odd");
  expect(writeSigns(Uint8Array.of(0x41, 0, 0x7f, 0x7e))).toBe("A··~");
  expect([...encodeKeys("a\r", "crlf")]).toEqual([0x61, 13, 10]);
  expect([...encodeKeys("é\r", "none")]).toEqual([0xc3, 0xa9]);
});

test("settings of a port are read from a form", () => {
  const form = new FormData();
  const settings: SerialSettings = { baudrate: 9600, bytesize: 8, parity: "N", stopbits: 1, xonxoff: false, rtscts: false, dsrdtr: false };
  expect(readSettings(form)).toEqual(settings);
  for (const [name, value] of [["baudrate", "115200"], ["bytesize", "7"], ["parity", "E"], ["stopbits", "1.5"], ["rtscts", "on"]] as const) form.set(name, value);
  expect(readSettings(form)).toEqual({ ...settings, baudrate: 115_200, bytesize: 7, parity: "E", stopbits: 1.5, rtscts: true });
  expect(writeSettings(readSettings(form))).toBe("115200 7E1.5, RTS/CTS");
});

test("the settings of each port are kept, and those that nobody can read are left out", () => {
  const kept = new Map<string, string>();
  const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => { kept.set(key, value); } } as Storage;
  const settings: SerialSettings = { baudrate: 115_200, bytesize: 7, parity: "O", stopbits: 2, xonxoff: false, rtscts: true, dsrdtr: false };
  const usual = recallSettings(storage, "/dev/ttyUSB0");
  expect(writeSettings(usual)).toBe("9600 8N1");
  keepSettings(storage, "/dev/ttyUSB0", settings);
  for (let port = 0; port < 40; port++) keepSettings(storage, `/dev/ttyS${String(port)}`, usual);
  expect(recallSettings(storage, "/dev/ttyUSB0")).toEqual(settings);
  for (let port = 40; port < 60; port++) keepSettings(storage, `/dev/ttyS${String(port)}`, usual);
  expect(recallSettings(storage, "/dev/ttyUSB0")).toEqual(usual);
  for (const bad of ["[", "7", '{"/dev/ttyUSB0": {"baudrate": "x", "parity": "?", "bytesize": 9}}']) {
    kept.set("remote-services.serial", bad);
    expect(recallSettings(storage, "/dev/ttyUSB0")).toEqual(usual);
  }
});

test("what sensors and disks tell", () => {
  const sensor = { kind: "temperature", chip: "coretemp", device: "", label: "", current: 81, high: 80, critical: 100, reason: "" } as const;
  expect(judgeReading(sensor).text).toBe("high");
  expect(judgeReading({ ...sensor, current: 100 }).text).toBe("critical");
  expect(judgeReading({ ...sensor, current: 20 }).text).toBe("");
  expect(judgeReading({ ...sensor, current: null }).text).toBe("no value");
  expect(writeReading("fan", 2531)).toBe("2531 rpm");
  const smart: Smart = {
    node: "", model_name: null, serial_number: null, firmware_version: null, protocol: null, passed: null, temperature_celsius: null, power_on_hours: null,
    power_cycle_count: null, attributes: [], nvme: {}, reason: "",
  };
  expect([null, true, false].map((passed) => judgeDisk({ ...smart, passed }).text)).toEqual(["no verdict", "healthy", "about to fail"]);
  expect(writeReasons({ fan: "absent", power_draw_w: "denied" })).toBe("fan: absent; power draw w: denied");
});
