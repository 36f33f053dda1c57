"""The events of all services of a server. Any thread publishes; those who follow wait in the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from rpcwire.errors import SlowConsumer
from rpcwire.publishing import Event, EventPolicy

from .feed import Feed, Queue

logger = logging.getLogger("rpcserver.events")


@dataclass(frozen=True, slots=True)
class Origin:
    """Who publishes.

    Attributes:
        node: the name of the node.
        id: its id.
        epoch: the number of the life of its server, as 16 hexadecimal digits.
    """

    node: str
    id: str
    epoch: str


class Following:
    """The events of one feed for one follower in the event loop. At most one task may wait at a time.

    Parameters:
        board: the board.
        feed: the feed.
        policy: what becomes of events while the follower is slow.
        room: how many may wait.
    """

    __slots__ = ("_board", "_feed", "_queue", "_room", "_waiter")

    def __init__(self, board: Board, feed: Feed, policy: EventPolicy, room: int) -> None:
        self._board, self._feed, self._room = board, feed, room
        self._waiter: asyncio.Future[None] | None = None
        self._queue = board.join(feed, policy, room, self._wake)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event[Any]:
        """Wait for the next event.

        Raises:
            SlowConsumer: the policy is ``close``, and too many have waited. Those before come first.
            StopAsyncIteration: the server is stopping.
        """
        while (event := self._board.take(self._queue)) is None:
            if self._queue.is_over:
                raise SlowConsumer(
                    f"more than {self._room} events of {self._feed.full_name} wait: read faster, or choose the policy "
                    "drop_oldest or latest"
                )
            if self._board.is_closed:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return event

    async def aclose(self) -> None:
        """Stop following."""
        self._board.leave(self._feed, self._queue)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Outlet:
    """The feeds of one service: its :class:`~rpcwire.service.EventOutlet`.

    Parameters:
        board: the board.
        feeds: the feeds by the names of their events.
    """

    __slots__ = ("_board", "_feeds")

    def __init__(self, board: Board, feeds: dict[str, Feed]) -> None:
        self._board, self._feeds = board, feeds

    def publish(self, name: str, value: Any) -> None:
        """Publish an event, from any thread."""
        self._board.publish(self._feeds[name], value)

    def follow(self, name: str, policy: EventPolicy, buffer_items: int) -> Following:
        """Begin to follow an event."""
        return Following(self._board, self._feeds[name], policy, buffer_items)

    def on_interest(self, name: str, callback: Callable[[bool], None]) -> None:
        """Have a function called when the first follower of an event comes, and when the last one goes."""
        feed = self._feeds[name]
        feed.on_interest = callback
        if feed.queues:
            _call(feed, is_wanted=True)


def _call(feed: Feed, *, is_wanted: bool) -> None:
    if feed.on_interest is not None:
        try:
            feed.on_interest(is_wanted)
        except Exception:
            logger.exception("the service %s has failed to note who follows %s", feed.service, feed.full_name)


class Board:
    """The feeds of all services. They outlive the objects of services, which may be started again.

    Parameters:
        origin: returns who publishes.
        clock: returns the time, in seconds since 1970.

    Attributes:
        feeds: the feeds by the full names of their events.
        is_closed: whether the server is stopping.
        drops: how many events are lost to followers that were too slow.
    """

    def __init__(self, origin: Callable[[], Origin], clock: Callable[[], float] = time.time) -> None:
        self.feeds: dict[str, Feed] = {}
        self.is_closed = False
        self.drops = 0
        self._origin = origin
        self._clock = clock
        self._lock = threading.RLock()  # A finalizer may publish while its thread publishes.
        self._wakes: dict[Queue, Callable[[], None]] = {}
        self._news: set[Queue] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def start(self) -> None:
        """Belong to the running event loop. Before, nobody can follow."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def close(self) -> None:
        """Let everybody who follows take what waits, and then end."""
        self.is_closed = True
        with self._lock:
            wakes = list(self._wakes.values())
        for wake in wakes:
            wake()

    def outlet(self, service: str, names: list[str]) -> Outlet:
        """Return where a service publishes.

        Parameters:
            service: its name.
            names: the names of its events.
        """
        feeds = {name: self.feeds.setdefault(f"{service}.{name}", Feed(service, name)) for name in names}
        return Outlet(self, feeds)

    @property
    def origin(self) -> Origin:
        """Who publishes."""
        return self._origin()

    def publish(self, feed: Feed, value: Any) -> None:
        """Publish an event, from any thread.

        Parameters:
            feed: the feed.
            value: the value of the event.
        """
        with self._lock:
            feed.seq += 1
            if not feed.queues:
                return
            origin = self._origin()
            event = Event(origin.node, origin.id, origin.epoch, feed.seq, self._clock(), 0, value)
            is_first = not self._news
            for queue in feed.queues:
                if not queue.put(event):
                    self.drops += 1
            self._news.update(feed.queues)
        if is_first and self._loop is not None:
            if threading.get_ident() == self._thread:
                self._loop.call_soon(self._wake)
            else:
                with contextlib.suppress(RuntimeError):  # Meanwhile the loop may be closed.
                    self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        with self._lock:
            news, self._news = self._news, set()
            wakes = [self._wakes[queue] for queue in news if queue in self._wakes]
        for wake in wakes:
            wake()

    def join(self, feed: Feed, policy: EventPolicy, room: int, wake: Callable[[], None]) -> Queue:
        """Add a follower.

        Parameters:
            feed: the feed.
            policy: what becomes of events while the follower is slow.
            room: how many may wait.
            wake: called in the event loop when there is something to take, or nothing more will come.
        """
        with self._lock:
            queue = feed.join(policy, room)
            self._wakes[queue] = wake
        if len(feed.queues) == 1:
            _call(feed, is_wanted=True)
        return queue

    def leave(self, feed: Feed, queue: Queue) -> None:
        """Remove a follower."""
        with self._lock:
            is_last = feed.queues == [queue]
            feed.leave(queue)
            self._wakes.pop(queue, None)
        if is_last:
            _call(feed, is_wanted=False)

    def take(self, queue: Queue) -> Event[Any] | None:
        """Return the next event of a follower; ``None`` if none waits."""
        with self._lock:
            return queue.take()
