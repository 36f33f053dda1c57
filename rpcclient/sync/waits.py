"""What the synchronous client does in another way than the asynchronous one, under the names of `rpcclient.aio.waits`:
tell the time, limit it, have something go on beside the rest, and answer where nothing can be awaited."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, Protocol, TypeVar

_P = ParamSpec("_P")
now = time.monotonic
"""The time on the clock by which deadlines are told, in seconds."""


class Closable(Protocol):
    """What can be ended."""

    def close(self) -> None:
        """End it."""


_T = TypeVar("_T")
_ClosableT = TypeVar("_ClosableT", bound=Closable)


def begin(act: Callable[_P, None], *args: _P.args, **kwargs: _P.kwargs) -> threading.Thread:
    """Have something go on beside the rest, in a thread that nobody waits for.

    Parameters:
        act: does it; what it raises is its own business.
        args, kwargs: what it is called with.
    """
    name = f"rpcclient-{act.__name__.strip('_')}"
    thread = threading.Thread(target=act, args=args, kwargs=kwargs, name=name, daemon=True)
    thread.start()
    return thread


@contextmanager
def time_limit(timeout_s: float | None, close: Callable[[], None]) -> Iterator[None]:
    """A context whose body may take so long; what it reads is closed then, and TimeoutError raised.

    Parameters:
        timeout_s: how long, in seconds; as long as it takes where not given.
        close: ends what the body reads.
    """
    if timeout_s is None:
        yield
        return
    late = threading.Event()

    def give_up() -> None:
        late.set()
        close()

    timer = threading.Timer(timeout_s, give_up)
    try:
        timer.start()
        yield
    finally:
        timer.cancel()
    if late.is_set():
        raise TimeoutError


def at_once(fetch: Callable[[], _T], known: _T | None) -> _T | None:  # noqa: ARG001 - the twin's
    """What an attribute has to say: all there is, as it may wait for that.

    Parameters:
        fetch: has it, and keeps it.
        known: what is known already, for the twin, which cannot wait here.
    """
    return fetch()


class Passing:
    """Something that is read beside the rest, since nobody wants it.

    Parameters:
        act: reads it.
        chunks: what is read.
    """

    def __init__(self, act: Callable[[_ClosableT], None], chunks: _ClosableT) -> None:
        self._chunks: Closable = chunks
        begin(act, chunks)

    def end(self) -> None:
        """Read no more."""
        self._chunks.close()
