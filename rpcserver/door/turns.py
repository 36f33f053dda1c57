"""Lets clients that have not authenticated take turns: however many they are and whatever they send, one frame of one
of them is read in each turn of the event loop, and everybody else is served in between."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Turns:
    """A queue of steps, of which each turn of the running event loop takes one."""

    def __init__(self) -> None:
        self._steps: deque[Callable[[], None]] = deque()

    def __len__(self) -> int:
        return len(self._steps)

    def take(self, step: Callable[[], None]) -> None:
        """Run a step when those before it have had their turn, and never at once.

        Parameters:
            step: a function without parameters. If it raises, the loop logs the error, and the next step goes on.
        """
        self._steps.append(step)
        if len(self._steps) == 1:
            asyncio.get_running_loop().call_soon(self._run_next)

    def _run_next(self) -> None:
        step = self._steps[0]  # It stays there while it runs, so that what it adds does not begin a second round.
        try:
            step()
        finally:
            self._steps.popleft()
            if self._steps:
                asyncio.get_running_loop().call_soon(self._run_next)
