"""Tells subscribers what happens to programs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable

from rpcserver import SlowConsumer
from rpcservices.programs.running.program import Program

from .models import EventKind, ProgramEvent

MOST_WAITING = 4096
"""The most events that wait for a slow reader."""


class _Subscription:
    def __init__(self, matches: Callable[[Program], bool]) -> None:
        self.matches = matches
        self.waiting: deque[ProgramEvent] = deque()
        self.overflowed = False
        self.has_news = asyncio.Event()

    def put(self, event: ProgramEvent) -> None:
        if len(self.waiting) >= MOST_WAITING:
            self.overflowed = True
        else:
            self.waiting.append(event)
        self.has_news.set()


class Events:
    """Sends events of programs to any number of readers."""

    def __init__(self) -> None:
        self._subscriptions: set[_Subscription] = set()

    def publish(self, kind: EventKind, program: Program) -> None:
        """Send an event to all subscribers that ask for the program."""
        subscribers = [each for each in self._subscriptions if each.matches(program)]
        if subscribers:
            event = ProgramEvent(kind=kind, program=program.info, exit=program.exit)
            for each in subscribers:
                each.put(event)

    def subscribe(self, matches: Callable[[Program], bool], present: Iterable[Program]) -> AsyncIterator[ProgramEvent]:
        """Yield the events from now on; those of the present programs come first.

        Parameters:
            matches: says whether the subscriber asks for a program.
            present: the programs that exist already.
        """
        subscription = _Subscription(matches)
        for program in present:
            if matches(program) and program.exit is None:
                subscription.put(ProgramEvent(kind="running", program=program.info))
        self._subscriptions.add(subscription)
        return self._read(subscription)

    async def _read(self, subscription: _Subscription) -> AsyncIterator[ProgramEvent]:
        try:
            while True:
                while subscription.waiting:
                    yield subscription.waiting.popleft()
                if subscription.overflowed:
                    raise SlowConsumer(f"the reader is {MOST_WAITING} events behind: watch again, and read faster")
                subscription.has_news.clear()
                await subscription.has_news.wait()
        finally:
            self._subscriptions.discard(subscription)
