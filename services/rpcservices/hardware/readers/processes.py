"""Reads processes: a list with the requested attributes, and one process in full."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from rpcservices.hardware.models import (
    OpenFile,
    Process,
    ProcessAttribute,
    ProcessDetails,
    ProcessRef,
    ProcessSort,
)
from rpcservices.hardware.rates import rate

from .command_lines import DETAILED_CHARACTERS, LISTED_CHARACTERS, show
from .identity import all_processes, runs_as, start_of
from .plain import plain
from .reasons import NO_BASELINE, Reasons, why

Key = tuple[int, float]
"""A process: its number, and when it started."""

_CHEAP = frozenset({"ppid", "name", "username", "status", "cpu_percent", "memory_info", "num_threads", "nice"})
DEFAULT: frozenset[ProcessAttribute] = frozenset(_CHEAP)  # type: ignore[arg-type]
"""The attributes to read where the caller names none. They are all in two files of a process."""

_SORTED_BY: Mapping[ProcessSort, ProcessAttribute] = {
    "cpu_percent": "cpu_percent",
    "memory_percent": "memory_info",
    "cpu_times": "cpu_times",
    "name": "name",
}


@dataclass(frozen=True, slots=True)
class CpuUse:
    """The processor time of all processes at one moment.

    Attributes:
        t_mono_s: the moment, on a monotonic clock, in seconds.
        used_s: the seconds used, by process.
    """

    t_mono_s: float
    used_s: Mapping[Key, float]


def cpu_use(t_mono_s: float) -> CpuUse:
    """Read the processor time of all processes."""
    used: dict[Key, float] = {}
    for process in all_processes():
        try:
            times = process.cpu_times()
            used[process.pid, start_of(process)] = times.user + times.system
        except psutil.Error:
            continue
    return CpuUse(t_mono_s, used)


def processes(
    attributes: Collection[ProcessAttribute],
    before: CpuUse | None,
    t_mono_s: float,
    sort: ProcessSort,
    limit: int,
    *,
    reveal: bool,
    only_uid: int | None = None,
) -> tuple[list[Process], int, int | None, CpuUse]:
    """List the processes of the machine. Expensive attributes are read only for those that the list shows.

    Parameters:
        attributes: the attributes to read.
        before: the processor time at an earlier moment, for ``cpu_percent``.
        t_mono_s: the present moment, on the same clock.
        sort: the order.
        limit: the most to list.
        reveal: whether to show command lines with their secrets.
        only_uid: the user whose processes to list; ``None`` for all users.

    Returns:
        The processes, how many of these users there are, how many of them run, and their processor time now.
    """
    first = set(attributes) & _CHEAP
    if sort in _SORTED_BY:
        first.add(_SORTED_BY[sort])
    later = frozenset(attributes) - first
    used: dict[Key, float] = {}
    read_so_far: list[tuple[psutil.Process, Process]] = []
    for process in all_processes():
        try:
            # The processor time of all is kept, because it is the baseline of other callers' lists.
            entry = _read(process, first, before, t_mono_s, used, reveal)
            if only_uid is None or runs_as(process, only_uid):
                read_so_far.append((process, entry))
        except psutil.NoSuchProcess:
            continue
    read_so_far.sort(key=lambda pair: _ORDERS[sort](pair[1]))
    running = sum(p.status == psutil.STATUS_RUNNING for _, p in read_so_far) if "status" in first else None
    entries = [_with(process, entry, later, reveal) if later else entry for process, entry in read_so_far[:limit]]
    return entries, len(read_so_far), running, CpuUse(t_mono_s, used)


_ORDERS: Mapping[ProcessSort, Callable[[Process], Any]] = {
    "cpu_percent": lambda p: (-(p.cpu_percent or 0.0), -(p.rss_bytes or 0), p.pid),
    "memory_percent": lambda p: (-(p.rss_bytes or 0), p.pid),  # By bytes: all are shares of the same memory.
    "cpu_times": lambda p: (-((p.cpu_user_s or 0.0) + (p.cpu_system_s or 0.0)), p.pid),
    "pid": lambda p: p.pid,
    "name": lambda p: ((p.name or "").lower(), p.pid),
    "create_time": lambda p: (-(p.create_time or 0.0), p.pid),
}


def _read(
    process: psutil.Process,
    attributes: Collection[str],
    before: CpuUse | None,
    t_mono_s: float,
    used: dict[Key, float],
    reveal: bool,
) -> Process:
    reasons = Reasons()
    fields: dict[str, Any] = {"pid": process.pid}
    with process.oneshot():
        start = fields["create_time"] = reasons.attempt("create_time", lambda: start_of(process))
        if "cpu_percent" in attributes:
            times = reasons.attempt("cpu_percent", process.cpu_times)
            if times is not None and start is not None:
                key = (process.pid, start)
                used[key] = times.user + times.system
                old, dt = (before.used_s.get(key), t_mono_s - before.t_mono_s) if before is not None else (None, None)
                share = rate(old, used[key], dt)
                fields["cpu_percent"] = None if share is None else 100.0 * share
                reasons.note(share, "cpu_percent", NO_BASELINE)
        _fill(process, attributes, fields, reasons, reveal, DETAILED_CHARACTERS)
    return Process(**fields, reasons=reasons)


def _with(process: psutil.Process, entry: Process, attributes: Collection[str], reveal: bool) -> Process:
    """Add attributes to a process. If it has ended since, the reasons say so."""
    reasons = Reasons(entry.reasons)
    fields: dict[str, Any] = {}
    with process.oneshot():
        _fill(process, attributes, fields, reasons, reveal, LISTED_CHARACTERS)
    return entry.model_copy(update=fields | {"reasons": reasons})


def _fill(
    process: psutil.Process,
    attributes: Collection[str],
    fields: dict[str, Any],
    reasons: Reasons,
    reveal: bool,
    most_characters: int,
) -> None:
    for attribute in attributes:
        reader = _READERS.get(attribute)
        if reader is None:
            continue
        names, read = reader
        try:
            fields.update(zip(names, map(_plain, read(process)), strict=True))
        except Exception as exc:
            reasons.update(dict.fromkeys(names, why(exc)))
    if fields.get("cmdline"):
        fields["cmdline"] = show(fields["cmdline"], most_characters, reveal=reveal)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    return [_plain(each) for each in value] if isinstance(value, list) else value


_READERS: Mapping[str, tuple[tuple[str, ...], Callable[[psutil.Process], tuple[Any, ...]]]] = {
    "ppid": (("ppid",), lambda p: (p.ppid(),)),
    "name": (("name",), lambda p: (p.name(),)),
    "username": (("username",), lambda p: (p.username(),)),
    "status": (("status",), lambda p: (p.status(),)),
    "cpu_times": (("cpu_user_s", "cpu_system_s"), lambda p: p.cpu_times()[:2]),
    "memory_info": (("rss_bytes", "vms_bytes"), lambda p: p.memory_info()[:2]),
    "memory_percent": (("memory_percent",), lambda p: (p.memory_percent(),)),
    "num_threads": (("num_threads",), lambda p: (p.num_threads(),)),
    "num_fds": (("num_fds",), lambda p: (p.num_fds(),)),
    "nice": (("nice",), lambda p: (int(p.nice() or 0),)),
    "cpu_affinity": (("cpu_affinity",), lambda p: (p.cpu_affinity(),)),
    "io_counters": (("read_bytes", "write_bytes"), lambda p: (p.io_counters().read_bytes, p.io_counters().write_bytes)),
    "cmdline": (("cmdline",), lambda p: (p.cmdline(),)),
    "exe": (("exe",), lambda p: (p.exe() or None,)),
    "cwd": (("cwd",), lambda p: (p.cwd() or None,)),
    "terminal": (("terminal",), lambda p: (p.terminal(),)),
}


def details(
    process: psutil.Process, before: CpuUse | None, t_mono_s: float, *, reveal: bool
) -> tuple[ProcessDetails, CpuUse]:
    """Read everything about one process, and its processor time now.

    Raises:
        psutil.NoSuchProcess: it has ended.
    """
    reasons = Reasons()
    used: dict[Key, float] = {}
    row = _read(process, {*_READERS, "cpu_percent"}, before, t_mono_s, used, reveal)
    uids, gids = reasons.attempt("uids", process.uids), reasons.attempt("gids", process.gids)
    children = reasons.attempt("children", process.children)
    files = reasons.attempt("open_files", process.open_files)
    switches = reasons.attempt("ctx_switches_voluntary", process.num_ctx_switches)
    memory = reasons.attempt("uss_bytes", process.memory_full_info)
    group = reasons.attempt("cgroup", lambda: _cgroup(process.pid))
    answer = ProcessDetails(
        process=row,
        uids=None if uids is None else list(uids),
        gids=None if gids is None else list(gids),
        children=None if children is None else list(_refs(children)),
        open_files=None
        if files is None
        else [OpenFile(path=plain(f.path), fd=f.fd, mode=getattr(f, "mode", None)) for f in files],
        uss_bytes=getattr(memory, "uss", None),
        ctx_switches_voluntary=switches and switches.voluntary,
        ctx_switches_involuntary=switches and switches.involuntary,
        cgroup=group,
        reasons=reasons,
    )
    return answer, CpuUse(t_mono_s, used)


def _cgroup(pid: int) -> str | None:
    with open(f"{psutil.PROCFS_PATH}/{pid}/cgroup", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
        lines = file.read().splitlines()
    return next((line[3:] for line in lines if line.startswith("0::")), lines[0].rpartition(":")[2] if lines else None)


def _refs(children: Collection[psutil.Process]) -> Iterator[ProcessRef]:
    for child in children:
        try:
            yield ProcessRef(pid=child.pid, create_time=start_of(child))
        except psutil.Error:
            continue
