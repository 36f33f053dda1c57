"""``rpcclient devices``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast, get_args

import click

from . import context, show

if TYPE_CHECKING:
    from rpcclient.stubs.hardware import Device, DeviceEvent, Subsystem

_SIGNS = {"add": "+", "remove": "-", "change": "~"}


@click.command()
@click.argument("subsystems", nargs=-1, metavar="[SUBSYSTEM ...]")
@click.option("--watch", is_flag=True, help="Go on: show what is added (+), removed (-) and changed (~).")
@context.json_option
@context.pass_settings
@context.command
def command(settings: context.Settings, subsystems: tuple[str, ...], watch: bool) -> None:
    """List the devices of the server's machine: pci, usb, block, net, input, tty, drm, memory, dmi."""
    from rpcclient.stubs.hardware import Subsystem as Known

    unknown = set(subsystems) - set(get_args(Known))
    if unknown:
        raise click.UsageError(f"{min(unknown)!r}: there are: {', '.join(get_args(Known))}")
    wanted = cast("list[Subsystem] | None", list(subsystems) or None)
    with settings.connect() as client:
        if not watch:
            devices = client.hardware.devices(wanted)
            if settings.readable:
                show.show([row(device) for device in devices], readable=True)
            else:
                show.show([device.model_dump() for device in devices], readable=False)
            return
        with client.hardware.watch_devices(wanted) as events:
            for event in events:
                if settings.readable:
                    _show(event)
                else:
                    show.show_item(event.model_dump(exclude_none=True), readable=False)


def row(device: Device) -> dict[str, Any]:
    """A device as a line of a table."""
    return {
        "subsystem": device.subsystem,
        "name": device.name,
        "vendor": device.vendor or device.vendor_id,
        "model": device.model or device.model_id,
        "driver": device.driver,
        "node": device.by_id or device.node,
    }


def _show(event: DeviceEvent) -> None:
    if event.devices is not None:
        if event.action == "resync":
            print(f"events were lost ({show.text(event.reason)}); the devices are now:")
        show.show([row(device) for device in event.devices], readable=True)
    if event.device is not None:
        told = row(event.device)
        line = "  ".join(show.text(str(value)) for value in told.values() if value)
        print(f"{_SIGNS[event.action]} {line}", flush=True)
