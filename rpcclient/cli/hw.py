"""``rpcclient hw``."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from . import context, show
from .figures import bar, duration, percent, size
from .many.options import many_options

if TYPE_CHECKING:
    from rpcclient import Client
    from rpcclient.stubs.hardware import Capability, Sensor, Snapshot
    from rpcwire.group.outcomes import NodeOutcome

    from .many.printing import Piece

_BAR = 20
_MOST = 6
"""The most rows of each kind, so that everything fits onto one screen."""


@click.command()
@context.json_option
@many_options
@context.pass_settings
@context.command
def command(settings: context.Settings) -> None:
    """Show the server's machine on one screen."""
    with settings.connect() as client:
        if settings.many.is_given:
            sys.exit(_ask_many(client, settings))
        if not settings.readable:
            show.show(client.call("hardware.snapshot"), readable=False)
            return
        from rich.console import Console
        from rich.text import Text

        console = Console(highlight=False)
        for title, line in lines(client.hardware.snapshot(), client.hardware.capabilities()):
            console.print(
                Text(f"{title:12}", style="bold").append(Text(show.text(line), style="not bold")), no_wrap=True
            )


def _ask_many(client: Client, settings: context.Settings) -> int:
    from rpcclient.stubs.hardware import Snapshot
    from rpcwire.limits import DEFAULT_DEADLINE_S

    from .many.asking import Rendering, ask
    from .many.typed import read_as

    class Screens(Rendering):
        """Prints the lines of each machine."""

        def result(self, name: str, end: NodeOutcome[Any]) -> Iterator[Piece]:
            snapshot = read_as(Snapshot, end.result)
            text = "".join(f"{title:12}{show.text(line)}\n" for title, line in lines(snapshot, []))
            yield "stdout", text.encode("utf-8", "surrogateescape")

    deadline_s = settings.timeout_s or DEFAULT_DEADLINE_S
    return ask(client, settings, "hardware.snapshot", rendering=Screens(), deadline_s=deadline_s)


def lines(snapshot: Snapshot, capabilities: list[Capability]) -> Iterator[tuple[str, str]]:
    """The lines of the screen, each with its title."""
    if (host := snapshot.host) is not None:
        vendor = " ".join(filter(None, (host.hardware_vendor, host.hardware_model)))
        yield "host", f"{host.hostname}, {host.distribution or host.system}, Linux {host.release} {host.machine}"
        around = f" in {host.virtualization}" if host.virtualization else ""
        yield "", f"up {duration(host.uptime_s)}{around}{', ' if vendor else ''}{vendor}"
    if (cpu := snapshot.cpu) is not None:
        load = " ".join(f"{value:.2f}" for value in (cpu.load_1m, cpu.load_5m, cpu.load_15m) if value is not None)
        speed = f", {cpu.frequency_mhz:.0f} MHz" if cpu.frequency_mhz else ""
        model = f" × {cpu.model}" if cpu.model else ""
        yield "processors", f"{bar(cpu.percent, _BAR)} {percent(cpu.percent):>8}  {cpu.logical}{model}{speed}"
        if load:
            yield "", f"load {load}"
    if (memory := snapshot.memory) is not None:
        used = memory.total_bytes - memory.available_bytes
        yield "memory", f"{bar(memory.percent, _BAR)} {percent(memory.percent):>8}  {_of(used, memory.total_bytes)}"
        if (swap := memory.swap) is not None and swap.total_bytes:
            yield (
                "swap",
                f"{bar(swap.percent, _BAR)} {percent(swap.percent):>8}  {_of(swap.used_bytes, swap.total_bytes)}",
            )
    if (group := snapshot.cgroup) is not None and (group.memory_limit_bytes or group.cpu_limit_cores):
        limits = []
        if group.memory_limit_bytes:
            # What the kernel keeps of files and would give back says nothing of how near the limit is.
            used_bytes = group.memory_working_set_bytes
            used_bytes = group.memory_usage_bytes if used_bytes is None else used_bytes
            limits.append(f"memory {_of(used_bytes, group.memory_limit_bytes)}")
        if group.cpu_limit_cores:
            limits.append(f"{group.cpu_limit_cores:g} processors")
        yield "limits", ", ".join(limits)
    for title, line in _disks(snapshot):
        yield title, line
    for title, line in _network(snapshot):
        yield title, line
    for title, line in _rest(snapshot):
        yield title, line
    absent = [capability.section for capability in capabilities if capability.state != "available"]
    if absent:
        yield "not here", ", ".join(absent)


