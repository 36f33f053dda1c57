"""Ways to wait that Ctrl-C ends. If a signal arrives just when a thread begins to wait for a lock, the interpreter
notes it but does not wake the thread: the signal's handler runs only when the thread wakes for another reason. So no
thread waits long at a time here. While a service's method waits here, it takes no place in the pool."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque

from rpcwire.errors import ConnectionClosed
from rpcwire.pool import current_place, waiting

INTERRUPT_S = 1.0
"""The longest single wait, in seconds."""


def acquire(lock: threading.Lock, timeout_s: float) -> bool:
    """Acquire a lock.

    Parameters:
        lock: the lock.
        timeout_s: the longest wait, in seconds; may be infinite.

    Returns:
        Whether the lock was acquired.
    """
    if current_place() is None:
        return lock.acquire(timeout=min(max(timeout_s, 0.0), INTERRUPT_S)) or _go_on(lock, timeout_s - INTERRUPT_S)
    with waiting():
        return lock.acquire(timeout=min(max(timeout_s, 0.0), INTERRUPT_S)) or _go_on(lock, timeout_s - INTERRUPT_S)


def _go_on(lock: threading.Lock, timeout_s: float) -> bool:
    """Go on to wait for a lock that was not acquired within the longest single wait."""
    until = time.monotonic() + timeout_s
    while (rest_s := until - time.monotonic()) > 0:
        if lock.acquire(timeout=min(rest_s, INTERRUPT_S)):
            return True
    return False


class Waiters:
    """The threads that wait for something to change. Use it in place of :class:`threading.Condition` and
    :class:`threading.Event` if the main thread waits: an interruption may come within their Python code, and leave
    their lock locked for ever.

    Attributes:
        lock: guards the state that changes.
    """

    __slots__ = ("_locks", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._locks: deque[threading.Lock] = deque()

    def add(self) -> threading.Lock:
        """Add a thread that waits. The lock must be held. When the thread has released it, it calls :func:`acquire` for
        the lock that this returns, and gets that lock at the next change."""
        waiter = threading.Lock()
        waiter.acquire()
        self._locks.append(waiter)
        return waiter

    def wake_all(self) -> None:
        """Wake all threads that wait. The lock must be held."""
        while self._locks:
            self._locks.popleft().release()


class Flag:
    """Does what :class:`threading.Event` does; see :class:`Waiters`."""

    __slots__ = ("_set", "_waiters")

    def __init__(self, *, up: bool = False) -> None:
        self._set = up
        self._waiters = Waiters()

    def is_set(self) -> bool:
        """Tell whether the flag is set."""
        return self._set

    def set(self) -> None:
        """Set the flag, and wake all threads that wait for it."""
        with self._waiters.lock:
            self._set = True
            self._waiters.wake_all()

    def clear(self) -> None:
        """Clear the flag."""
        self._set = False

    def wait(self, timeout_s: float) -> bool:
        """Wait until the flag is set.

        Parameters:
            timeout_s: the longest wait, in seconds; may be infinite.

        Returns:
            Whether the flag was set in this time.
        """
        with self._waiters.lock:
            if self._set:
                return True
            waiter = self._waiters.add()
        return acquire(waiter, timeout_s) or self._set


def check_interpreter() -> None:
    """Raise an error if the interpreter is ending, as when ``__del__`` runs late: its other threads stand still, so a
    wait for them would never end.

    Raises:
        ConnectionClosed: the interpreter is ending.
    """
    if sys.is_finalizing():
        raise ConnectionClosed("the interpreter is ending, and the threads of the client have ended")
