"""Gives memory back to the system after large messages. The C library keeps what was freed for the next allocation:
after a burst of large calls the process would keep a hundred MiB and more that nobody uses."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

INTERVAL_S = 10.0
"""The time between two looks, in seconds."""

WORTH_BYTES = 16 * 1024 * 1024
"""The fewest bytes that must have been freed: giving memory back takes some milliseconds."""


def trim_heap() -> None:
    """Give all pages that no allocation uses back to the system (malloc_trim(3)). A C library that has no such function
    does so itself."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Trimmer:
    """Looks from time to time whether much memory was freed. All methods belong to the thread of the event loop.

    Parameters:
        note_peak: returns the bytes that were held since it was last asked, and are not held any more.
        trim: gives memory back.
    """

    def __init__(self, note_peak: Callable[[], int], trim: Callable[[], None] = trim_heap) -> None:
        self._note_peak = note_peak
        self._trim = trim
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look, in the running event loop."""
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_S, self._go_on)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> None:
        """Give memory back if that is worth its time."""
        if self._note_peak() >= WORTH_BYTES:
            self._trim()

    def _go_on(self) -> None:
        self.look()
        self.start()
