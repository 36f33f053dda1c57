"""Keeps many deadlines with one timer. There are ten thousands of calls a second, and hardly any reaches its deadline.
So it must cost next to nothing to set a deadline and to clear it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_KeyT = TypeVar("_KeyT", bound=Hashable)


class Deadlines(Generic[_KeyT]):
    """Calls ``on_deadline(key)`` when the deadline of a key has come.

    Parameters:
        loop: the event loop whose clock and timers are used.
        on_deadline: called with the key, in the loop.
    """

    __slots__ = ("_at", "_loop", "_next", "_on_deadline", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_deadline: Callable[[_KeyT], None]) -> None:
        self._loop = loop
        self._on_deadline = on_deadline
        self._at: dict[_KeyT, float] = {}
        self._next = float("inf")
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._at)

    def set(self, key: _KeyT, when: float) -> None:
        """Set the deadline of ``key``, on the clock of ``loop.time()``."""
        self._at[key] = when
        if when < self._next:
            self._arm(when)

    def clear(self, key: _KeyT) -> None:
        """Forget the deadline of ``key``. The timer stays as it is: at worst it fires and has nothing to do."""
        self._at.pop(key, None)

    def stop(self) -> None:
        """Forget all deadlines."""
        self._at.clear()
        self._next = float("inf")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = when
        self._timer = self._loop.call_at(when, self._fire)

    def _fire(self) -> None:
        now = self._loop.time()
        self._timer, self._next = None, float("inf")
        due = [key for key, when in self._at.items() if when <= now]
        for key in due:
            del self._at[key]
        if self._at:
            self._arm(min(self._at.values()))
        for key in due:
            self._on_deadline(key)
