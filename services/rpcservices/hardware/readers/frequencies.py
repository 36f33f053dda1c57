"""Reads how fast processors run, by the kernel's numbers.

Source: Documentation/admin-guide/pm/cpufreq.rst. Several processors may share a policy and its folder. On x86
``/proc/cpuinfo`` tells the real frequency of each processor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from .places import Places, entries, number, numbers_of, text

_KHZ_PER_MHZ = 1000.0


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
    root = places.sys / "devices" / "system" / "cpu"
    folders = [folder for folder in entries(root / "cpufreq") if folder.name.startswith("policy")]
    # Before Linux 4.3 each processor had a folder, which was a link where processors share a policy.
    return folders or [folder / "cpufreq" for folder in entries(root) if folder.name[3:].isdigit()]


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
    for line in (text(places.proc / "cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        if name == "processor":
            processor = int(value) if value.isdigit() else None
        elif name in ("cpu mhz", "cpu mhz dynamic") and processor is not None:
            try:
                yield processor, float(value)
            except ValueError:
                continue
