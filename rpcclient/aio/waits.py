"""What the two clients do in different ways, under the same names as in `rpcclient.sync.waits`: they tell the time,
limit it, run something in the background, and describe a service where nothing can be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, ParamSpec, Self, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


def now() -> float:
    """Return the time on the clock of deadlines, in seconds."""
    return asyncio.get_running_loop().time()


def begin(act: Callable[_P, Coroutine[Any, Any, None]], *args: _P.args, **kwargs: _P.kwargs) -> asyncio.Task[None]:
    """Run a function in the background, in a task, which the caller must keep.

    Parameters:
        act: the function. It handles its errors itself.
        args, kwargs: its arguments.
    """
    return asyncio.ensure_future(act(*args, **kwargs))


def time_limit(timeout_s: float | None, close: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Timeout:  # noqa: ARG001 - the twin's
    """Limit the time of a ``with`` block. After it the block is cancelled, and TimeoutError raised.

    Parameters:
        timeout_s: the limit, in seconds; ``None`` for no limit.
        close: ends what the block reads. Only the twin needs it, as it cannot cancel the block.
    """
    return asyncio.timeout(timeout_s)


def value_now(fetch: Callable[[], Awaitable[_T]], known: _T | None) -> _T | None:  # noqa: ARG001 - the twin's
    """Return a value for an attribute, where nothing can be awaited: the value that is known already.

    Parameters:
        fetch: fetches the value. Only the twin calls it, as it can wait.
        known: the value, if it is known.
    """
    return known


Turn = asyncio.Lock
"""Lets one at a time do something that waits."""


class Waitable:
    """What ``await`` waits for, as its method ``wait`` does."""

    async def wait(self) -> Self:
        """Wait, and return it."""
        raise NotImplementedError

    def __await__(self) -> Generator[Any, None, Self]:
        return self.wait().__await__()


class BackgroundReader:
    """Reads something in the background that nobody else reads.

    Parameters:
        act: reads it.
        chunks: what to read.
    """

    def __init__(self, act: Callable[[_T], Coroutine[Any, Any, None]], chunks: _T) -> None:
        self._task = begin(act, chunks)

    def end(self) -> None:
        """Stop reading."""
        if not self._task.get_loop().is_closed():
            self._task.cancel()


class Bell:
    """Wakes work in the background before its time."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake whoever waits, now and from now on."""
        self._event.set()

    async def wait(self, timeout_s: float) -> bool:
        """Wait for the bell, and return whether it has rung.

        Parameters:
            timeout_s: how long to wait, in seconds.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return False
        return True
