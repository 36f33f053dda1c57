"""The processors."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import psutil

from rpcservices.hardware.models import Cpu, CpuCore, CpuTimes
from rpcservices.hardware.rates import busy_percent, rate

from . import procfs
from .places import HERE, Places, entries, number, text
from .reasons import NO_BASELINE, RESET, Reasons


@dataclass(frozen=True, slots=True)
class CpuReading:
    """Counters and states of the processors at one moment."""

    times: list[Any]
    total: Any
    stats: Any
    frequencies: list[Any]
    load: tuple[float, float, float] | None
    reasons: Reasons


def read() -> CpuReading:
    """Read counters and states."""
    reasons = Reasons()
    stat = procfs.stat()
    frequencies = reasons.attempt("frequency_mhz", lambda: psutil.cpu_freq(percpu=True)) or []
    return CpuReading(
        times=stat.cpus,
        total=stat.total,
        stats=stat,
        frequencies=frequencies,
        load=reasons.attempt("load_1m", os.getloadavg),
        reasons=reasons,
    )


def derive(before: CpuReading | None, now: CpuReading, dt_s: float | None, places: Places = HERE) -> Cpu:
    """What two readings say together."""
    reasons = Reasons(now.reasons)
    shares: list[float | None] = [None] * len(now.times)
    whole: float | None = None
    if before is not None and dt_s:
        whole = busy_percent(before.total._asdict(), now.total._asdict())
        if len(before.times) == len(now.times):
            shares = [
                busy_percent(old._asdict(), new._asdict()) for old, new in zip(before.times, now.times, strict=True)
            ]
    reasons.note(whole, "percent", NO_BASELINE)
    if any(share is None for share in shares):
        reasons.setdefault("cores.percent", NO_BASELINE if before is None else RESET)
    frequency, low, high = _frequency(now.frequencies)
    reasons.note(frequency, "frequency_mhz", "absent: the system does not show it")
    reasons.note(low, "frequency_min_mhz", "absent: the system does not show it")
    reasons.note(high, "frequency_max_mhz", "absent: the system does not show it")
    if now.load is None:
        reasons["load_5m"] = reasons["load_15m"] = reasons["load_1m"]
    physical, sockets, model = topology(places)
    reasons.note(physical, "physical", "absent: the system does not show it")
    reasons.note(sockets, "sockets", "absent: the system does not show it")
    reasons.note(model, "model", "absent: the system does not show it")
    old, stats = (before.stats if before is not None else None), now.stats
    each = now.frequencies if len(now.frequencies) == len(now.times) else [None] * len(now.times)
    switches = rate(old and old.ctx_switches, stats and stats.ctx_switches, dt_s)
    interrupts = rate(old and old.interrupts, stats and stats.interrupts, dt_s)
    reasons.note(switches, "ctx_switches_per_s", NO_BASELINE)
    reasons.note(interrupts, "interrupts_per_s", NO_BASELINE)
    return Cpu(
        percent=whole,
        cores=[
            CpuCore(
                cpu=index,
                percent=share,
                frequency_mhz=None if freq is None else freq.current,
                times=_times(times),
            )
            for index, (share, freq, times) in enumerate(zip(shares, each, now.times, strict=True))
        ],
        logical=len(now.times) or psutil.cpu_count() or 1,
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
        ctx_switches=stats and stats.ctx_switches,
        interrupts=stats and stats.interrupts,
        soft_interrupts=stats and stats.soft_interrupts,
        ctx_switches_per_s=switches,
        interrupts_per_s=interrupts,
        reasons=reasons,
    )


def _times(times: Any) -> CpuTimes:
    return CpuTimes(**times._asdict())


def _frequency(each: list[Any]) -> tuple[float | None, float | None, float | None]:
    if not each:
        return None, None, None
    low, high = min(f.min for f in each), max(f.max for f in each)
    # psutil gives 0 where the system tells no bound.
    return sum(f.current for f in each) / len(each), low or None, high or None


@lru_cache(maxsize=8)
def topology(places: Places) -> tuple[int | None, int | None, str | None]:
    """Cores, sockets and the processor's name. They do not change while the system runs.

    Reads ``/proc/cpuinfo``, and sysfs' topology where the former has no cores (ARM).
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
