"""Reads the limits and the use of the server's own control group, cgroup v2 and v1.

The files are described in the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/. Groups are nested, and
the limit of each applies, so the tightest one counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from rpcservices.hardware.models import Cgroup
from rpcservices.hardware.rates import rate

from .places import HERE, Places, number, numbers_of, text
from .reasons import NO_BASELINE, Reasons

_NO_LIMIT = "no limit"
_NO_CONTROLLER = "absent: the group's controller is not on"
_ZERO = "unknown: the limit is zero"
_V1_UNLIMITED = 1 << 60
"""Version 1 writes "no limit" as the largest multiple of a page in 63 bits; every number from here on means that."""


@dataclass(frozen=True, slots=True)
class CgroupReading:
    """The state of a control group at one moment, and of the host."""

    version: Literal[1, 2] | None
    path: str | None
    memory_limit: int | None
    memory_usage: int | None
    memory_inactive_file: int | None
    swap_limit: int | None
    swap_usage: int | None
    oom_kills: int | None
    cpu_limit: float | None
    cpu_usage_s: float | None
    throttled_s: float | None
    cpuset: list[int] | None
    pids_limit: int | None
    pids_current: int | None
    host_memory: int
    host_cpus: int


@dataclass(frozen=True, slots=True)
class _Hierarchy:
    """One tree of groups, and the place of the process in it."""

    version: Literal[1, 2]
    root: Path
    path: str

    def levels(self) -> Iterator[Path]:
        """The process's group and all above it. In a container the path may be the host's, which the container cannot
        see; then the root that it sees is its own group."""
        folder = self.root / self.path.lstrip("/")
        if not folder.is_dir():
            folder = self.root
        while True:
            yield folder
            if folder == self.root or self.root not in folder.parents:
                return
            folder = folder.parent

    def tightest(self, read: Callable[[Path], float | None]) -> float | None:
        limits = [value for value in map(read, self.levels()) if value is not None]
        return min(limits) if limits else None

    @property
    def own(self) -> Path:
        return next(self.levels())


def hierarchies(places: Places) -> dict[str, _Hierarchy]:
    """The tree of each controller, with the place of this process in it, by the controller's name; version 2 is
    ``""``."""
    root = places.sys / "fs" / "cgroup"
    by_controller: dict[str, _Hierarchy] = {}
    for line in (text(places.proc / "self" / "cgroup") or "").splitlines():
        parts = line.split(":", 2)
        if len(parts) != 3:
            continue
        _, controllers, path = parts
        if not controllers:
            # Beside version 1 ("hybrid") version 2 has a folder of its own, usually without controllers.
            base = root / "unified" if (root / "unified").is_dir() else root
            by_controller[""] = _Hierarchy(2, base, path)
        for name in filter(None, controllers.split(",")):
            for folder in (root / controllers, root / name):
                if folder.is_dir():
                    by_controller[name] = _Hierarchy(1, folder, path)
                    break
    return by_controller


def read(places: Places = HERE) -> CgroupReading:
    """Read limits and use."""
    all_of = hierarchies(places)
    unified = all_of.get("")
    memory, cpu, cpuacct = (all_of.get(name, unified) for name in ("memory", "cpu", "cpuacct"))
    cpuset, pids = all_of.get("cpuset", unified), all_of.get("pids", unified)
    limit, usage, swap_limit, swap_usage, kills = _memory(memory)
    statistics = _fields(memory.own / "memory.stat") if memory is not None else {}
    return CgroupReading(
        version=memory.version if memory is not None else None,
        path=memory.path if memory is not None else None,
        memory_limit=limit,
        memory_usage=usage,
        # In version 1 the sum over the group and all below has a name of its own.
        memory_inactive_file=statistics.get("total_inactive_file", statistics.get("inactive_file")),
        swap_limit=swap_limit,
        swap_usage=swap_usage,
        oom_kills=kills,
        cpu_limit=cpu.tightest(_quota) if cpu is not None else None,
        cpu_usage_s=_cpu_usage(cpuacct),
        throttled_s=_read_throttled_s(cpu),
        cpuset=_cpuset(cpuset),
        pids_limit=_whole(pids.tightest(lambda folder: number(folder / "pids.max"))) if pids is not None else None,
        pids_current=number(pids.own / "pids.current") if pids is not None else None,
        host_memory=_host_memory(places),
        host_cpus=psutil.cpu_count() or 1,
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _host_memory(places: Places) -> int:
    for line in (text(places.proc / "meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return int(psutil.virtual_memory().total)


def _fields(file: Path) -> dict[str, int]:
    """Read a file whose lines hold a word and a number."""
    pairs = (line.split() for line in (text(file) or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _memory(where: _Hierarchy | None) -> tuple[int | None, int | None, int | None, int | None, int | None]:
    if where is None:
        return None, None, None, None, None
    own = where.own
    if where.version == 2:
        limit = where.tightest(lambda folder: number(folder / "memory.max"))
        swap_limit = where.tightest(lambda folder: number(folder / "memory.swap.max"))
        kills = _fields(own / "memory.events").get("oom_kill")
        return (
            _whole(limit),
            number(own / "memory.current"),
            _whole(swap_limit),
            number(own / "memory.swap.current"),
            kills,
        )

    def v1(name: str) -> Callable[[Path], float | None]:
        def read_limit(folder: Path) -> float | None:
            value = number(folder / name)
            return None if value is None or value >= _V1_UNLIMITED else value

        return read_limit

    limit = where.tightest(v1("memory.limit_in_bytes"))
    both = where.tightest(v1("memory.memsw.limit_in_bytes"))
    usage, both_usage = number(own / "memory.usage_in_bytes"), number(own / "memory.memsw.usage_in_bytes")
    return (
        _whole(limit),
        usage,
        None if both is None or limit is None else max(int(both - limit), 0),
        None if both_usage is None or usage is None else max(both_usage - usage, 0),
        _fields(own / "memory.oom_control").get("oom_kill"),
    )


def _quota(folder: Path) -> float | None:
    words = (text(folder / "cpu.max") or "").split()
    if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
        return int(words[0]) / int(words[1])
    quota, period = number(folder / "cpu.cfs_quota_us"), number(folder / "cpu.cfs_period_us")
    return quota / period if quota is not None and quota > 0 and period else None


def _cpu_usage(where: _Hierarchy | None) -> float | None:
    if where is None:
        return None
    if where.version == 2:
        usage = _fields(where.own / "cpu.stat").get("usage_usec")
        return None if usage is None else usage / 1e6
    nanoseconds = number(where.own / "cpuacct.usage")
    return None if nanoseconds is None else nanoseconds / 1e9


def _read_throttled_s(where: _Hierarchy | None) -> float | None:
    if where is None:
        return None
    stat = _fields(where.own / "cpu.stat")
    if "throttled_usec" in stat:
        return stat["throttled_usec"] / 1e6
    return stat["throttled_time"] / 1e9 if "throttled_time" in stat else None


def _cpuset(where: _Hierarchy | None) -> list[int] | None:
    if where is None:
        return None
    for folder in where.levels():
        for name in ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"):
            cpus = text(folder / name)
            if cpus:
                return numbers_of(cpus)
    return None


def _share(use: int | None, limit: int | None) -> float | None:
    return 100.0 * use / limit if use is not None and limit else None


def derive(before: CgroupReading | None, now: CgroupReading, dt_s: float | None) -> Cgroup:
    """Make the answer from two readings."""
    reasons = Reasons()
    if now.version is None:
        everything = "version path memory_limit_bytes memory_usage_bytes cpu_limit_cores pids_limit"
        everything += " memory_percent memory_working_set_bytes memory_working_set_percent swap_limit_bytes"
        reasons.note(None, everything, "unsupported: the system shows no control groups")
    reasons.note(now.memory_limit, "memory_limit_bytes memory_percent memory_working_set_percent", _NO_LIMIT)
    reasons.note(now.swap_limit, "swap_limit_bytes", _NO_LIMIT)
    reasons.note(now.cpu_limit, "cpu_limit_cores", _NO_LIMIT)
    reasons.note(now.pids_limit, "pids_limit", _NO_LIMIT)
    for field, value in (
        ("memory_usage_bytes", now.memory_usage),
        ("swap_usage_bytes", now.swap_usage),
        ("oom_kills", now.oom_kills),
        ("cpu_usage_s", now.cpu_usage_s),
        ("cpu_throttled_s", now.throttled_s),
        ("cpuset", now.cpuset),
        ("pids_current", now.pids_current),
    ):
        reasons.note(value, field, _NO_CONTROLLER)
    busy = rate(before.cpu_usage_s if before is not None else None, now.cpu_usage_s, dt_s)
    reasons.note(busy, "cpu_percent", NO_BASELINE if now.cpu_usage_s is not None else reasons.get("cpu_usage_s", ""))
    limit, usage, cache = now.memory_limit, now.memory_usage, now.memory_inactive_file
    working_set_bytes = None if usage is None or cache is None else max(usage - cache, 0)
    reasons.note(working_set_bytes, "memory_working_set_bytes", _NO_CONTROLLER)
    percent, working_set_percent = _share(usage, limit), _share(working_set_bytes, limit)
    reasons.note(percent, "memory_percent", reasons.get("memory_usage_bytes", _ZERO))
    reasons.note(working_set_percent, "memory_working_set_percent", reasons.get("memory_working_set_bytes", _ZERO))
    # Some container engines write a limit above the host's memory, which limits nothing.
    usable = now.host_memory if limit is None else min(limit, now.host_memory)
    cpus = [float(now.host_cpus)]
    cpus += [float(len(now.cpuset))] if now.cpuset else []
    cpus += [now.cpu_limit] if now.cpu_limit else []
    return Cgroup(
        version=now.version,
        path=now.path,
        memory_limit_bytes=limit,
        memory_usage_bytes=usage,
        memory_percent=percent,
        memory_working_set_bytes=working_set_bytes,
        memory_working_set_percent=working_set_percent,
        swap_limit_bytes=now.swap_limit,
        swap_usage_bytes=now.swap_usage,
        oom_kills=now.oom_kills,
        cpu_limit_cores=now.cpu_limit,
        cpu_usage_s=now.cpu_usage_s,
        cpu_percent=None if busy is None else 100.0 * busy,
        cpu_throttled_s=now.throttled_s,
        cpuset=now.cpuset,
        pids_limit=now.pids_limit,
        pids_current=now.pids_current,
        host_memory_bytes=now.host_memory,
        host_cpus=now.host_cpus,
        usable_memory_bytes=usable,
        usable_cpus=min(cpus),
        reasons=reasons,
    )
