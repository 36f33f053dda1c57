"""Which process is meant: its number, and when it started.

The kernel tells the start in ticks since the system started, and that never changes. The moment at which the system
started does, in ``/proc/stat``: it is computed anew from a clock that is being set, and steps by a second now and then.
So it is read once, for all who list processes and all who act on them.
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
    """When a process started, in seconds since 1970: the same at each reading, while the server runs.

    Raises:
        psutil.Error: it has ended.
    """
    ticks = _ticks(process)
    return process.create_time() if ticks is None else _boot_time() + ticks / _TICKS_PER_S


def _ticks(process: Any) -> int | None:
    """The start as the kernel has it now; ``None`` where the system is none of Linux's kind. In a ``oneshot`` block
    the file is read but once."""
    read = getattr(process._proc, "_parse_stat_file", None)  # noqa: SLF001 - what psutil has read already
    return None if read is None else int(read()["create_time"])


def all_processes() -> Iterator[psutil.Process]:
    """All processes, each in a ``oneshot`` block of its own.

    :func:`psutil.process_iter` keeps its objects, with what they have read: one whose number is another's by now is
    made anew here. Of one that the server may not look into only the number is known.
    """
    for known in psutil.process_iter():
        try:
            with known.oneshot():
                if not _is_another(known):
                    yield known
                    continue
            process = psutil.Process(known.pid)
            with process.oneshot():
                yield process
        except psutil.NoSuchProcess:
            continue


def _is_another(known: Any) -> bool:
    try:
        ticks, then = _ticks(known), known._ident[1]  # noqa: SLF001 - as it was when psutil made the object
    except psutil.AccessDenied:
        return False
    return ticks is not None and then is not None and abs(ticks / _TICKS_PER_S - then) * _TICKS_PER_S > 0.5
