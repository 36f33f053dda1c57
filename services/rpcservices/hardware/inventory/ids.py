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
    """The names of one kind of bus. All ids are in lower case, without ``0x``.

    Attributes:
        vendors: by vendor id.
        models: by vendor and model id.
        subsystems: by vendor, model, subsystem's vendor and subsystem's id.
        classes: by class, or class and subclass together.
    """

    vendors: dict[str, str] = field(default_factory=dict)
    models: dict[tuple[str, str], str] = field(default_factory=dict)
    subsystems: dict[tuple[str, str, str, str], str] = field(default_factory=dict)
    classes: dict[str, str] = field(default_factory=dict)


def parse(lines: Iterable[str]) -> Ids:
    """The names in a file. Lines that are no such thing are left out."""
    found = Ids()
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
                found.classes[group] = name
            elif depth == 1 and group:
                found.classes[group + first] = name
        elif depth == 0 and len(first) == 4:
            vendor = first
            found.vendors[vendor] = name
        elif depth == 1 and vendor and len(first) == 4:
            model = first
            found.models[vendor, model] = name
        elif depth == 2 and vendor and model and match["second"]:
            found.subsystems[vendor, model, first, match["second"].lower()] = name
    return found


@lru_cache(maxsize=16)
def _load(path: Path) -> Ids:
    with path.open(encoding="utf-8", errors="replace") as file:
        return parse(file)


def names(places: Places, bus: str) -> Ids:
    """The system's names for a bus: ``pci`` or ``usb``; none where it has no such file."""
    for folder in ("hwdata", "misc"):
        path = places.share / folder / f"{bus}.ids"
        if path.is_file():
            return _load(path)
    path = places.share.parent / "var" / "lib" / f"{bus}utils" / f"{bus}.ids"
    return _load(path) if path.is_file() else Ids()
