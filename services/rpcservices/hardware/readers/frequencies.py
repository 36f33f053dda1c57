"""How fast processors run, by the kernel's number of each.

Source: Documentation/admin-guide/pm/cpufreq.rst. Several processors may share a policy, and then its folder is theirs
together; on x86 ``/proc/cpuinfo`` tells of each processor what it really does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from .places import Places, entries, number, numbers_of, text

_KHZ_PER_MHZ = 1000.0


class Frequency(NamedTuple):
    """Of one processor, in MHz; ``None`` where the system does not tell."""

    current: float | None
    low: float | None
    high: float | None


def frequencies(places: Places) -> Mapping[int, Frequency]:
    """What is known of each processor, by its number."""
    found: dict[int, Frequency] = {}
    for folder in _policies(places):
        shared = Frequency(
            _mhz(folder, "scaling_cur_freq", "cpuinfo_cur_freq"),
            _mhz(folder, "scaling_min_freq", "cpuinfo_min_freq"),
            _mhz(folder, "scaling_max_freq", "cpuinfo_max_freq"),
        )
        found.update(dict.fromkeys(_processors(folder), shared))
    for processor, current in _measured(places):
        found[processor] = found.get(processor, Frequency(None, None, None))._replace(current=current)
    return found


def _policies(places: Places) -> list[Path]:
    root = places.sys / "devices" / "system" / "cpu"
    folders = [folder for folder in entries(root / "cpufreq") if folder.name.startswith("policy")]
    # Before Linux 4.3 each processor had a folder of its own, and those that share a policy a link to one.
    return folders or [folder / "cpufreq" for folder in entries(root) if folder.name[3:].isdigit()]


def _processors(folder: Path) -> list[int]:
    """Those whose frequency the policy sets, of them those that are on."""
    listed = folder / "affected_cpus"
    if listed.exists():  # Empty where all of them are off.
        return numbers_of(",".join((text(listed) or "").split()))
    own = folder.name.removeprefix("policy")
    return [int(own)] if own.isdigit() else []


def _mhz(folder: Path, *names: str) -> float | None:
    khz = next((found for name in names if (found := number(folder / name)) is not None), None)
    return khz / _KHZ_PER_MHZ if khz else None


def _measured(places: Places) -> Iterator[tuple[int, float]]:
    """What ``/proc/cpuinfo`` tells of single processors."""
    processor: int | None = None
    for line in (text(places.proc / "cpuinfo") or "").splitlines():
        name, _, said = line.partition(":")
        name, said = name.strip().lower(), said.strip()
        if name == "processor":
            processor = int(said) if said.isdigit() else None
        elif name in ("cpu mhz", "cpu mhz dynamic") and processor is not None:
            try:
                yield processor, float(said)
            except ValueError:
                continue
