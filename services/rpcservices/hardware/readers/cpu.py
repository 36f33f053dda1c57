"""The processors."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rpcservices.hardware.models import Cpu, CpuCore, CpuTimes
from rpcservices.hardware.rates import busy_percent, rate

from . import procfs
from .frequencies import Frequency, frequencies
from .places import HERE, Places, entries, number, numbers_of, text
from .reasons import NO_BASELINE, RESET, Reasons

_OFF = "absent: the processor is offline"
_ABSENT = "absent: the system does not show it"
_LATE_S = 1.0
"""How much longer than the time between two readings a processor may seem to have run: reading takes time."""


@dataclass(frozen=True, slots=True)
class CpuReading:
    """Counters and states of the processors at one moment, by the kernel's numbers."""

    times: Mapping[int, Any]
    offline: frozenset[int]
    total: Any
    stats: procfs.Stat
    frequencies: Mapping[int, Frequency]
    load: tuple[float, float, float] | None
    reasons: Reasons


def read(places: Places = HERE) -> CpuReading:
    """Read counters and states."""
    reasons = Reasons()
    stat = procfs.stat(f"{places.proc}/stat")
    return CpuReading(
        times=stat.cpus,
        offline=_offline(places) - stat.cpus.keys(),
        total=stat.total,
        stats=stat,
        frequencies=frequencies(places),
        load=reasons.attempt("load_1m", os.getloadavg),
        reasons=reasons,
    )


def _offline(places: Places) -> frozenset[int]:
    """The processors that are present but switched off (Documentation/admin-guide/cputopology.rst)."""
    root = f"{places.sys}/devices/system/cpu"
    off = text(f"{root}/offline")
    return frozenset(numbers_of(off)) & frozenset(numbers_of(text(f"{root}/present") or "")) if off else frozenset()


def derive(before: CpuReading | None, now: CpuReading, dt_s: float | None, places: Places = HERE) -> Cpu:
    """Make the answer from two readings."""
    reasons = Reasons(now.reasons)
    shares: dict[int, float | None] = {}
    whole: float | None = None
    if before is not None and dt_s:
        most_s = 2 * dt_s + _LATE_S
        old_times = before.times
        shares = {
            cpu: busy_percent(old_times[cpu]._asdict(), times._asdict(), most_s)
            for cpu, times in now.times.items()
            if cpu in old_times
        }
        whole = _together(before, now, shares, most_s)
    reasons.note(whole, "percent", NO_BASELINE if before is None else RESET)
    frequency, low, high = _frequency(now.frequencies)
    reasons.note(frequency, "frequency_mhz", _ABSENT)
    reasons.note(low, "frequency_min_mhz", _ABSENT)
    reasons.note(high, "frequency_max_mhz", _ABSENT)
    if now.load is None:
        reasons["load_5m"] = reasons["load_15m"] = reasons["load_1m"]
    physical, sockets, model = topology(places, frozenset(now.times))
    reasons.note(physical, "physical", _ABSENT)
    reasons.note(sockets, "sockets", _ABSENT)
    reasons.note(model, "model", _ABSENT)
    old, stats = (before.stats if before is not None else None), now.stats
    switches = rate(old and old.ctx_switches, stats.ctx_switches, dt_s)
    interrupts = rate(old and old.interrupts, stats.interrupts, dt_s)
    reasons.note(switches, "ctx_switches_per_s", NO_BASELINE if before is None else RESET)
    reasons.note(interrupts, "interrupts_per_s", NO_BASELINE if before is None else RESET)
    return Cpu(
        percent=whole,
        cores=[
            _core(cpu, shares.get(cpu), before is None, now) if cpu in now.times else _off(cpu)
            for cpu in sorted({*now.times, *now.offline})
        ],
        logical=len(now.times),
        physical=physical,
        sockets=sockets,
        model=model,
        frequency_mhz=frequency,
        frequency_min_mhz=low,
        frequency_max_mhz=high,
        load_1m=None if now.load is None else now.load[0],
        load_5m=None if now.load is None else now.load[1],
        load_15m=None if now.load is None else now.load[2],
        times=_times(now.total),
        ctx_switches=stats.ctx_switches,
        interrupts=stats.interrupts,
        soft_interrupts=stats.soft_interrupts,
        ctx_switches_per_s=switches,
        interrupts_per_s=interrupts,
        reasons=reasons,
    )