def _name_sensor(sensor: Sensor, names: Mapping[str, int]) -> str:
    """The name of a sensor, with its device if several sensors have this name."""
    name = sensor.label or sensor.chip
    device = sensor.device.rpartition("/")[2] if names[name] > 1 else ""
    return f"{device} {name}" if device else name


def _of(used: int | None, total: int | None) -> str:
    return f"{size(used)} of {size(total)}"


def _disks(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    disks = [each for each in snapshot.disks.filesystems if not each.same_as] if snapshot.disks is not None else []
    # What lies in memory comes last: there is much of it, and it is no place for anybody's files.
    disks.sort(key=lambda disk: disk.fstype in ("tmpfs", "devtmpfs", "ramfs"))
    for number, disk in enumerate(disks[:_MOST]):
        line = f"{bar(disk.percent, _BAR)} {percent(disk.percent):>8}  {_of(disk.used_bytes, disk.total_bytes)}"
        yield "disks" if number == 0 else "", f"{line}  {disk.mountpoint} ({disk.fstype})"


def _network(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    interfaces = snapshot.network.interfaces if snapshot.network is not None else []
    up = [each for each in interfaces if each.isup]
    for number, each in enumerate(up[:_MOST]):
        addresses = " ".join(a.address for a in each.addresses if a.family != "link")
        rates = f"↓ {size(each.bytes_recv_per_s, '/s'):>11}  ↑ {size(each.bytes_sent_per_s, '/s'):>11}"
        yield "network" if number == 0 else "", f"{each.name:12} {rates}  {addresses}"


def _rest(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    if snapshot.sensors is not None:
        units = {"temperature": "°C", "fan": "/min", "voltage": "V", "current": "A", "power": "W", "humidity": "%"}
        sensors = [sensor for sensor in snapshot.sensors.readings if sensor.current is not None]
        names = Counter(sensor.label or sensor.chip for sensor in sensors)
        readings = [f"{_name_sensor(sensor, names)} {sensor.current:.4g} {units[sensor.kind]}" for sensor in sensors]
        if readings:
            yield "sensors", ", ".join(readings[:8])
    if snapshot.battery is not None and snapshot.battery.present:
        battery = snapshot.battery
        left = "" if battery.secsleft is None else f"{duration(battery.secsleft)} left"
        state = "on mains" if battery.power_plugged else left
        yield "battery", f"{bar(battery.percent, _BAR)} {percent(battery.percent):>8}  {state}".rstrip()
    for gpu in snapshot.gpus.gpus if snapshot.gpus is not None else ():
        use = _of(gpu.memory_used_bytes, gpu.memory_total_bytes)
        heat = "" if gpu.temperature_celsius is None else f", {gpu.temperature_celsius:.0f} °C"
        busy = gpu.utilization_gpu_percent
        yield "gpu", f"{bar(busy, _BAR)} {percent(busy):>8}  {gpu.name or gpu.vendor}, {use}{heat}"
    pressure = snapshot.pressure
    if pressure is not None:
        stalls = (("cpu", pressure.cpu_some), ("memory", pressure.memory_some), ("io", pressure.io_some))
        shares = [f"{name} {percent(stall.avg10)}" for name, stall in stalls if stall is not None]
        if shares:
            yield "pressure", ", ".join(shares)
