"""Waiting that Ctrl-C ends. A signal that comes just as a thread begins to wait for a lock is noted by the interpreter,
and does not wake the thread: the handler runs once it wakes for another reason. So nobody waits long at a time. A
service's method that waits here takes no place among those at work."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque

from rpcwire.errors import ConnectionClosed
from rpcwire.pool import waiting

INTERRUPT_S = 1.0
"""How long to wait at a time, in seconds."""


def acquire(lock: threading.Lock, timeout_s: float) -> bool:
    """Acquire a lock.

    Parameters:
        lock: which.
        timeout_s: how long to wait at most, in seconds; may be infinite.

    Returns:
        Whether it was acquired.
    """
    with waiting():
        if lock.acquire(timeout=min(max(timeout_s, 0.0), INTERRUPT_S)):
            return True
        until = time.monotonic() + timeout_s - INTERRUPT_S
        while (left := until - time.monotonic()) > 0:
            if lock.acquire(timeout=min(left, INTERRUPT_S)):
                return True
        return False


class Bells:
    """Wakes threads that wait for a change of something. It takes the place of :class:`threading.Condition` and
    :class:`threading.Event` where the main thread waits: an interruption may come within their Python code, and leave
    their lock locked for ever.

    Attributes:
        lock: guards what changes.
    """

    __slots__ = ("_hung", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._hung: deque[threading.Lock] = deque()

    def hang(self) -> threading.Lock:
        """What to :func:`acquire` after giving the lock back: it is had at the next change. The lock must be held."""
        bell = threading.Lock()
        bell.acquire()
        self._hung.append(bell)
        return bell

    def ring(self) -> None:
        """Wake all who wait. The lock must be held."""
        while self._hung:
            self._hung.popleft().release()


class Flag:
    """As :class:`threading.Event`; see :class:`Bells`."""

    __slots__ = ("_bells", "_set")

    def __init__(self, *, up: bool = False) -> None:
        self._set = up
        self._bells = Bells()

    def is_set(self) -> bool:
        """Whether it is up."""
        return self._set

    def set(self) -> None:
        """Raise it."""
        with self._bells.lock:
            self._set = True
            self._bells.ring()

    def clear(self) -> None:
        """Lower it."""
        self._set = False

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is up.

        Parameters:
            timeout_s: how long at most, in seconds; may be infinite.

        Returns:
            Whether it has been raised.
        """
        with self._bells.lock:
            if self._set:
                return True
            bell = self._bells.hang()
        return acquire(bell, timeout_s) or self._set


def check_interpreter() -> None:
    """Refuse to wait where the interpreter is ending, as in ``__del__`` of what is left: its other threads stand still.

    Raises:
        ConnectionClosed: it is.
    """
    if sys.is_finalizing():
        raise ConnectionClosed("the interpreter is ending, and the threads of the client have ended")
