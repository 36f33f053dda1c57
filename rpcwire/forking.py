"""What becomes of connections when the process forks. They stay the parent's: in the child their sockets are taken out
of reach at once, before any other code of it runs, whatever threads and event loops of the parent were doing with them.
So nothing that the child does, or leaves undone, can be seen on them; and they end when the parent ends them, as the
child keeps none of them open."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
import threading
import weakref
from collections.abc import Iterator
from typing import Protocol

logger = logging.getLogger("rpcwire")


class Forked(Protocol):
    """Something that is told when it finds itself in a child."""

    def forked(self) -> None:
        """This is another process now. No other thread runs; locks may be held by threads that do not exist here."""
        ...


class Home:
    """Stands for this process: what remembers it can tell later that it was made in another one."""


class Descriptor:
    """A socket that somebody else holds, such as the transport of an event loop, by its number.

    Parameters:
        number: the number.
    """

    __slots__ = ("__weakref__", "_inode", "_number")

    def __init__(self, number: int) -> None:
        self._number = number
        self._inode = _inode(number)

    def fileno(self) -> int:
        """The number; -1 where it stands for another socket by now, or for none."""
        return self._number if self._inode is not None and _inode(self._number) == self._inode else -1


def _inode(number: int) -> int | None:
    """What identifies an open socket, whatever its number."""
    try:
        found = os.fstat(number)
    except OSError:
        return None
    return found.st_ino if stat.S_ISSOCK(found.st_mode) else None


_home = Home()
_forks = threading.RLock()
_sockets: weakref.WeakSet[socket.socket | Descriptor] = weakref.WeakSet()
_told: weakref.WeakSet[Forked] = weakref.WeakSet()
_left_alone: list[object] = []


def home() -> Home:
    """This process: in a child another object than in its parent."""
    return _home


def keep_from_children(held: socket.socket | Descriptor) -> None:
    """Take a socket out of reach in every child. It has to be called before anything is sent over it.

    Parameters:
        held: the socket. Only a weak reference is kept.
    """
    _sockets.add(held)


def tell_in_children(one: Forked) -> None:
    """Tell something that it is in a child.

    Parameters:
        one: what to tell, after all sockets are out of reach. Only a weak reference is kept.
    """
    _told.add(one)


def leave_alone(*things: object) -> None:
    """Keep what is the parent's from becoming garbage in this child. The ends of tasks, transports and loops would
    reach for what the two processes share, such as what the parent's loop waits on.

    Parameters:
        things: which.
    """
    _left_alone.extend(things)


def take_away(numbers: list[int]) -> None:
    """Put a socket whose other end is closed in the place of each of these: their connections lose one holder without a
    word, and whoever uses the numbers still, or closes them, meets no stranger.

    Parameters:
        numbers: of sockets that are open.
    """
    if not numbers:
        return
    dead_end = _dead_end(numbers[0])
    for number in numbers:
        if number != dead_end:
            with contextlib.suppress(OSError):
                os.dup2(dead_end, number, inheritable=False)
    if dead_end not in numbers:
        os.close(dead_end)


def _dead_end(spare: int) -> int:
    """A descriptor that leads nowhere.

    Parameters:
        spare: a number to use where no other is left.
    """
    try:
        one, other = socket.socketpair()
    except OSError:
        os.close(spare)
        return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    other.close()
    return one.detach()


def _before() -> None:
    _forks.acquire()


def _in_parent() -> None:
    _forks.release()


def _in_child() -> None:
    global _home, _forks
    _home, _forks = Home(), threading.RLock()
    take_away([number for one in list(_sockets) if (number := one.fileno()) >= 0])
    _sockets.clear()
    for one in list(_told):
        try:
            one.forked()
        except Exception:
            logger.exception("%r could not be made ready for the child", one)


@contextlib.contextmanager
def uncut() -> Iterator[None]:
    """Do something that no fork cuts in half, such as an import: a child would wait for ever for a lock of the
    interpreter that a thread of its parent holds. Forks wait meanwhile, so it must be short."""
    with _forks:
        yield


class ForkLock:
    """A lock that is free in a child, whoever held it in the parent."""

    __slots__ = ("_home", "_lock")

    def __init__(self) -> None:
        self._home = _home
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if self._home is not _home:
            self._home, self._lock = _home, threading.Lock()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
