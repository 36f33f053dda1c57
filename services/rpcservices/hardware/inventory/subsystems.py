"""Reads the devices of each subsystem: a folder of sysfs becomes a device."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rpcservices.hardware.models import Subsystem
from rpcservices.hardware.readers.places import Places, entries, number, text
from rpcservices.hardware.readers.plain import plain

from .ids import names
from .udev import Record

Fields = dict[str, Any]
"""The fields of a :class:`~rpcservices.hardware.models.Device` that depend on its subsystem. All have ``id``,
``subsystem``, ``name``, ``driver``, ``node``, ``by_id`` and ``parent``."""

_Reader = Callable[[Places, Path, Record], Fields | None]


def _id(folder: Path, name: str) -> str | None:
    """The hexadecimal number in a file, as four digits."""
    value = number(folder / name, 16)
    return None if value is None else f"{value:04x}"


def _pci(places: Places, folder: Path, record: Record) -> Fields:
    vendor, model = _id(folder, "vendor"), _id(folder, "device")
    other_vendor, other = _id(folder, "subsystem_vendor"), _id(folder, "subsystem_device")
    kind = f"{number(folder / 'class', 16) or 0:06x}"
    ids, properties = names(places, "pci"), record.properties
    return {
        "vendor": properties.get("ID_VENDOR_FROM_DATABASE") or ids.vendors.get(vendor or ""),
        "vendor_id": vendor,
        "model": properties.get("ID_MODEL_FROM_DATABASE") or ids.models.get((vendor or "", model or "")),
        "model_id": model,
        "properties": {
            "pci_slot": folder.name,
            "pci_class_id": kind[:2],
            "pci_class": properties.get("ID_PCI_CLASS_FROM_DATABASE") or ids.classes.get(kind[:2]),
            "pci_subclass_id": kind[2:4],
            "pci_subclass": properties.get("ID_PCI_SUBCLASS_FROM_DATABASE") or ids.classes.get(kind[:4]),
            "subsystem_vendor_id": other_vendor,
            "subsystem_vendor": ids.vendors.get(other_vendor or ""),
            "subsystem_model_id": other,
            "subsystem_model": ids.subsystems.get((vendor or "", model or "", other_vendor or "", other or "")),
            "revision": _hex(folder / "revision"),
            "numa_node": _not_negative(number(folder / "numa_node")),
            "current_link_speed": text(folder / "current_link_speed"),
            "current_link_width": number(folder / "current_link_width"),
        },
    }


def _hex(path: Path) -> str | None:
    return (text(path) or "").removeprefix("0x") or None


def _not_negative(value: int | None) -> int | None:
    return None if value is None or value < 0 else value


def _usb(places: Places, folder: Path, record: Record) -> Fields | None:
    vendor, model = _id(folder, "idVendor"), _id(folder, "idProduct")
    if vendor is None:
        return None  # An interface of a device.
    ids, properties = names(places, "usb"), record.properties
    return {
        "vendor": text(folder / "manufacturer") or properties.get("ID_VENDOR_FROM_DATABASE") or ids.vendors.get(vendor),
        "vendor_id": vendor,
        "model": text(folder / "product")
        or properties.get("ID_MODEL_FROM_DATABASE")
        or ids.models.get((vendor, model or "")),
        "model_id": model,
        "serial": text(folder / "serial"),
        "properties": {
            "usb_address": number(folder / "busnum"),
            "usb_port": number(folder / "devnum"),
            "version": text(folder / "bcdDevice"),
            "class": text(folder / "bDeviceClass"),
            "subclass": text(folder / "bDeviceSubClass"),
            "protocol": text(folder / "bDeviceProtocol"),
            "removable": {"removable": 1, "fixed": 0}.get(text(folder / "removable") or ""),
            "usb_version": text(folder / "version"),
            "speed_mbit": text(folder / "speed"),
        },
    }


def _block(_: Places, folder: Path, record: Record) -> Fields | None:
    if number(folder / "hidden") == 1:
        return None  # One of several paths to a disk, not a disk: the kernel has no node and no events for it.
    properties = record.properties
    whole = folder.parent if (folder / "partition").exists() else folder
    device = whole / "device"
    block_size = number(whole / "queue" / "logical_block_size") or 512
    # sysfs counts in units of 512 bytes, however large the device's blocks are.
    sectors = number(folder / "size")
    size = None if sectors is None else sectors * 512
    return {
        "vendor": text(device / "vendor"),
        "model": text(device / "model") or text(device / "name") or properties.get("ID_MODEL"),
        "serial": text(device / "serial") or properties.get("ID_SERIAL_SHORT") or text(whole / "serial"),
        "properties": {
            "size_bytes": size,
            "size": None if size is None else size // block_size,
            "block_size": block_size,
            "uuid": properties.get("ID_FS_UUID"),
            "type": properties.get("ID_FS_TYPE"),
            "label": properties.get("ID_FS_LABEL"),
            "partition": number(folder / "partition"),
            "removable": number(whole / "removable"),
            "rotational": number(whole / "queue" / "rotational"),
            "read_only": number(folder / "ro"),
            "backing_file": text(folder / "loop" / "backing_file"),
            "firmware": text(device / "firmware_rev") or text(device / "rev"),
        },
    }


def _net(places: Places, folder: Path, record: Record) -> Fields:
    pci = _above(places, folder, "pci")
    above = _pci(places, pci, Record()) if pci is not None else {}
    properties = record.properties
    return {
        "vendor": properties.get("ID_VENDOR_FROM_DATABASE") or above.get("vendor"),
        "vendor_id": above.get("vendor_id"),
        "model": properties.get("ID_MODEL_FROM_DATABASE") or above.get("model"),
        "model_id": above.get("model_id"),
        "properties": {
            "interface": plain(folder.name),
            "mac": text(folder / "address"),
            "type": number(folder / "type"),
            "mtu": number(folder / "mtu"),
            "flags": number(folder / "flags", 16),
            "link_speed": _not_negative(number(folder / "speed")),
            "operstate": text(folder / "operstate"),
            "pci_slot": None if pci is None else pci.name,
        },
    }


def _above(places: Places, folder: Path, bus: str) -> Path | None:
    """The nearest device above that is on a bus."""
    for parent in folder.parents:
        if parent == places.sys or places.sys not in parent.parents:
            return None
        link = parent / "subsystem"
        if link.is_symlink() and link.resolve().name == bus:
            return parent
    return None


_INPUT = re.compile(r"input\d+")


def _input(_: Places, folder: Path, __: Record) -> Fields | None:
    if not _INPUT.fullmatch(folder.name):
        return None  # An event or mouse node, which belongs to an input device.
    return {
        "vendor_id": _id(folder, "id/vendor"),
        "model": text(folder / "name"),
        "model_id": _id(folder, "id/product"),
        "serial": text(folder / "uniq"),
        "properties": {
            "bustype": _id(folder, "id/bustype"),
            "version": _id(folder, "id/version"),
            "phys": text(folder / "phys"),
            "handlers": " ".join(e.name for e in entries(folder) if e.name.startswith(("event", "mouse", "js")))
            or None,
        },
    }


def _tty(places: Places, folder: Path, _: Record) -> Fields | None:
    if not (folder / "device").exists():
        return None  # A console, or one end of a pseudo-terminal.
    if number(folder / "type") == 0:
        return None  # A place for a serial port that the machine does not have.
    usb = _above(places, folder, "usb")
    while usb is not None and text(usb / "idVendor") is None:
        usb = _above(places, usb, "usb")
    above = (_usb(places, usb, Record()) or {}) if usb is not None else {}
    return {name: above.get(name) for name in ("vendor", "vendor_id", "model", "model_id", "serial")} | {
        "properties": {
            "type": number(folder / "type"),
            "irq": number(folder / "irq"),
            "port": text(folder / "port"),
            "interface": text((folder / "device").resolve().parent / "interface")
            or text((folder / "device").resolve() / "interface"),
        }
    }


_CARD = re.compile(r"card\d+")


def _drm(places: Places, folder: Path, _: Record) -> Fields | None:
    if not _CARD.fullmatch(folder.name):
        return None  # A connector of a card, or its second node.
    pci = _above(places, folder, "pci")
    above = _pci(places, pci, Record()) if pci is not None else {}
    of_card = {name: above.get(name) for name in ("vendor", "vendor_id", "model", "model_id")}
    connectors = [e.name.partition("-")[2] for e in entries(folder) if e.name.startswith(f"{folder.name}-")]
    screens = [e.name.partition("-")[2] for e in entries(folder) if text(e / "status") == "connected"]
    return of_card | {
        "properties": {
            "pci_slot": None if pci is None else pci.name,
            "connectors": " ".join(connectors) or None,
            "connected": " ".join(screens) or None,
        }
    }


def is_listed(folder: Path, subsystem: Subsystem) -> bool:
    """Whether the inventory lists a device that has others below it: not an interface or a node of one."""
    if subsystem == "usb":
        return (folder / "idVendor").exists()
    if subsystem == "input":
        return _INPUT.fullmatch(folder.name) is not None
    return subsystem != "drm" or _CARD.fullmatch(folder.name) is not None


READERS: Mapping[Subsystem, tuple[str, _Reader]] = {
    "pci": ("bus/pci/devices", _pci),
    "usb": ("bus/usb/devices", _usb),
    "block": ("class/block", _block),
    "net": ("class/net", _net),
    "input": ("class/input", _input),
    "tty": ("class/tty", _tty),
    "drm": ("class/drm", _drm),
}
"""For each subsystem the folder that lists its devices, and the function that reads one; it returns ``None`` for a
device that the inventory does not list."""
