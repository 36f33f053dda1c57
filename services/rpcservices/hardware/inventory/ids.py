"""Names of vendors, models and classes: the system's ``pci.ids`` and ``usb.ids`` (https://pci-ids.ucw.cz)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from rpcservices.hardware.readers.places import Places

_LINE = re.compile(r"(?P<tabs>\t{0,2})(?P<first>[0-9a-fA-F]{2,4})(?: (?P<second>[0-9a-fA-F]{4}))?  (?P<name>.+)")


@dataclass(frozen=True, slots=True)
class Ids:
    """The names for one kind of bus. All ids are in lower case, without ``0x``.

    Attributes:
        vendors: names by vendor id.
        models: names by vendor and model id.
        subsystems: names by vendor, model, subsystem's vendor and subsystem's id.
        classes: names by class, or by class and subclass together.
    """

    vendors: dict[str, str] = field(default_factory=dict)
    models: dict[tuple[str, str], str] = field(default_factory=dict)
    subsystems: dict[tuple[str, str, str, str], str] = field(default_factory=dict)
    classes: dict[str, str] = field(default_factory=dict)


def parse(lines: Iterable[str]) -> Ids:
    """Read the names in a file. Other lines are left out."""
    ids = Ids()
    vendor = model = group = ""
    in_classes = False
    for line in lines:
        if line.startswith("#") or not line.strip():
            continue
        if not line.startswith("\t"):
            in_classes = line.startswith("C ")
            vendor = model = group = ""
        match = _LINE.match(line.removeprefix("C "))
        if match is None:
            continue
        depth, first, name = len(match["tabs"]), match["first"].lower(), match["name"].strip()
        if in_classes:
            if depth == 0:
                group = first
                ids.classes[group] = name
            elif depth == 1 and group:
                ids.classes[group + first] = name
        elif depth == 0 and len(first) == 4:
            vendor = first
            ids.vendors[vendor] = name
        elif depth == 1 and vendor and len(first) == 4:
            model = first
            ids.models[vendor, model] = name
        elif depth == 2 and vendor and model and match["second"]:
            ids.subsystems[vendor, model, first, match["second"].lower()] = name
    return ids


@lru_cache(maxsize=16)
def _load(path: Path) -> Ids:
    with path.open(encoding="utf-8", errors="replace") as file:
        return parse(file)


def names(places: Places, bus: str) -> Ids:
    """The system's names for a bus, ``pci`` or ``usb``; empty where it has no such file."""
    for folder in ("hwdata", "misc"):
        path = places.share / folder / f"{bus}.ids"
        if path.is_file():
            return _load(path)
    path = places.share.parent / "var" / "lib" / f"{bus}utils" / f"{bus}.ids"
    return _load(path) if path.is_file() else Ids()
