"""Waiting that Ctrl-C ends. A signal that comes just as a thread begins to wait for a lock is noted by the interpreter,
and does not wake the thread: the handler runs once it wakes for another reason. So nobody waits long at a time. A
service's method that waits here takes no place among those at work."""

from __future__ import annotations

import sys
import threading
import time

from rpcwire.errors import ConnectionClosed
from rpcwire.threads import waiting

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


def wait(event: threading.Event, timeout_s: float) -> bool:
    """Wait for an event.

    Parameters:
        event: which.
        timeout_s: how long at most, in seconds; may be infinite.

    Returns:
        Whether it has come.
    """
    until = time.monotonic() + timeout_s
    with waiting():
        return _wait(event, until)


def _wait(event: threading.Event, until: float) -> bool:
    while not event.wait(min(max(until - time.monotonic(), 0.0), INTERRUPT_S)):
        if time.monotonic() >= until:
            return False
    return True


def check_interpreter() -> None:
    """Refuse to wait where the interpreter is ending, as in ``__del__`` of what is left: its other threads stand still.

    Raises:
        ConnectionClosed: it is.
    """
    if sys.is_finalizing():
        raise ConnectionClosed("the interpreter is ending, and the threads of the client have ended")
