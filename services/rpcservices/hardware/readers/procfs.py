"""Reads a file of ``/proc`` once where psutil reads it once for each of its functions. The values and their names are
psutil's.

Source: proc_stat(5), proc_meminfo(5), proc_vmstat(5).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import psutil

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_TIMES: Any = type(psutil.cpu_times())
_WIDTH = len(_TIMES._fields)
_SWAP: Any = type(psutil.swap_memory())
_SWAPPED_BYTES = 4096
"""The unit in which the kernel counts what is swapped in and out."""


class Stat(NamedTuple):
    """The processors at one moment.

    Attributes:
        total: the times of all together, as in ``psutil.cpu_times()``.
        cpus: the times of each processor that is on, by the kernel's number, as in ``psutil.cpu_times(percpu=True)``.
            If one is off, its number is left out, and the others keep theirs.
        ctx_switches, interrupts, soft_interrupts: as in ``psutil.cpu_stats()``.
    """

    total: Any
    cpus: Mapping[int, Any]
    ctx_switches: int
    interrupts: int
    soft_interrupts: int


def _content(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - read a hundred times a second: a Path takes as long
        return file.readall()


def _times(line: bytes) -> Any:
    return _TIMES(*(float(field) / _TICKS_PER_S for field in line.split()[1 : _WIDTH + 1]))


def _figure(content: bytes, name: bytes) -> int:
    """The number behind a name at the beginning of a line.

    Raises:
        ValueError: the file has no such line.
    """
    at = content.index(b"\n" + name) + len(name) + 1
    return int(content[at : content.index(b"\n", at)].split(None, 1)[0])


def stat(path: str = "/proc/stat") -> Stat:
    """Read the processors.

    Raises:
        OSError, ValueError: the system does not tell.
    """
    content = _content(path)
    place = content.index(b"\nintr ")
    total, *cpus = content[:place].splitlines()
    return Stat(
        _times(total),
        {int(line[3 : line.index(b" ")]): _times(line) for line in cpus},
        _figure(content, b"ctxt "),
        _figure(content, b"intr "),
        _figure(content, b"softirq "),
    )


def swap_memory() -> Any:
    """``psutil.swap_memory()``.

    Raises:
        OSError, ValueError: the system does not tell.
    """
    memory = _content("/proc/meminfo")
    total, free = (1024 * _figure(memory, name) for name in (b"SwapTotal:", b"SwapFree:"))
    vmstat = _content("/proc/vmstat")
    amounts = [_SWAPPED_BYTES * _figure(vmstat, name) for name in (b"pswpin ", b"pswpout ")]
    return _SWAP(total, total - free, free, round(100.0 * (total - free) / total, 1) if total else 0.0, *amounts)
