"""One producer and many followers. Each follower gets the latest item, and a slow one never delays the others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Hashable
from typing import Generic, TypeVar

_T = TypeVar("_T")
_KeyT = TypeVar("_KeyT", bound=Hashable)

logger = logging.getLogger("rpcserver.services.hardware")


class Follower(Generic[_T]):
    """Holds the latest item for one follower."""

    __slots__ = ("_has_item", "_latest")

    def __init__(self) -> None:
        self._latest: _T | None = None
        self._has_item = asyncio.Event()

    def put(self, item: _T) -> None:
        """Replace the item that waits, if there is one."""
        self._latest = item
        self._has_item.set()

    async def get(self) -> _T:
        """Wait for the next item."""
        await self._has_item.wait()
        self._has_item.clear()
        assert self._latest is not None, "an item was put"
        return self._latest


class Beat(ABC, Generic[_KeyT, _T]):
    """Something that is read again and again while anyone follows it.

    Parameters:
        interval_s: time between two readings, in seconds.
        on_end: called when the last follower has left.

    Attributes:
        followers: the followers, by what they ask for.
    """

    def __init__(self, interval_s: float, on_end: Callable[[], None]) -> None:
        self.interval_s = interval_s
        self.followers: dict[_KeyT, set[Follower[_T]]] = defaultdict(set)
        self.task: asyncio.Task[None] | None = None
        self._on_end = on_end

    @abstractmethod
    async def begin(self) -> None:
        """Take the reading to compare the first item with."""

    @abstractmethod
    async def tick(self) -> None:
        """Take a reading, and give it to the followers."""

    def align(self, moment_s: float) -> float:
        """The moment from which to count the beats, near a moment of the loop's clock."""
        return moment_s

    async def on_join(self, key: _KeyT) -> None:
        """Prepare for a follower that joins a beat under way."""

    async def follow(self, key: _KeyT) -> AsyncIterator[_T]:
        """Yield the items, until the iterator is closed."""
        follower: Follower[_T] = Follower()
        self.followers[key].add(follower)
        try:
            if self.task is None:
                self.task = asyncio.get_running_loop().create_task(self._run())
            else:
                await self.on_join(key)
            while True:
                yield await follower.get()
        finally:
            self._leave(key, follower)

    def _leave(self, key: _KeyT, follower: Follower[_T]) -> None:
        self.followers[key].discard(follower)
        if not self.followers[key]:
            del self.followers[key]
        if not self.followers:
            # At once, not at the next tick: the next follower gets a new beat.
            self._on_end()
            if self.task is not None:
                self.task.cancel()

    async def stop(self) -> None:
        """End the beat, and wait until its task has ended."""
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = self.align(loop.time())
        step = self.begin
        while True:
            try:
                await step()
            except Exception:
                logger.exception("a reading failed")
            step = self.tick
            # Keep the rhythm, and skip the ticks that a slow reading has missed.
            due += self.interval_s
            if (late := loop.time() - due) > 0:
                due += math.ceil(late / self.interval_s) * self.interval_s
            await asyncio.sleep(due - loop.time())


async def closing(items: AsyncIterator[_T]) -> AsyncIterator[_T]:
    """Yield the items of an iterator, and close it together with this one."""
    try:
        async for item in items:
            yield item
    finally:
        await items.aclose()  # type: ignore[attr-defined]
