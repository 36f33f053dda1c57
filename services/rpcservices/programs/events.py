"""Tells subscribers what happens to programs."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable

from rpcserver import SlowConsumer
from rpcservices.programs.running.program import Program

from .holdings import weigh
from .models import EventKind, ProgramEvent

MOST_WAITING = 4096
"""The most events that wait for a slow reader."""
MOST_WAITING_BYTES = 32 * 1024 * 1024
"""The most memory that all events that wait for the readers of one subscriber may take: each has the arguments and
labels of its program, even after that was forgotten."""


class _Subscription(AsyncIterator[ProgramEvent]):
    """The events for one reader."""

    def __init__(self, events: Events, subscriber: str, matches: Callable[[Program], bool]) -> None:
        self._events = events
        self._subscriber = subscriber
        self.matches = matches
        self._waiting: deque[tuple[ProgramEvent, int]] = deque()
        self._has_overflowed = False
        self._has_news = asyncio.Event()

    def put(self, event: ProgramEvent, size_bytes: int) -> None:
        """Send an event to the reader."""
        held_bytes = self._events.waiting_bytes[self._subscriber]
        if len(self._waiting) >= MOST_WAITING or (held_bytes and held_bytes + size_bytes > MOST_WAITING_BYTES):
            self._has_overflowed = True
        elif not self._has_overflowed:
            self._waiting.append((event, size_bytes))
            self._events.waiting_bytes[self._subscriber] += size_bytes
        self._has_news.set()

    async def __anext__(self) -> ProgramEvent:
        while not self._waiting:
            if self._has_overflowed:
                raise SlowConsumer("the reader is thousands of events behind: watch again, and read faster")
            self._has_news.clear()
            await self._has_news.wait()
        event, size_bytes = self._waiting.popleft()
        self._give_back(size_bytes)
        return event

    async def aclose(self) -> None:
        """End the subscription, also one of which nothing was read."""
        self._events.end(self)
        self._give_back(sum(size_bytes for _, size_bytes in self._waiting))
        self._waiting.clear()

    def _give_back(self, size_bytes: int) -> None:
        waiting_bytes = self._events.waiting_bytes
        waiting_bytes[self._subscriber] -= size_bytes
        if not waiting_bytes[self._subscriber]:
            del waiting_bytes[self._subscriber]


class Events:
    """Sends events of programs to any number of readers.

    Attributes:
        waiting_bytes: the memory of the events that wait for the readers of each subscriber.
    """

    def __init__(self) -> None:
        self._subscriptions: set[_Subscription] = set()
        self.waiting_bytes: Counter[str] = Counter()

    def publish(self, kind: EventKind, program: Program) -> None:
        """Send an event to all subscribers that ask for the program."""
        subscribers = [each for each in self._subscriptions if each.matches(program)]
        if subscribers:
            event = ProgramEvent(kind=kind, program=program.info, exit=program.exit)
            size_bytes = _size_of(program)
            for each in subscribers:
                each.put(event, size_bytes)

    def subscribe(
        self, subscriber: str, matches: Callable[[Program], bool], present: Iterable[Program]
    ) -> AsyncIterator[ProgramEvent]:
        """Yield the events from now on; those of the present programs come first.

        Parameters:
            subscriber: the name of whoever asks.
            matches: says whether the subscriber asks for a program.
            present: the programs that exist already.
        """
        subscription = _Subscription(self, subscriber, matches)
        for program in present:
            if matches(program) and program.exit is None:
                subscription.put(ProgramEvent(kind="running", program=program.info), _size_of(program))
        self._subscriptions.add(subscription)
        return subscription

    def end(self, subscription: _Subscription) -> None:
        """Send no more events to a reader."""
        self._subscriptions.discard(subscription)


def _size_of(program: Program) -> int:
    return weigh(program.about.argv, program.about.labels)
