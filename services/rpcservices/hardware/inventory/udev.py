"""What udev has recorded of a device: ``/run/udev/data``.

One file for each device, named by its number (``b8:0``, ``c4:64``), interface (``n2``) or bus and name (``+pci:...``);
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
        properties: by name.
        links: paths below ``/dev``.
    """

    properties: Mapping[str, str] = field(default_factory=dict)
    links: Sequence[str] = ()


def parse(content: str) -> Record:
    """A record's file."""
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
    """The record of the device at a folder of sysfs; an empty one where udev does not run, or has none."""
    number = text(folder / "dev")
    if number is not None:
        name = f"{'b' if subsystem == 'block' else 'c'}{number}"
    elif subsystem == "net":
        name = f"n{text(folder / 'ifindex')}"
    else:
        name = f"+{subsystem}:{folder.name}"
    content = text(places.run / "udev" / "data" / name)
    return parse(content) if content is not None else Record()
