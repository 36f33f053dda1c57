"""The columns of ``rpcclient top``'s processes: as many as leave room for names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rpcclient.stubs.hardware import Process, ProcessSort

from . import show
from .figures import NOTHING, duration, size


@dataclass(frozen=True)
class Around:
    """The facts besides its process that a cell depends on.

    Attributes:
        now_s: the time of the list, in seconds since 1970.
        memory_bytes: the machine's memory, where known.
        sort: the order of the list.
    """

    now_s: float
    memory_bytes: int | None
    sort: ProcessSort


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: what stands above it.
        width: in characters.
        cell: what stands in it.
        sort: the order that needs it.
        left: it begins at the left.
    """

    title: str
    width: int
    cell: Callable[[Process, Around], str]
    sort: tuple[ProcessSort, ...] = ()
    left: bool = False

    def text(self, value: str) -> str:
        """A cell, padded to its width. A longer number is not cut."""
        return f"{value:{self.width}}" if self.left else f"{value:>{self.width}}"


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"


def _memory(process: Process, around: Around) -> str:
    if process.rss_bytes is None or not around.memory_bytes:
        return NOTHING
    return _share(100.0 * process.rss_bytes / around.memory_bytes)


def _time(process: Process, around: Around) -> str:
    if around.sort == "create_time":
        return duration(None if process.create_time is None else max(around.now_s - process.create_time, 0))
    used = process.cpu_user_s
    return duration(None if used is None else used + (process.cpu_system_s or 0.0))


_PID = Column("PID", 7, lambda p, _: str(p.pid), ("pid",))
_USER = Column("USER", 9, lambda p, _: show.cell((p.username or NOTHING)[:9]), left=True)
_NICE = Column("NI", 3, lambda p, _: NOTHING if p.nice is None else str(p.nice))
_STATE = Column("S", 1, lambda p, _: show.cell((p.status or "?")[:1].upper()))
_CPU = Column("CPU%", 6, lambda p, _: _share(p.cpu_percent), ("cpu_percent",))
_MEMORY = Column("MEM%", 5, _memory)
_RSS = Column("RSS", 9, lambda p, _: size(p.rss_bytes), ("memory_percent",))
_THREADS = Column("THR", 4, lambda p, _: NOTHING if p.num_threads is None else str(p.num_threads))
_TIME = Column("TIME", 9, _time, ("cpu_times",))
_AGE = Column("AGE", 9, _time, ("create_time",))

_LATEST_NEEDED = (_THREADS, _NICE, _TIME, _AGE, _USER, _STATE, _RSS, _MEMORY, _CPU)
"""The columns that make room for names, in the order in which they go."""


def columns(width: int, sort: ProcessSort) -> list[Column]:
    """The columns for which there is room.

    Parameters:
        width: of the screen, in characters.
        sort: the order of the list, whose column stays as long as any.
    """
    selection = [_PID, _USER, _NICE, _STATE, _CPU, _MEMORY, _RSS, _THREADS, _AGE if sort == "create_time" else _TIME]
    least = min(24, max(width * 3 // 8, 8))
    for column in sorted(_LATEST_NEEDED, key=lambda column: sort in column.sort):
        if width - width_of(selection) >= least:
            break
        if column in selection:
            selection.remove(column)
    return selection


def width_of(selection: Sequence[Column]) -> int:
    """How wide columns are, with a space behind each."""
    return sum(column.width + 1 for column in selection)
