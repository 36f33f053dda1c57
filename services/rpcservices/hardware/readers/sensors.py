"""Reads sensors: hwmon, or thermal zones where there is no hwmon.

The kernel's Documentation/hwmon/sysfs-interface.rst and Documentation/ABI/testing/sysfs-class-thermal describe the
files. psutil reads the same ones, but leaves out a sensor that fails; here it stays, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rpcservices.hardware.models import Sensor, SensorKind, Sensors

from .apart import Apart
from .places import HERE, Places, entries, number, text
from .reasons import Reasons, why

_INPUT = re.compile(r"(temp|fan|in|curr|power|humidity)(\d+)_(input|average)")


class _Scale(NamedTuple):
    kind: SensorKind
    divisor: float
    """The file's figure divided by this is in the kind's unit."""


_SCALES = {
    "temp": _Scale("temperature", 1e3),
    "fan": _Scale("fan", 1.0),
    "in": _Scale("voltage", 1e3),
    "curr": _Scale("current", 1e3),
    "power": _Scale("power", 1e6),
    "humidity": _Scale("humidity", 1e3),
}


Chips = Apart[Path, list[Sensor]]
"""Reads chips, one of which may hang."""


def sensors(places: Places = HERE, apart: Chips | None = None) -> Sensors:
    """Read all sensors of the machine. Virtual machines have none.

    Parameters:
        places: the folders in which the system shows its hardware.
        apart: reads each chip within a time limit. Without it, a chip that hangs blocks the caller.
    """
    reasons = Reasons()
    root = places.sys.resolve()
    readings = _read(_chips(places), partial(_chip, root), partial(_inputs, root), apart)
    if not any(reading.kind == "temperature" for reading in readings):
        readings += _read(_zones(places), partial(_zone, root), partial(_unread_zone, root), apart)
    for kind in ("temperature", "fan"):
        if not any(reading.kind == kind for reading in readings):
            reasons[kind] = "absent: the machine shows none"
    return Sensors(readings=readings, reasons=reasons)


def _read(
    folders: list[Path],
    read: Callable[[Path], list[Sensor]],
    unread: Callable[[Path, str], list[Sensor]],
    apart: Chips | None,
) -> list[Sensor]:
    if apart is None:
        return [sensor for folder in folders for sensor in read(folder)]
    answers = apart.read({folder: partial(read, folder) for folder in folders})
    missing = {folder: unread(folder, apart.late) for folder in folders if folder not in answers}
    return [sensor for folder in folders for sensor in (answers | missing)[folder]]


def _chips(places: Places) -> list[Path]:
    return [folder for folder in entries(places.sys / "class" / "hwmon") if folder.name.startswith("hwmon")]


def _name(folder: Path) -> str:
    return text(folder / "name") or text(folder / "device" / "name") or folder.name


def _files(folder: Path) -> list[tuple[str, int, Path]]:
    """The files with figures of a chip: what it measures, the number of the sensor, and the file."""
    files: dict[tuple[str, int], Path] = {}
    # Before Linux 2.6.37 drivers had their files in device/, and some still have.
    for place in (folder, folder / "device"):
        for file in entries(place):
            match = _INPUT.fullmatch(file.name)
            if match is not None:
                files.setdefault((match[1], int(match[2])), file)
    return [(*key, file) for key, file in sorted(files.items())]


def _device(root: Path, folder: Path) -> str:
    """The device that a chip is a part of; an empty text where there is none."""
    link = folder / "device"
    place = link.resolve() if link.is_symlink() else None
    return str(place.relative_to(root)) if place is not None and root in place.parents else ""


def _chip(root: Path, folder: Path) -> list[Sensor]:
    name, device = _name(folder), _device(root, folder)
    return [_sensor(name, device, file, prefix, str(index)) for prefix, index, file in _files(folder)]


def _inputs(root: Path, folder: Path, reason: str) -> list[Sensor]:
    """The sensors of a chip that does not answer."""
    name, device = _name(folder), _device(root, folder)
    return [
        Sensor(kind=_SCALES[prefix].kind, chip=name, device=device, label="", current=None, reason=reason)
        for prefix, _, _ in _files(folder)
    ]


def _sensor(chip: str, device: str, file: Path, prefix: str, index: str) -> Sensor:
    scale, place = _SCALES[prefix], file.parent
    value, reason = _value(file, scale.divisor)
    if number(place / f"{prefix}{index}_fault") == 1:
        value, reason = None, "failed: the chip reports that the sensor is broken or not connected"

    def bound(name: str) -> float | None:
        value = number(place / f"{prefix}{index}_{name}")
        return None if value is None else value / scale.divisor

    return Sensor(
        kind=scale.kind,
        chip=chip,
        device=device,
        label=text(place / f"{prefix}{index}_label") or "",
        current=value,
        high=bound("max"),
        critical=bound("crit"),
        reason=reason,
    )


def _value(file: Path, divisor: float) -> tuple[float | None, str]:
    try:
        return int(file.read_bytes()) / divisor, ""
    except ValueError:
        return None, "failed: the sensor gives no number"
    except OSError as exc:
        return None, why(exc)


def _zones(places: Places) -> list[Path]:
    return [folder for folder in entries(places.sys / "class" / "thermal") if folder.name.startswith("thermal_zone")]


def _place(root: Path, folder: Path) -> str:
    place = folder.resolve()
    return str(place.relative_to(root)) if root in place.parents else ""


def _zone(root: Path, folder: Path) -> list[Sensor]:
    value, reason = _value(folder / "temp", 1e3)
    trips = {
        text(file): number(file.with_name(file.name.replace("_type", "_temp")))
        for file in entries(folder)
        if file.name.startswith("trip_point_") and file.name.endswith("_type")
    }
    high, critical = trips.get("hot") or trips.get("high"), trips.get("critical")
    return [
        Sensor(
            kind="temperature",
            chip=text(folder / "type") or folder.name,
            device=_place(root, folder),
            label="",
            current=value,
            high=None if high is None else high / 1e3,
            critical=None if critical is None else critical / 1e3,
            reason=reason,
        )
    ]


def _unread_zone(root: Path, folder: Path, reason: str) -> list[Sensor]:
    device = _place(root, folder)
    return [Sensor(kind="temperature", chip=folder.name, device=device, label="", current=None, reason=reason)]
