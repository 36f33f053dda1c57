"""A stream out of a database, which does not keep a connection that nobody reads from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from .backends.base import finish, log
from .errors import DatabaseOperationalError

_T = TypeVar("_T")


class PageStream(AsyncIterator[_T], Generic[_T]):
    """Items of a stream, such as pages, and what to do once no more are wanted, even where none ever was: an async
    generator that was never started would not do it. While nobody asks for the next, time runs; when it is over,
    everything is given back, and whoever asks then is told.

    Parameters:
        source: makes the items.
        close: gives everything back.
        failed: turns an exception into the error to raise.
        idle_s: how long nobody may ask for the next, in seconds.
    """

    def __init__(
        self,
        source: AsyncGenerator[_T, None],
        close: Callable[[], Awaitable[None]],
        failed: Callable[[Exception], Exception],
        idle_s: float,
    ) -> None:
        self._source = source
        self._close = close
        self._failed = failed
        self._idle_s = idle_s
        self._closed = False
        self._late: asyncio.Task[None] | None = None
        self._timer = self._start_timer()

    def _start_timer(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._idle_s, self._expire)

    def _expire(self) -> None:
        if not self._closed:
            self._late = asyncio.ensure_future(self._give_up())

    async def _give_up(self) -> None:
        try:
            await self.aclose()
        except Exception as exc:
            log.info("a stream that nobody read could not be closed: %s", type(exc).__name__)

    async def __anext__(self) -> _T:
        self._timer.cancel()
        if self._late is not None:
            raise DatabaseOperationalError(
                f"nobody read the stream for {self._idle_s:g} s, so its connection was given back: read it without "
                "long pauses, or raise stream_idle_s",
                sqlstate="57P05",
            )
        try:
            page = await anext(self._source)
        except StopAsyncIteration:
            await self.aclose()
            raise
        except Exception as exc:
            error = self._failed(exc)
            await self.aclose()
            raise error from None
        except BaseException:
            await self.aclose()
            raise
        self._timer = self._start_timer()
        return page

    async def aclose(self) -> None:
        """Stop the database's work and give the connection back. More than once does no harm."""
        self._timer.cancel()
        if not self._closed:
            self._closed = True
            await self._source.aclose()
            await finish(_awaited(self._close))


async def _awaited(function: Callable[[], Awaitable[None]]) -> None:
    await function()
