"""Decides how long to go on reading after a program has ended, while processes that it left still hold its output
open."""

from __future__ import annotations

PAUSE_S = 0.25
"""After a silence of this time reading ends, unless a process of the tree is at work."""
LONGER_PAUSE_S = 1.0
"""The same, if output has come since the program's end."""
BUSY_PAUSE_S = 2.0
"""The same, if a process is at work: on a busy machine it may have to wait for a processor."""
LINGER_S = 10.0
LINGER_BYTES_PER_S = 1024 * 1024
LINGER_BYTES = 256 * 1024 * 1024
"""Output without such a silence is read for :data:`LINGER_S`, and longer if :data:`LINGER_BYTES_PER_S` come, up to this
many bytes. Time in which the reader makes the program wait does not count."""


class Linger:
    """Counts the output that comes after the end of a program.

    Parameters:
        now: the current time, in seconds.
    """

    def __init__(self, now: float) -> None:
        self._credit_s = LINGER_S
        self._bytes = 0
        self._last_byte_at = now
        self._counted_at = now
        self._waits = False

    def count_bytes(self, now: float, size: int) -> None:
        """Count bytes that have come."""
        self._count(now)
        self._last_byte_at = now
        self._bytes += size
        self._credit_s += size / LINGER_BYTES_PER_S

    def makes_wait(self, now: float, *, waits: bool) -> None:
        """Note whether some output is not read now, because its reader is behind."""
        self._count(now)
        if self._waits:
            self._last_byte_at = now
        self._waits = waits

    @property
    def pause_s(self) -> float:
        """The longest allowed silence, in seconds."""
        return LONGER_PAUSE_S if self._bytes else PAUSE_S

    def silent_s(self, now: float) -> float:
        """The time without output, in seconds; 0 while the reader makes it wait."""
        return 0.0 if self._waits else now - self._last_byte_at

    def is_over(self, now: float) -> bool:
        """Whether reading must end although output still comes."""
        self._count(now)
        return self._bytes >= LINGER_BYTES or self._credit_s <= 0

    def _count(self, now: float) -> None:
        if not self._waits:
            self._credit_s -= now - self._counted_at
        self._counted_at = now
