"""Sensors: hwmon, and thermal zones where there is no hwmon.

The files are those of the kernel's Documentation/hwmon/sysfs-interface.rst and Documentation/ABI/testing/
sysfs-class-thermal. psutil reads the same ones, but leaves out a sensor that fails; here it stays, with the reason.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from rpcservices.hardware.models import Sensor, SensorKind, Sensors

from .places import HERE, Places, entries, number, text
from .reasons import Reasons, why

_INPUT = re.compile(r"(temp|fan|in|curr|power|humidity)(\d+)_(input|average)")


class _Scale(NamedTuple):
    kind: SensorKind
    divisor: float
    """What the file's figure is divided by to get the kind's unit."""


_SCALES = {
    "temp": _Scale("temperature", 1e3),
    "fan": _Scale("fan", 1.0),
    "in": _Scale("voltage", 1e3),
    "curr": _Scale("current", 1e3),
    "power": _Scale("power", 1e6),
    "humidity": _Scale("humidity", 1e3),
}


def sensors(places: Places = HERE) -> Sensors:
    """Everything that the machine measures of itself. Virtual machines have nothing of the kind."""
    reasons = Reasons()
    readings = [reading for chip in _chips(places) for reading in _chip(chip)]
    if not any(reading.kind == "temperature" for reading in readings):
        readings += _zones(places)
    for kind in ("temperature", "fan"):
        if not any(reading.kind == kind for reading in readings):
            reasons[kind] = "absent: the machine shows none"
    return Sensors(readings=readings, reasons=reasons)


def _chips(places: Places) -> list[Path]:
    return [folder for folder in entries(places.sys / "class" / "hwmon") if folder.name.startswith("hwmon")]


def _chip(folder: Path) -> list[Sensor]:
    # Drivers older than Linux 2.6.37 have their files in device/, and some still do.
    name = text(folder / "name") or text(folder / "device" / "name") or folder.name
    found: dict[tuple[str, int], Sensor] = {}
    for place in (folder, folder / "device"):
        for file in entries(place):
            match = _INPUT.fullmatch(file.name)
            if match is None:
                continue
            key = (match[1], int(match[2]))
            if key not in found:
                found[key] = _sensor(name, file, match[1], match[2])
    return [found[key] for key in sorted(found)]


def _sensor(chip: str, file: Path, prefix: str, index: str) -> Sensor:
    scale, place = _SCALES[prefix], file.parent
    value, reason = _value(file, scale.divisor)
    if number(place / f"{prefix}{index}_fault") == 1:
        value, reason = None, "failed: the chip reports that the sensor is broken or not connected"

    def bound(name: str) -> float | None:
        found = number(place / f"{prefix}{index}_{name}")
        return None if found is None else found / scale.divisor

    return Sensor(
        kind=scale.kind,
        chip=chip,
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


def _zones(places: Places) -> list[Sensor]:
    found = []
    for folder in entries(places.sys / "class" / "thermal"):
        if not folder.name.startswith("thermal_zone"):
            continue
        value, reason = _value(folder / "temp", 1e3)
        trips = {
            text(file): number(file.with_name(file.name.replace("_type", "_temp")))
            for file in entries(folder)
            if file.name.startswith("trip_point_") and file.name.endswith("_type")
        }
        high, critical = trips.get("hot") or trips.get("high"), trips.get("critical")
        found.append(
            Sensor(
                kind="temperature",
                chip=text(folder / "type") or folder.name,
                label="",
                current=value,
                high=None if high is None else high / 1e3,
                critical=None if critical is None else critical / 1e3,
                reason=reason,
            )
        )
    return found
