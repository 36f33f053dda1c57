"""Tells whoever watches what happens to programs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable

from rpcserver import SlowConsumer
from rpcservices.programs.running.program import Program

from .models import EventKind, ProgramEvent

MOST_WAITING = 4096
"""Events kept back for a reader that does not keep up."""


class _Subscription:
    def __init__(self, wanted: Callable[[Program], bool]) -> None:
        self.wanted = wanted
        self.waiting: deque[ProgramEvent] = deque()
        self.overflowed = False
        self.changed = asyncio.Event()

    def put(self, event: ProgramEvent) -> None:
        if len(self.waiting) >= MOST_WAITING:
            self.overflowed = True
        else:
            self.waiting.append(event)
        self.changed.set()


class Events:
    """What happens to programs, for any number of readers."""

    def __init__(self) -> None:
        self._subscriptions: set[_Subscription] = set()

    def publish(self, kind: EventKind, program: Program) -> None:
        """Something has happened."""
        interested = [each for each in self._subscriptions if each.wanted(program)]
        if interested:
            event = ProgramEvent(kind=kind, program=program.info, exit=program.exit)
            for each in interested:
                each.put(event)

    def subscribe(self, wanted: Callable[[Program], bool], present: Iterable[Program]) -> AsyncIterator[ProgramEvent]:
        """Events from now on, those of the programs that are there already first.

        Parameters:
            wanted: which programs.
            present: those that are there.
        """
        subscription = _Subscription(wanted)
        for program in present:
            if wanted(program) and program.exit is None:
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
                subscription.changed.clear()
                await subscription.changed.wait()
        finally:
            self._subscriptions.discard(subscription)
