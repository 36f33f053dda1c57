"""Measures how long the event loop stalls: while it does, the server answers nobody."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

logger = logging.getLogger("rpcserver.stalls")

INTERVAL_S = 0.02
"""The time between two looks at the clock, in seconds: shorter stalls may pass unseen."""
LOG_S = 0.5
"""The shortest stall that is worth a line in the log, in seconds."""
LOG_EVERY_S = 60.0
"""The least time between two such lines, in seconds."""


class StallProbe:
    """Looks at the clock again and again. How much later than planned it can look is how long the loop has stalled.

    Attributes:
        longest_s: the longest stall since the start, in seconds.
        on_look: called at each look, with how much later than planned it was, in seconds; ``None`` for nobody.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.on_look: Callable[[float], None] | None = None
        self._unreported_s = 0.0
        self._report_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        """Begin to look, in the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._plan(self._loop, self._loop.time())

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _plan(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        self._due = now + INTERVAL_S
        self._timer = loop.call_at(self._due, self._look)

    def _look(self) -> None:
        assert self._loop is not None
        now = self._loop.time()
        self.note(now - self._due, now)
        if self.on_look is not None:
            self.on_look(now - self._due)
        self._plan(self._loop, now)

    def note(self, stall_s: float, now: float) -> None:
        """Take a stall into account, and log the longest one since the last line.

        Parameters:
            stall_s: how much later than planned the loop came here, in seconds.
            now: the present moment on the loop's clock, in seconds.
        """
        self.longest_s = max(self.longest_s, stall_s)
        self._unreported_s = max(self._unreported_s, stall_s)
        if self._unreported_s >= LOG_S and now >= self._report_at:
            logger.warning("the event loop stalled for %.0f ms, the longest time of late", 1000 * self._unreported_s)
            self._unreported_s = 0.0
            self._report_at = now + LOG_EVERY_S
