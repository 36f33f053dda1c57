"""Reads how fast processors run, by the kernel's numbers.

Source: Documentation/admin-guide/pm/cpufreq.rst. Several processors may share a policy and its folder. On x86
``/proc/cpuinfo`` tells the real frequency of each processor.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from .places import Places, number, numbers_of, text

_KHZ_PER_MHZ = 1000.0
_IN_CPUINFO = re.compile(r"^(?:(processor)|cpu MHz(?: dynamic)?)[ \t]*:[ \t]*(\S*)", re.MULTILINE | re.IGNORECASE)


class Frequency(NamedTuple):
    """The frequency of one processor and its bounds, in MHz; ``None`` where the system does not tell."""

    current: float | None
    low: float | None
    high: float | None


def frequencies(places: Places) -> Mapping[int, Frequency]:
    """The frequencies of each processor, by its number."""
    by_cpu: dict[int, Frequency] = {}
    for folder in _policies(places):
        of_policy = Frequency(
            _mhz(folder, "scaling_cur_freq", "cpuinfo_cur_freq"),
            _mhz(folder, "scaling_min_freq", "cpuinfo_min_freq"),
            _mhz(folder, "scaling_max_freq", "cpuinfo_max_freq"),
        )
        by_cpu.update(dict.fromkeys(_processors(folder), of_policy))
    for processor, current in _from_cpuinfo(places):
        by_cpu[processor] = by_cpu.get(processor, Frequency(None, None, None))._replace(current=current)
    return by_cpu


def _policies(places: Places) -> list[Path]:
    # Strings, since paths cost more than all else here, and most virtual machines have no policy.
    root = f"{places.sys}/devices/system/cpu"
    folders = [f"{root}/cpufreq/{name}" for name in _names(f"{root}/cpufreq") if name.startswith("policy")]
    # Before Linux 4.3 each processor had a folder, which was a link where processors share a policy.
    folders = folders or [f"{root}/{name}/cpufreq" for name in _names(root) if name[3:].isdigit()]
    return [Path(folder) for folder in sorted(folders) if os.access(folder, os.F_OK)]


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are wanted, not paths
    except OSError:
        return []


def _processors(folder: Path) -> list[int]:
    """The processors of a policy that are on."""
    file = folder / "affected_cpus"
    if file.exists():  # Empty where all of them are off.
        return numbers_of(",".join((text(file) or "").split()))
    own = folder.name.removeprefix("policy")
    return [int(own)] if own.isdigit() else []


def _mhz(folder: Path, *names: str) -> float | None:
    khz = next((value for name in names if (value := number(folder / name)) is not None), None)
    return khz / _KHZ_PER_MHZ if khz else None


def _from_cpuinfo(places: Places) -> Iterator[tuple[int, float]]:
    """The number and frequency of each processor in ``/proc/cpuinfo``."""
    processor: int | None = None
    for is_number, value in _IN_CPUINFO.findall(text(places.proc / "cpuinfo") or ""):
        if is_number:
            processor = int(value) if value.isdigit() else None
        elif processor is not None:
            try:
                yield processor, float(value)
            except ValueError:
                continue
