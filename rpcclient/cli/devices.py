"""``rpcclient devices``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast, get_args

import click

from . import context, show
from .many.options import many_options

if TYPE_CHECKING:
    from rpcclient import Client
    from rpcclient.stubs.hardware import Device, DeviceEvent, Subsystem

    from .many.printing import Piece

_SYNONYMS = {
    "gpu": "drm", "graphics": "drm", "serial": "tty", "disk": "block", "disks": "block", "network": "net",
    "dimm": "memory", "ram": "memory", "board": "dmi", "keyboard": "input", "mouse": "input",
}  # fmt: skip
_SIGNS = {"add": "+", "remove": "-", "change": "~"}


@click.command()
@click.argument("subsystems", nargs=-1, metavar="[SUBSYSTEM ...]")
@click.option("--watch", is_flag=True, help="Go on: show what is added (+), removed (-) and changed (~).")
@context.json_option
@many_options
@context.pass_settings
@context.command
def command(settings: context.Settings, subsystems: tuple[str, ...], watch: bool) -> None:
    """List the devices of the server's machine: pci, usb, block, net, input, tty, drm, memory, dmi."""
    from rpcclient.stubs.hardware import Subsystem as Known

    names = [name for word in subsystems for name in word.split(",") if name]
    unknown = set(names) - set(get_args(Known))
    if unknown:
        name = min(unknown)
        hint = f"; {name} is {_SYNONYMS[name]} here" if name in _SYNONYMS else ""
        raise click.UsageError(f"{name!r}: there are: {', '.join(get_args(Known))}{hint}")
    selection = cast("list[Subsystem] | None", names or None)
    with settings.connect() as client:
        if settings.many.is_given:
            sys.exit(_ask_many(client, settings, selection, watch=watch))
        if not watch:
            devices = client.hardware.devices(selection)
            if settings.readable:
                show.show([row(device) for device in devices], readable=True)
            else:
                show.show([device.model_dump() for device in devices], readable=False)
            return
        devices_by_id: dict[str, Device] = {}
        with client.hardware.watch_devices(selection) as events:
            for event in events:
                if settings.readable:
                    _show(event, devices_by_id)
                else:
                    show.show_item(event.model_dump(exclude_none=True), readable=False)


def _ask_many(client: Client, settings: context.Settings, selection: list[Subsystem] | None, *, watch: bool) -> int:
    from rpcclient.stubs.hardware import Device, DeviceEvent
    from rpcwire.limits import DEFAULT_DEADLINE_S

    from .many.asking import Rendering, ask
    from .many.merged import Merged
    from .many.typed import read_as

    class Devices(Merged):
        """Prints the devices of the nodes as a table."""

        def rows(self, result: Any) -> list[dict[str, Any]]:
            return [row(device) for device in read_as(list[Device], result)]

    class Changes(Rendering):
        """Prints the devices of each node, and what becomes of them."""

        def __init__(self) -> None:
            self._devices: dict[str, dict[str, Device]] = {}

        def item(self, name: str, item: Any) -> Iterator[Piece]:
            with show.capture(self.margin) as paper:
                _show(read_as(DeviceEvent, item), self._devices.setdefault(name, {}))
            yield "stdout", paper.take()

    rendering: Rendering
    if watch:
        rendering = Changes()
        method, deadline_s = "hardware.watch_devices", settings.timeout_s
    else:
        rendering = Devices(settings)
        method, deadline_s = "hardware.devices", settings.timeout_s or DEFAULT_DEADLINE_S
    params = {"subsystems": selection}
    return ask(client, settings, method, params, rendering=rendering, deadline_s=deadline_s)


def row(device: Device) -> dict[str, Any]:
    """A device as a line of a table."""
    return {
        "subsystem": device.subsystem,
        "name": device.name,
        "vendor": device.vendor or device.vendor_id,
        "model": device.model or device.model_id,
        "driver": device.driver,
        "file": device.by_id or device.node,
    }


def differences(before: Device | None, now: Device) -> list[str]:
    """What has changed of a device, as ``name: old → new``."""
    if before is None:
        return []
    old, new = (d.model_dump(exclude={"properties"}) | d.properties for d in (before, now))
    return [f"{name}: {old.get(name)} → {value}" for name, value in new.items() if old.get(name) != value]


def _show(event: DeviceEvent, devices_by_id: dict[str, Device]) -> None:
    if event.devices is not None:
        devices_by_id.clear()
        devices_by_id.update({device.id: device for device in event.devices})
        if event.action == "resync":
            print(f"events were lost ({show.text(event.reason)}); the devices are now:")
        show.show([row(device) for device in event.devices], readable=True)
    if event.device is not None:
        cells = row(event.device)
        line = "  ".join(show.text(str(value)) for value in cells.values() if value)
        changes = differences(devices_by_id.get(event.device.id), event.device) if event.action == "change" else []
        devices_by_id[event.device.id] = event.device
        print("  ".join((f"{_SIGNS[event.action]} {line}", *map(show.text, changes))), flush=True)
