"""What the asynchronous client does in another way than the synchronous one, under the names of `rpcclient.sync.waits`:
tell the time, limit it, have something go on beside the rest, and answer where nothing can be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


def now() -> float:
    """The time on the clock by which deadlines are told, in seconds."""
    return asyncio.get_running_loop().time()


def begin(act: Callable[_P, Coroutine[Any, Any, None]], *args: _P.args, **kwargs: _P.kwargs) -> asyncio.Task[None]:
    """Have something go on beside the rest, in a task, for as long as the task is kept.

    Parameters:
        act: does it; what it raises is its own business.
        args, kwargs: what it is called with.
    """
    return asyncio.ensure_future(act(*args, **kwargs))


def time_limit(timeout_s: float | None, close: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Timeout:  # noqa: ARG001 - the twin's
    """A context whose body may take so long; it is cancelled then, and TimeoutError raised.

    Parameters:
        timeout_s: how long, in seconds; as long as it takes where not given.
        close: ends what the body reads, for the twin, which cancels nothing.
    """
    return asyncio.timeout(timeout_s)


def at_once(fetch: Callable[[], Awaitable[_T]], known: _T | None) -> _T | None:  # noqa: ARG001 - the twin's
    """What an attribute, which nobody awaits, has to say: what is known already.

    Parameters:
        fetch: has the rest, for the twin, which waits for it.
        known: what is known, if anything is.
    """
    return known


class Passing:
    """Something that is read beside the rest, since nobody wants it.

    Parameters:
        act: reads it.
        chunks: what is read.
    """

    def __init__(self, act: Callable[[_T], Coroutine[Any, Any, None]], chunks: _T) -> None:
        self._task = begin(act, chunks)

    def end(self) -> None:
        """Read no more."""
        if not self._task.get_loop().is_closed():
            self._task.cancel()
