"""Processes as the kernel shows them in ``/proc`` (proc(5)), and signals that cannot hit the wrong one.

A process id alone names nobody: it is given to another process later. A process is known by its id and the time when
it started. Light on purpose: the keeper of programs loads it.
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
        start: when it started, in clock ticks since boot; with ``pid`` it is never used again.
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
        """Whether it still runs: what only waits to be collected does not."""
        return self.state not in (ZOMBIE, DEAD)


def read(pid: int) -> Process | None:
    """What ``/proc`` says of a process; ``None`` where there is none."""
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
    """The children of a process, those that wait to be collected too."""
    try:
        threads = [f"/proc/{parent}/task/{name}/children" for name in os.listdir(f"/proc/{parent}/task")]
        listed: list[int] = []
        for path in threads:
            with open(path, "rb") as file:
                listed += map(int, file.read().split())
    except OSError:  # A kernel that does not list them (CONFIG_PROC_CHILDREN), or a thread that has ended meanwhile.
        yield from (process for process in every() if process.parent == parent)
        return
    for pid in listed:
        if (process := read(pid)) is not None:
            yield process


def total() -> int:
    """How many processes and threads the system has (proc_loadavg(5)): one small file, however many there are."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/loadavg", "rb") as file:
        return int(file.read().split()[3].partition(b"/")[2])
    return 0


def private_bytes(pid: int) -> int:
    """Memory that a process shares with no file, in bytes; 0 where it cannot be told."""
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
    known = list(snapshot)
    children: dict[int, list[Process]] = {}
    for process in known:
        children.setdefault(process.parent, []).append(process)
    wanted = set(roots)
    found = {process.pid: process for process in known if process.pid in wanted}
    waiting = list(found)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child.pid not in found:
                found[child.pid] = child
                waiting.append(child.pid)
    return found


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
        # The descriptor holds on to whoever has the id now; only then is it safe to look who that is.
        process = read(pid)
        if process is None or process.start != start:
            return False
        signal.pidfd_send_signal(descriptor, signum)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
