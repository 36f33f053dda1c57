"""Keeps connections in the parent when the process forks. In the child, this closes their sockets at once, before any
other code runs and whatever the parent's threads and event loops were doing with them. So nothing that the child does
can be seen on a connection. And a connection ends when the parent ends it, because the child holds no copy of its
socket."""

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


class ForkListener(Protocol):
    """An object that is told, in a child, that the process has forked."""

    def on_fork(self) -> None:
        """Get ready for the child. No other thread runs; locks may be held by threads that do not exist here."""
        ...


class Home:
    """Stands for this process. An object that stores it can tell later that it was made in another process."""


class Descriptor:
    """The number of a socket that another object owns, such as the transport of an event loop.

    Parameters:
        number: the number.
    """

    __slots__ = ("__weakref__", "_inode", "_number")

    def __init__(self, number: int) -> None:
        self._number = number
        self._inode = _inode(number)

    def fileno(self) -> int:
        """Return the number; -1 if it belongs to another socket by now, or to none."""
        return self._number if self._inode is not None and _inode(self._number) == self._inode else -1


def _inode(number: int) -> int | None:
    """Return the inode of an open socket, which identifies it; ``None`` if the number belongs to no socket."""
    try:
        status = os.fstat(number)
    except OSError:
        return None
    return status.st_ino if stat.S_ISSOCK(status.st_mode) else None


_home = Home()
_forks = threading.RLock()
_sockets: weakref.WeakSet[socket.socket | Descriptor] = weakref.WeakSet()
_listeners: weakref.WeakSet[ForkListener] = weakref.WeakSet()
_kept_alive: list[object] = []


def home() -> Home:
    """Return the object that stands for this process; a child has another one than its parent."""
    return _home


def keep_from_children(sock: socket.socket | Descriptor) -> None:
    """Close a socket in every child. Call this before anything is sent over the socket.

    Parameters:
        sock: the socket. Only a weak reference is kept.
    """
    _sockets.add(sock)


def tell_in_children(listener: ForkListener) -> None:
    """Tell an object in every child that the process has forked.

    Parameters:
        listener: the object. It is told when all sockets are closed. Only a weak reference is kept.
    """
    _listeners.add(listener)


def keep_alive(*objects: object) -> None:
    """Keep objects of the parent from becoming garbage in this child. When tasks, transports and loops are deleted,
    they change what the two processes share, such as the descriptor on which the parent's loop waits.

    Parameters:
        objects: the objects.
    """
    _kept_alive.extend(objects)


def replace_sockets(numbers: list[int]) -> None:
    """Put a socket whose other end is closed in the place of each open socket. The connections lose one owner and
    nothing is sent over them. Code that still uses or closes a number cannot reach a socket of other code.

    Parameters:
        numbers: the numbers of open sockets.
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
    """Open a descriptor that leads nowhere.

    Parameters:
        spare: a number to use if no other is free.
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
    replace_sockets([number for sock in list(_sockets) if (number := sock.fileno()) >= 0])
    _sockets.clear()
    for listener in list(_listeners):
        try:
            listener.on_fork()
        except Exception:
            logger.exception("%r could not be made ready for the child", listener)


@contextlib.contextmanager
def hold_forks() -> Iterator[None]:
    """Make forks wait while the code in this context runs, such as an import. If a process forked in the middle of an
    import, the child would wait for ever for a lock of the interpreter that a thread of the parent holds. The code must
    be short."""
    with _forks:
        yield


class ForkLock:
    """A lock that is free in a child, even if a thread of the parent held it."""

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
