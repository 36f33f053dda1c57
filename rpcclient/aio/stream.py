"""A stream that the asynchronous client reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from rpcwire.aio.streams import StreamReader

from .life import Life, running_loop

_T_co = TypeVar("_T_co", covariant=True)


class AsyncStream(AsyncIterator[_T_co], Generic[_T_co]):
    """The items of a stream: an async iterator, and an async context manager that ends it. The call is made when the
    context is entered, or the first item is asked for. Its errors are raised there.

    ::

        async with client.programs.output(id) as chunks:
            async for chunk in chunks:
                ...
    """

    def __init__(self, begin: Callable[[], Awaitable[StreamReader[Any]]]) -> None:
        self._begin = begin
        self._reader: StreamReader[Any] | None = None
        self._closed = False
        self._life: Life | None = None
        self._open_lock: tuple[Life, asyncio.Lock] | None = None

    async def open(self) -> Self:
        """Make the call, unless it was made before.

        Raises:
            RpcError: the call failed.
        """
        if self._life is not None:
            self._life.check("the stream")
        elif not self._closed:
            await self._open()
        return self

    async def _open(self) -> None:
        """Make the call once, even if several tasks open the stream at the same time."""
        if self._open_lock is None or self._open_lock[0].is_over:
            self._open_lock = Life(running_loop()), asyncio.Lock()
        life, lock = self._open_lock
        life.check("the stream")
        async with lock:
            if self._reader is None and not self._closed:
                self._reader, self._life = await self._begin(), life
                if self._closed:  # It was closed during the call.
                    await self._reader.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _T_co:
        await self.open()
        if self._reader is None:
            raise StopAsyncIteration
        item: _T_co = await self._reader.__anext__()
        return item

    async def read_by(self, until: float) -> _T_co:
        """Return the next item, if it comes in time. The end is raised as an iterator raises it.

        Parameters:
            until: how long to wait, on the clock of deadlines.

        Raises:
            TimeoutError: it has not come.
            RpcError: the call failed, or the stream has ended with an error.
        """
        async with asyncio.timeout_at(until):
            return await anext(self)

    async def aclose(self) -> None:
        """End the stream. The server stops its work for it."""
        if self._life is not None:
            self._life.check_place("the stream")
        self._closed = True
        if self._reader is not None and self._life is not None and not self._life.is_over:
            await self._reader.aclose()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
