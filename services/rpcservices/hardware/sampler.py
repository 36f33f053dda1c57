"""Takes readings of the machine against a baseline of its own, from which it computes rates."""

from __future__ import annotations

import socket
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import psutil

from . import readers
from .models import Cpu, DiskIo, Disks, NetworkInterface, Process, ProcessOrder, Section, Snapshot
from .rates import Reading, busy_percent, rates
from .readers import Reasons

_Used = dict[tuple[int, float], tuple[float, float]]
"""By process (pid, start time): when it was read, and the processor time that it had used, in seconds."""

_NO_BASELINE = "two readings are needed: ask again"


@dataclass(slots=True)
class Baseline:
    """What a reader compares with: the readings before, by kind.

    Attributes:
        t_mono_s: when they were taken, in seconds; ``None`` before the first.
    """

    t_mono_s: float | None = None
    cpus: list[dict[str, float]] = field(default_factory=list)
    disks: Reading | None = None
    network: Reading | None = None
    processes: _Used = field(default_factory=dict)


class Sampler:
    """Takes snapshots against a baseline of its own. Its methods block, and belong to one thread at a time."""

    def __init__(self) -> None:
        self._before = Baseline()

    def prime(self) -> None:
        """Take the first readings, so that the next ones have something to compare with."""
        self.take({"cpu", "disks", "network", "processes"})

    def take(self, sections: Collection[Section], *, order: ProcessOrder = "cpu", limit: int | None = None) -> Snapshot:
        """Read some sections of the machine.

        Parameters:
            sections: which.
            order: how processes are ordered.
            limit: the most processes to give.
        """
        now = time.monotonic()
        before = self._before.t_mono_s
        snapshot = Snapshot(
            t_mono_s=now,
            t_wall_s=time.time(),
            dt_s=None if before is None else now - before,
            cpu=self._cpu() if "cpu" in sections else None,
            memory=readers.memory() if "memory" in sections else None,
            disks=self._disks(now) if "disks" in sections else None,
            network=self._network(now) if "network" in sections else None,
            sensors=readers.sensors() if "sensors" in sections else None,
            battery=readers.battery() if "battery" in sections else None,
            processes=self._processes(now, order, limit) if "processes" in sections else None,
            host=readers.host() if "host" in sections else None,
        )
        self._before.t_mono_s = now
        return snapshot

    # --- processors ---------------------------------------------------------------------------------------------

    def _cpu(self) -> Cpu:
        reasons = Reasons()
        times = [each._asdict() for each in psutil.cpu_times(percpu=True)]
        before, self._before.cpus = self._before.cpus, times
        each: list[float] | None = None
        if len(before) == len(times):
            shares = [busy_percent(old, new) for old, new in zip(before, times, strict=True)]
            known = [share for share in shares if share is not None]
            each = known if len(known) == len(shares) else None
        if each is None:
            reasons["percent"] = reasons["per_cpu_percent"] = _NO_BASELINE
        frequency = reasons.attempt("frequency_mhz", psutil.cpu_freq)
        if frequency is None:
            reasons.setdefault("frequency_mhz", "absent: the system does not show it")
        load = reasons.attempt("load_1m", readers.load_average)
        return Cpu(
            percent=None if each is None else sum(each) / len(each),
            per_cpu_percent=each,
            logical=psutil.cpu_count() or 1,
            physical=psutil.cpu_count(logical=False),
            frequency_mhz=None if frequency is None else frequency.current,
            load_1m=None if load is None else load[0],
            load_5m=None if load is None else load[1],
            load_15m=None if load is None else load[2],
            model=reasons.attempt("model", readers.cpu_model),
            reasons=reasons,
        )

    # --- disks and network --------------------------------------------------------------------------------------

    def _disks(self, now: float) -> Disks:
        reasons = Reasons()
        found = reasons.attempt("io", lambda: psutil.disk_io_counters(perdisk=True))
        if not found:
            reasons.setdefault("io", "absent: the system shows no block devices")
        io = found or {}
        counters = {f"{name}/r": float(c.read_bytes) for name, c in io.items()}
        counters |= {f"{name}/w": float(c.write_bytes) for name, c in io.items()}
        reading = Reading(now, counters)
        per_s = rates(self._before.disks, reading)
        self._before.disks = reading
        return Disks(
            filesystems=readers.filesystems(),
            io=[
                DiskIo(
                    name=name,
                    read_bytes=c.read_bytes,
                    write_bytes=c.write_bytes,
                    read_bytes_per_s=per_s[f"{name}/r"],
                    write_bytes_per_s=per_s[f"{name}/w"],
                )
                for name, c in io.items()
            ],
            reasons=reasons,
        )

    def _network(self, now: float) -> list[NetworkInterface]:
        found = psutil.net_io_counters(pernic=True)
        counters = {f"{name}/s": float(c.bytes_sent) for name, c in found.items()}
        counters |= {f"{name}/r": float(c.bytes_recv) for name, c in found.items()}
        reading = Reading(now, counters)
        per_s = rates(self._before.network, reading)
        self._before.network = reading
        states, addresses = psutil.net_if_stats(), psutil.net_if_addrs()
        return [
            _interface(name, c, states.get(name), addresses.get(name, []), per_s[f"{name}/s"], per_s[f"{name}/r"])
            for name, c in found.items()
        ]

    # --- processes ----------------------------------------------------------------------------------------------

    def _processes(self, now: float, order: ProcessOrder, limit: int | None) -> list[Process]:
        seen: _Used = {}
        found = [self._process(process, now, seen) for process in psutil.process_iter()]
        self._before.processes = seen
        found.sort(key=_ORDERS[order])
        return found[:limit]

    def _process(self, process: psutil.Process, now: float, seen: _Used) -> Process:
        reasons = Reasons()
        with process.oneshot():
            started = reasons.attempt("started_at", process.create_time)
            times = reasons.attempt("cpu_percent", process.cpu_times)
            percent: float | None = None
            if times is not None and started is not None:
                used = times.user + times.system
                key = (process.pid, started)
                seen[key] = (now, used)
                before = self._before.processes.get(key)
                if before is not None and now > before[0]:
                    percent = max(used - before[1], 0.0) / (now - before[0]) * 100.0
                else:
                    reasons["cpu_percent"] = _NO_BASELINE
            resident = reasons.attempt("memory_bytes", process.memory_info)
            return Process(
                pid=process.pid,
                started_at=started,
                parent_pid=reasons.attempt("parent_pid", process.ppid),
                name=reasons.attempt("name", process.name),
                user=reasons.attempt("user", process.username),
                state=reasons.attempt("state", process.status),
                cpu_percent=percent,
                memory_bytes=None if resident is None else resident.rss,
                threads=reasons.attempt("threads", process.num_threads),
                reasons=reasons,
            )


_ORDERS: dict[ProcessOrder, Any] = {
    "cpu": lambda p: (-(p.cpu_percent or 0.0), -(p.memory_bytes or 0)),
    "memory": lambda p: -(p.memory_bytes or 0),
    "pid": lambda p: p.pid,
    "name": lambda p: (p.name or "").lower(),
}


def _interface(
    name: str, c: Any, state: Any, addresses: list[Any], sent_per_s: float | None, received_per_s: float | None
) -> NetworkInterface:
    internet = (socket.AF_INET, socket.AF_INET6)
    macs = [a.address for a in addresses if a.family == psutil.AF_LINK]
    return NetworkInterface(
        name=name,
        is_up=None if state is None else state.isup,
        speed_mbit=None if state is None or not state.speed else state.speed,
        mtu=None if state is None else state.mtu,
        addresses=[a.address.partition("%")[0] for a in addresses if a.family in internet],
        mac=macs[0] if macs else None,
        sent_bytes=c.bytes_sent,
        received_bytes=c.bytes_recv,
        sent_bytes_per_s=sent_per_s,
        received_bytes_per_s=received_per_s,
        errors=c.errin + c.errout,
        drops=c.dropin + c.dropout,
    )
