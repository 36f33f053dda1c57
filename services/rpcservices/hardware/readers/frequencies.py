"""Reads how fast processors run, by the kernel's numbers.

Source: Documentation/admin-guide/pm/cpufreq.rst. Several processors may share a policy and its folder. On x86
``/proc/cpuinfo`` tells the real frequency of each processor.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from .places import Places, number, numbers_of, text

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
    """The number and frequency of each processor in ``/proc/cpuinfo``. It has a block of some thirty lines for each, so
    we look for the two lines only."""
    for block in f"\n{text(f'{places.proc}/cpuinfo') or ''}".lower().split("\nprocessor")[1:]:
        processor = _value(block, "")
        at = block.find("\ncpu mhz")
        if processor is None or not processor.isdigit() or at < 0:
            continue
        frequency = _value(block[at + len("\ncpu mhz") :], "", "dynamic")
        with contextlib.suppress(ValueError):
            yield int(processor), float(frequency or "")


def _value(text: str, *names: str) -> str | None:
    """The first word behind the first colon of the first line, if what stands before it is one of these names."""
    name, _, rest = text.partition("\n")[0].partition(":")
    words = rest.split(None, 1)
    return words[0] if words and name.strip() in names else None
