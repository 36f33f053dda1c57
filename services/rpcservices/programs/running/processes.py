"""Processes as the kernel shows them in ``/proc`` (proc(5)), and signals that cannot hit the wrong one.

A process id alone does not identify a process, because another process may get it later; the id together with the start
does. This module imports little, because the keeper of programs must start fast.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
ZOMBIE = "Z"
DEAD = "X"
STOPPED = ("T", "t")


class Process(NamedTuple):
    """One process at one moment (proc_pid_stat(5)).

    Attributes:
        pid: its id.
        start: its start, in clock ticks since boot; no other process has the same ``pid`` and ``start``.
        parent: the id of its parent.
        group: its process group.
        session: its session.
        state: one letter, such as ``R``, ``S`` or ``Z``.
    """

    pid: int
    start: int
    parent: int
    group: int
    session: int
    state: str

    @property
    def alive(self) -> bool:
        """Whether it still runs; a process that only waits to be collected does not."""
        return self.state not in (ZOMBIE, DEAD)


def read(pid: int) -> Process | None:
    """Read a process from ``/proc``; ``None`` where there is none."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(descriptor, 4096)
    except OSError:  # It has ended since.
        return None
    finally:
        os.close(descriptor)
    # The name stands in parentheses and may itself hold parentheses and blanks.
    fields = text[text.rindex(b")") + 2 :].split()
    return Process(
        pid,
        int(fields[19]),
        int(fields[1]),
        int(fields[2]),
        int(fields[3]),
        fields[0].decode(),
    )


def ticks() -> int:
    """The time now, as in :attr:`Process.start`."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * CLOCK_TICKS)


def every() -> Iterator[Process]:
    """All processes."""
    for name in os.listdir("/proc"):
        if name.isdigit() and (process := read(int(name))) is not None:
            yield process


def children(parent: int) -> Iterator[Process]:
    """The children of a process, with those that wait to be collected."""
    try:
        threads = [f"/proc/{parent}/task/{name}/children" for name in os.listdir(f"/proc/{parent}/task")]
        pids: list[int] = []
        for path in threads:
            with open(path, "rb") as file:
                pids += map(int, file.read().split())
    except OSError:  # A kernel that does not list them (CONFIG_PROC_CHILDREN), or a thread that has ended meanwhile.
        yield from (process for process in every() if process.parent == parent)
        return
    for pid in pids:
        if (process := read(pid)) is not None:
            yield process


def total() -> int:
    """How many processes and threads the system has (proc_loadavg(5)): one small file, however many there are."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/loadavg", "rb") as file:
        return int(file.read().split()[3].partition(b"/")[2])
    return 0


def private_bytes(pid: int) -> int:
    """The memory that a process shares with no file, in bytes; 0 where it is not known."""
    with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/statm", "rb") as file:
        fields = file.read().split()
        return (int(fields[1]) - int(fields[2])) * PAGE_BYTES
    return 0


def has_mark(pid: int, mark: bytes) -> bool:
    """Whether a process was started with an entry ``NAME=value`` in its environment."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        return mark in file.read().split(b"\0")
    return False


def mark(pid: int, name: str) -> str | None:
    """The value of a variable in the environment that a process was started with; ``None`` where there is none."""
    prefix = f"{name}=".encode()
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        for entry in file.read().split(b"\0"):
            if entry.startswith(prefix):
                return os.fsdecode(entry[len(prefix) :])
    return None


def below(roots: Iterable[int], snapshot: Iterable[Process]) -> dict[int, Process]:
    """The processes with the ids ``roots``, and all their descendants, by id."""
    everything = list(snapshot)
    children: dict[int, list[Process]] = {}
    for process in everything:
        children.setdefault(process.parent, []).append(process)
    members = set(roots)
    result = {process.pid: process for process in everything if process.pid in members}
    waiting = list(result)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child.pid not in result:
                result[child.pid] = child
                waiting.append(child.pid)
    return result


def send(pid: int, start: int, signum: int) -> bool:
    """Send a signal to the process that has this id and started at this time, and to no other (pidfd_open(2)).

    Returns:
        Whether there was one, and the signal was allowed.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        # First hold the process that has the id now by a descriptor; only then compare its start.
        process = read(pid)
        if process is None or process.start != start:
            return False
        signal.pidfd_send_signal(descriptor, signum)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
