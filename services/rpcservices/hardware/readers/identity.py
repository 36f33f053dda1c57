"""Identifies processes by their number and start.

The kernel tells the start of a process in ticks since the system started; that number never changes. But the start of
the system in ``/proc/stat`` does: the kernel computes it each time from a clock that is being adjusted, so it steps by
a second now and then. Therefore we read it only once, and everything here uses that value.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from typing import Any

import psutil

_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@cache
def _boot_time() -> float:
    return psutil.boot_time()


def start_of(process: psutil.Process) -> float:
    """When a process started, in seconds since 1970. The value stays the same while the server runs.

    Raises:
        psutil.Error: it has ended.
    """
    ticks = _ticks(process)
    return process.create_time() if ticks is None else _boot_time() + ticks / _TICKS_PER_S


def _ticks(process: Any) -> int | None:
    """The start as the kernel tells it now; ``None`` on systems that are not Linux. In a ``oneshot`` block the file is
    read only once."""
    read = getattr(process._proc, "_parse_stat_file", None)  # noqa: SLF001 - psutil has read the file already
    return None if read is None else int(read()["create_time"])


def runs_as(process: psutil.Process, uid: int) -> bool:
    """Return whether a process is a user's own altogether: its real, effective and saved user. A program with the
    set-user-ID bit is not, because the system keeps it from whoever has started it.

    Parameters:
        process: the process.
        uid: the user.

    Raises:
        psutil.NoSuchProcess: it has ended.
    """
    try:
        return set(process.uids()) == {uid}
    except psutil.AccessDenied:
        return False


def all_processes() -> Iterator[psutil.Process]:
    """All processes, each in a ``oneshot`` block of its own.

    :func:`psutil.process_iter` keeps its objects, and what they have read. If another process has an object's number by
    now, we make a new object. If the server may not look into a process, we know only its number.
    """
    for candidate in psutil.process_iter():
        try:
            with candidate.oneshot():
                if not _is_another(candidate):
                    yield candidate
                    continue
            process = psutil.Process(candidate.pid)
            with process.oneshot():
                yield process
        except psutil.NoSuchProcess:
            continue


def _is_another(process: Any) -> bool:
    try:
        ticks, then = _ticks(process), process._ident[1]  # noqa: SLF001 - the start when psutil made the object
    except psutil.AccessDenied:
        return False
    return ticks is not None and then is not None and abs(ticks / _TICKS_PER_S - then) * _TICKS_PER_S > 0.5
