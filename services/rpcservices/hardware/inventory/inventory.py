"""Lists the devices of a machine, and reads single ones."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import cast, get_args

from rpcservices.hardware.models import Device, Subsystem
from rpcservices.hardware.readers.host import maker
from rpcservices.hardware.readers.places import HERE, Places, entries, text
from rpcservices.hardware.readers.plain import plain
from rpcservices.hardware.readers.reasons import why

from .ids import names
from .smbios import memory_devices
from .subsystems import READERS, is_listed
from .udev import Record, record


class Inventory:
    """The devices of a machine. The methods block; none raises.

    Parameters:
        places: the folders in which the system shows its hardware.
    """

    def __init__(self, places: Places = HERE) -> None:
        self.places = places
        self._root = places.sys.resolve()

    def list(self, subsystems: Collection[Subsystem] | None = None) -> list[Device]:
        """List all devices of some subsystems, in the order of the subsystems and of names.

        Parameters:
            subsystems: which; all where not given.
        """
        choice = get_args(Subsystem) if subsystems is None else subsystems
        devices: list[Device] = []
        for subsystem in get_args(Subsystem):
            if subsystem not in choice:
                continue
            if subsystem == "memory":
                devices += self._memory()
            elif subsystem == "dmi":
                devices += self._dmi()
            else:
                for link in entries(self.places.sys / READERS[subsystem][0]):
                    device = self._read(link.resolve(), subsystem)
                    if device is not None:
                        devices.append(device)
        return devices

    def at(self, devpath: str) -> Device | None:
        """Read one device.

        Parameters:
            devpath: its path below sysfs' root, as in the kernel's events: ``/devices/...``.

        Returns:
            ``None`` where there is no such device, or the inventory does not list it.
        """
        folder = (self._root / devpath.lstrip("/")).resolve()
        if self._root not in folder.parents:
            return None
        subsystem = subsystem_of(folder)
        return self._read(folder, subsystem) if subsystem is not None else None

    def _read(self, folder: Path, subsystem: Subsystem) -> Device | None:
        if not folder.is_dir():
            return None
        udev_record = record(self.places, folder, subsystem)
        fields = READERS[subsystem][1](self.places, folder, udev_record)
        if fields is None:
            return None
        node = self._node(folder)
        return Device(
            id=plain(str(folder.relative_to(self._root))),
            subsystem=subsystem,
            name=plain(folder.name),
            driver=_driver(folder),
            node=node,
            by_id=self._by_id(node, udev_record),
            parent=self._parent(folder),
            **fields,
        )

    def _node(self, folder: Path) -> str | None:
        """The file in ``/dev``; for an input device, the file of its event node."""
        candidates = [folder, *(each for each in entries(folder) if each.name.startswith("event"))]
        for place in candidates:
            for line in (text(place / "uevent") or "").splitlines():
                if line.startswith("DEVNAME="):
                    return f"/dev/{line.removeprefix('DEVNAME=').removeprefix('/dev/')}"
        return None

    def _by_id(self, node: str | None, udev_record: Record) -> str | None:
        for path in udev_record.links:
            if "/by-id/" in f"/{path}":
                return f"/dev/{path}"
        if node is None:
            return None
        name = node.removeprefix("/dev/")
        for kind in ("disk", "serial", "input"):
            for link in entries(self.places.dev / kind / "by-id"):
                try:
                    target = (link.parent / link.readlink()).resolve()
                except OSError:
                    continue
                if os.path.relpath(target, self.places.dev.resolve()) == name:
                    return plain(f"/dev/{kind}/by-id/{link.name}")
        return None

    def _parent(self, folder: Path) -> str | None:
        for above in folder.parents:
            if above == self._root:
                return None
            subsystem = subsystem_of(above)
            if subsystem is not None and is_listed(above, subsystem):
                return plain(str(above.relative_to(self._root)))
        return None

    def lacks(self) -> dict[str, str]:
        """The fields that this machine's devices lack, by subsystem and field, with the reasons."""
        reasons: dict[str, str] = {}
        try:
            (self.places.sys / "firmware" / "dmi" / "tables" / "DMI").open("rb").close()
        except FileNotFoundError:
            reasons["memory"] = "absent: the firmware tells nothing of memory modules"
        except OSError as exc:
            reasons["memory"] = why(exc)
        for name in ("product_serial", "product_uuid", "board_serial", "chassis_serial"):
            try:
                (self.places.sys / "class" / "dmi" / "id" / name).open("rb").close()
            except FileNotFoundError:
                continue
            except OSError as exc:
                reasons[f"dmi.{name}"] = why(exc)
        for bus, package in (("pci", "pciutils or hwdata"), ("usb", "usbutils or hwdata")):
            there = any(True for _ in entries(self.places.sys / "bus" / bus / "devices"))
            if there and not names(self.places, bus).vendors and not (self.places.run / "udev" / "data").is_dir():
                reasons[f"{bus}.model"] = f"absent: neither udev nor {bus}.ids knows names (package {package})"
        return reasons

    # --- what the firmware tells ----------------------------------------------------------------------------------

    def _memory(self) -> Iterator[Device]:
        try:
            table = (self.places.sys / "firmware" / "dmi" / "tables" / "DMI").read_bytes()
        except OSError:
            return
        for each in memory_devices(table):
            handle = cast("str", each["handle"])
            yield Device(
                id=f"smbios/{handle}",
                subsystem="memory",
                name=str(each["device_locator"] or handle),
                vendor=cast("str | None", each["manufacturer"]),
                model=cast("str | None", each["part_number"]),
                serial=cast("str | None", each["serial_number"]),
                properties=each,
            )

    def _dmi(self) -> Iterator[Device]:
        folder = self.places.sys / "class" / "dmi" / "id"

        def read(what: str) -> str | None:
            return text(folder / what)

        vendor, model = maker(self.places)
        tree = self.places.proc / "device-tree"
        if model is not None or vendor is not None:
            compatible = text(tree / "compatible")
            yield Device(
                id="smbios/system",
                subsystem="dmi",
                name="system",
                vendor=vendor,
                model=model,
                serial=read("product_serial") or text(tree / "serial-number"),
                properties={
                    "hardware_version": read("product_version"),
                    "uuid": read("product_uuid"),
                    "family": read("product_family"),
                    "sku": read("product_sku"),
                    "compatible": None if compatible is None else compatible.replace("\0", " "),
                },
            )
        for name in ("board", "chassis", "bios"):
            made_by, version = read(f"{name}_vendor"), read(f"{name}_version")
            label = read(f"{name}_name") or read(f"{name}_type") if name != "bios" else version
            if made_by is None and label is None:
                continue
            yield Device(
                id=f"smbios/{name}",
                subsystem="dmi",
                name=name,
                vendor=made_by,
                model=label,
                serial=read(f"{name}_serial"),
                parent="smbios/system" if model is not None or vendor is not None else None,
                properties={"version": version, "date": read(f"{name}_date"), "release": read(f"{name}_release")},
            )


def _driver(folder: Path) -> str | None:
    """The kernel's driver of a device. Since Linux 6.5 two devices of the serial core stand above a serial port; their
    drivers are not the port's, which is above them."""
    place = folder if (folder / "driver").is_symlink() else (folder / "device").resolve()
    while (place / "driver").is_symlink():
        driver = (place / "driver").resolve()
        if driver.parent.parent.name != "serial-base":
            return driver.name
        place = place.parent
    return None


def subsystem_of(folder: Path) -> Subsystem | None:
    """The subsystem of a device's folder; ``None`` where the inventory does not know it."""
    link = folder / "subsystem"
    if not link.is_symlink():
        return None
    name = link.resolve().name
    return cast("Subsystem", name) if name in READERS else None
