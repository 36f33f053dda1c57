"""Reads what udev has recorded of a device, in ``/run/udev/data``.

Each device has one file, named by its number (``b8:0``, ``c4:64``), interface (``n2``) or bus and name (``+pci:...``);
lines ``E:KEY=value`` are properties, ``S:path`` links in ``/dev``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rpcservices.hardware.readers.places import Places, text


@dataclass(frozen=True, slots=True)
class Record:
    """A device's record.

    Attributes:
        properties: its properties by name.
        links: its links, as paths below ``/dev``.
    """

    properties: Mapping[str, str] = field(default_factory=dict)
    links: Sequence[str] = ()


def parse(content: str) -> Record:
    """The file of a device's record."""
    properties: dict[str, str] = {}
    links: list[str] = []
    for line in content.splitlines():
        kind, _, rest = line.partition(":")
        if kind == "E":
            name, sign, value = rest.partition("=")
            if sign:
                properties[name] = value
        elif kind == "S":
            links.append(rest)
    return Record(properties, sorted(links))


def record(places: Places, folder: Path, subsystem: str) -> Record:
    """The record of the device with a folder in sysfs; empty where udev does not run or has no record."""
    number = text(folder / "dev")
    if number is not None:
        name = f"{'b' if subsystem == 'block' else 'c'}{number}"
    elif subsystem == "net":
        name = f"n{text(folder / 'ifindex')}"
    else:
        name = f"+{subsystem}:{folder.name}"
    content = text(places.run / "udev" / "data" / name)
    return parse(content) if content is not None else Record()