def _together(before: CpuReading, now: CpuReading, shares: Mapping[int, float | None], most_s: float) -> float | None:
    """The busy share of all processors, without those that went off or came back in between: with them the kernel's sum
    jumps."""
    if before.times.keys() == now.times.keys() and None not in shares.values():
        return busy_percent(before.total._asdict(), now.total._asdict(), most_s * max(len(now.times), 1))
    online = [cpu for cpu, share in shares.items() if share is not None]
    return busy_percent(_sum(before.times, online), _sum(now.times, online), most_s * len(online)) if online else None


def _sum(times: Mapping[int, Any], cpus: Collection[int]) -> dict[str, float]:
    each = [times[cpu]._asdict() for cpu in cpus]
    return {kind: sum(one[kind] for one in each) for kind in each[0]}


def _core(cpu: int, share: float | None, first: bool, now: CpuReading) -> CpuCore:
    frequency = now.frequencies.get(cpu)
    reasons = {} if share is not None else {"percent": NO_BASELINE if first else RESET}
    return CpuCore(
        cpu=cpu,
        online=True,
        percent=share,
        frequency_mhz=None if frequency is None else frequency.current,
        times=_times(now.times[cpu]),
        reasons=reasons,
    )


def _off(cpu: int) -> CpuCore:
    fields = ("percent", "frequency_mhz", "times")
    return CpuCore(
        cpu=cpu, online=False, percent=None, frequency_mhz=None, times=None, reasons=dict.fromkeys(fields, _OFF)
    )


def _times(times: Any) -> CpuTimes:
    return CpuTimes(**times._asdict())


def _frequency(each: Mapping[int, Frequency]) -> tuple[float | None, float | None, float | None]:
    """The mean of the current frequencies, and the lowest and highest bounds."""
    current = [one.current for one in each.values() if one.current is not None]
    low = [one.low for one in each.values() if one.low is not None]
    high = [one.high for one in each.values() if one.high is not None]
    return sum(current) / len(current) if current else None, min(low, default=None), max(high, default=None)


@lru_cache(maxsize=8)
def topology(
    places: Places,
    online: frozenset[int] = frozenset(),  # noqa: ARG001 - a part of the cache's key
) -> tuple[int | None, int | None, str | None]:
    """Cores, sockets and the processor's name.

    It reads ``/proc/cpuinfo``, or sysfs' topology where ``/proc/cpuinfo`` has no cores (ARM).

    Parameters:
        places: the folders in which the system shows its hardware.
        online: the processors that are on. The answer can only change together with them.
    """
    cores: set[tuple[str, str]] = set()
    sockets: set[str] = set()
    model: str | None = None
    fallback: str | None = None
    for block in (text(places.proc / "cpuinfo") or "").split("\n\n"):
        fields = {
            key.strip().lower(): value.strip() for key, _, value in (x.partition(":") for x in block.splitlines())
        }
        if "physical id" in fields:
            sockets.add(fields["physical id"])
            cores.add((fields["physical id"], fields.get("core id", fields.get("processor", "0"))))
        model = model or fields.get("model name") or fields.get("cpu model")
        fallback = fallback or fields.get("hardware") or fields.get("model")
    if not cores:
        for folder in entries(places.sys / "devices" / "system" / "cpu"):
            if folder.name.startswith("cpu") and folder.name[3:].isdigit():
                core, package = (
                    number(folder / "topology" / "core_id"),
                    number(folder / "topology" / "physical_package_id"),
                )
                if core is not None:
                    cores.add((str(package), str(core)))
                    sockets.add(str(package))
    return len(cores) or None, len(sockets) or None, model or fallback
