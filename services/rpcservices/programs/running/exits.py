"""How whoever looks after a process learns of its end. Light on purpose: the keeper of programs loads it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import NamedTuple, Protocol

from .looping import Loop


class Exited(NamedTuple):
    """The end of a process (wait4(2)).

    Attributes:
        status: as of wait(2); ``None`` where nobody could learn it.
        user_s, system_s: the processor time that it used, with all children that it waited for, in seconds.
        max_rss_kib: the most memory that one of them held, in KiB.
    """

    status: int | None
    user_s: float = 0.0
    system_s: float = 0.0
    max_rss_kib: int = 0


class Watch(Protocol):
    """Tells of the end of one process."""

    def __call__(self, then: Callable[[Exited], object], /) -> object:
        """Have ``then`` called once, on the loop, when it has ended. Its id is not given to another before that."""


def collected(pid: int) -> Exited:
    """The end of a child that has ended; it is collected by this."""
    try:
        _, status, used = os.wait4(pid, 0)
    except ChildProcessError:
        return Exited(None)
    return Exited(status, used.ru_utime, used.ru_stime, used.ru_maxrss)


def watch_child(loop: Loop, pid: int, pidfd: int) -> Watch:
    """A :class:`Watch` of a child of this process.

    Parameters:
        loop: the event loop.
        pid: the child.
        pidfd: a descriptor of it (pidfd_open(2)), which stays open.
    """

    def watch(then: Callable[[Exited], object]) -> None:
        def ended() -> None:
            loop.remove_reader(pidfd)
            then(collected(pid))

        loop.add_reader(pidfd, ended)

    return watch


def collect(pid: int) -> None:
    """Wait for a child that is about to end, and forget it."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
