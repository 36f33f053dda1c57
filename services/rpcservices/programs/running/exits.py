"""Reports the ends of processes. This module imports little, because the keeper of programs must start fast."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import NamedTuple, Protocol

from .looping import Loop


class ProcessEnd(NamedTuple):
    """The end of a process (wait4(2)).

    Attributes:
        status: the status of wait(2); ``None`` where it is not known.
        user_s, system_s: the processor time that it used, with all children that it waited for, in seconds.
        max_rss_kib: the most memory that one of them held, in KiB.
    """

    status: int | None
    user_s: float = 0.0
    system_s: float = 0.0
    max_rss_kib: int = 0


class Watch(Protocol):
    """Reports the end of one process."""

    def __call__(self, then: Callable[[ProcessEnd], object], /) -> object:
        """Call ``then`` once, on the loop, when the process has ended. No other process gets its id before that."""


def collect_child(pid: int) -> ProcessEnd:
    """Collect a child that has ended, and return its end."""
    try:
        _, status, usage = os.wait4(pid, 0)
    except ChildProcessError:
        return ProcessEnd(None)
    return ProcessEnd(status, usage.ru_utime, usage.ru_stime, usage.ru_maxrss)


def watch_child(loop: Loop, pid: int, pidfd: int) -> Watch:
    """Make a :class:`Watch` of a child of this process.

    Parameters:
        loop: the event loop.
        pid: the child.
        pidfd: a descriptor of it (pidfd_open(2)), which stays open.
    """

    def watch(then: Callable[[ProcessEnd], object]) -> None:
        def on_end() -> None:
            loop.remove_reader(pidfd)
            then(collect_child(pid))

        loop.add_reader(pidfd, on_end)

    return watch


def forget_child(pid: int) -> None:
    """Wait for a child that is about to end, and drop its status."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
