"""One producer, many followers, each of which gets the latest item and never holds up the others."""

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
    """A place for the latest item."""

    __slots__ = ("_arrived", "_latest")

    def __init__(self) -> None:
        self._latest: _T | None = None
        self._arrived = asyncio.Event()

    def put(self, item: _T) -> None:
        """Replace what was not taken yet."""
        self._latest = item
        self._arrived.set()

    async def get(self) -> _T:
        """Wait for an item that was not taken yet."""
        await self._arrived.wait()
        self._arrived.clear()
        assert self._latest is not None, "an item was put"
        return self._latest


class Beat(ABC, Generic[_KeyT, _T]):
    """Something that is read again and again while anyone follows it.

    Parameters:
        interval_s: time between two readings, in seconds.
        ended: called when the last follower has left.

    Attributes:
        followers: who gets what, by what they want.
    """

    def __init__(self, interval_s: float, ended: Callable[[], None]) -> None:
        self.interval_s = interval_s
        self.followers: dict[_KeyT, set[Follower[_T]]] = defaultdict(set)
        self.task: asyncio.Task[None] | None = None
        self._ended = ended

    @abstractmethod
    async def begin(self) -> None:
        """Take a reading that the first item is compared with."""

    @abstractmethod
    async def tick(self) -> None:
        """Take a reading, and give it to the followers."""

    def aligned(self, moment_s: float) -> float:
        """When to begin to count the beats, near a moment of the loop's clock."""
        return moment_s

    async def joined(self, key: _KeyT) -> None:
        """Somebody follows a beat that is under way already."""

    async def follow(self, key: _KeyT) -> AsyncIterator[_T]:
        """The items, until the iterator is closed."""
        follower: Follower[_T] = Follower()
        self.followers[key].add(follower)
        try:
            if self.task is None:
                self.task = asyncio.get_running_loop().create_task(self._run())
            else:
                await self.joined(key)
            while True:
                yield await follower.get()
        finally:
            self._leave(key, follower)

    def _leave(self, key: _KeyT, follower: Follower[_T]) -> None:
        self.followers[key].discard(follower)
        if not self.followers[key]:
            del self.followers[key]
        if not self.followers:
            # At once, and not with the next beat: who comes now gets a new one.
            self._ended()
            if self.task is not None:
                self.task.cancel()

    async def stop(self) -> None:
        """End, and wait until nothing runs any more."""
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = self.aligned(loop.time())
        step = self.begin
        while True:
            try:
                await step()
            except Exception:
                logger.exception("a reading failed")
            step = self.tick
            # Keep to the beat, and leave out the beats that a slow reading has missed.
            due += self.interval_s
            if (late := loop.time() - due) > 0:
                due += math.ceil(late / self.interval_s) * self.interval_s
            await asyncio.sleep(due - loop.time())


async def closing(items: AsyncIterator[_T]) -> AsyncIterator[_T]:
    """The items of an iterator, which is closed with this one."""
    try:
        async for item in items:
            yield item
    finally:
        await items.aclose()  # type: ignore[attr-defined]
