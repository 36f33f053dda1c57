"""A stream out of a database. If nobody reads it for a while, it gives its connection back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from .backends.base import finish, log
from .errors import DatabaseOperationalError

_T = TypeVar("_T")


class PageStream(AsyncIterator[_T], Generic[_T]):
    """The items of a stream, such as pages. When the stream closes, it gives everything back, even if nobody has read
    an item; an async generator that was never started could not do that. If nobody asks for the next item for
    ``idle_s``, the stream closes, and a later reader gets an error.

    Parameters:
        source: makes the items.
        close: gives everything back.
        error_for: turns an exception into the error to raise.
        idle_s: how long the stream stays open while nobody asks for the next item, in seconds.
    """

    def __init__(
        self,
        source: AsyncGenerator[_T, None],
        close: Callable[[], Awaitable[None]],
        error_for: Callable[[Exception], Exception],
        idle_s: float,
    ) -> None:
        self._source = source
        self._close = close
        self._error_for = error_for
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
            error = self._error_for(exc)
            await self.aclose()
            raise error from None
        except BaseException:
            await self.aclose()
            raise
        self._timer = self._start_timer()
        return page

    async def aclose(self) -> None:
        """Stop the database's work and give the connection back. It may be called again."""
        self._timer.cancel()
        if not self._closed:
            self._closed = True
            await self._source.aclose()
            await finish(_wait_for(self._close))


async def _wait_for(function: Callable[[], Awaitable[None]]) -> None:
    await function()
