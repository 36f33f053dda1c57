"""What the two clients do in different ways, under the same names as in `rpcclient.aio.waits`: they tell the time,
limit it, run something in the background, and describe a service where nothing can be awaited."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, Protocol, Self, TypeVar

from rpcwire.forking import ForkLock

_P = ParamSpec("_P")
now = time.monotonic
"""Return the time on the clock of deadlines, in seconds."""


class Closable(Protocol):
    """What can be closed."""

    def close(self) -> None:
        """Close it."""


_T = TypeVar("_T")
_ClosableT = TypeVar("_ClosableT", bound=Closable)


def begin(act: Callable[_P, None], *args: _P.args, **kwargs: _P.kwargs) -> threading.Thread:
    """Run a function in the background, in a thread that nobody waits for.

    Parameters:
        act: the function. It handles its errors itself.
        args, kwargs: its arguments.
    """
    name = f"rpcclient-{act.__name__.strip('_')}"
    thread = threading.Thread(target=act, args=args, kwargs=kwargs, name=name, daemon=True)
    thread.start()
    return thread


@contextmanager
def time_limit(timeout_s: float | None, close: Callable[[], None]) -> Iterator[None]:
    """Limit the time of a ``with`` block. After it the block's input is closed, and TimeoutError raised.

    Parameters:
        timeout_s: the limit, in seconds; ``None`` for no limit.
        close: ends what the block reads.
    """
    if timeout_s is None:
        yield
        return
    is_late = threading.Event()

    def give_up() -> None:
        is_late.set()
        close()

    timer = threading.Timer(timeout_s, give_up)
    try:
        timer.start()
        yield
    finally:
        timer.cancel()
    if is_late.is_set():
        raise TimeoutError


def value_now(fetch: Callable[[], _T], known: _T | None) -> _T | None:  # noqa: ARG001 - the twin's
    """Return a value for an attribute, after waiting for it.

    Parameters:
        fetch: fetches the value, and keeps it.
        known: the value, if it is known. Only the twin needs it, as it cannot wait.
    """
    return fetch()


Turn = ForkLock
"""Lets one at a time do something that waits."""


class Waitable:
    """What ``await`` waits for in the twin."""

    def wait(self) -> Self:
        """Wait, and return it."""
        raise NotImplementedError


class BackgroundReader:
    """Reads something in the background that nobody else reads.

    Parameters:
        act: reads it.
        chunks: what to read.
    """

    def __init__(self, act: Callable[[_ClosableT], None], chunks: _ClosableT) -> None:
        self._chunks: Closable = chunks
        begin(act, chunks)

    def end(self) -> None:
        """Stop reading."""
        self._chunks.close()


class Bell:
    """Wakes work in the background before its time."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def ring(self) -> None:
        """Wake whoever waits, now and from now on."""
        self._event.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the bell, and return whether it has rung.

        Parameters:
            timeout_s: how long to wait, in seconds.
        """
        return self._event.wait(timeout_s)
