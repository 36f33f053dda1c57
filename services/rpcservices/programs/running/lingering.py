"""How long to read on when a program has ended, and what it has left behind still holds its output open."""

from __future__ import annotations

PAUSE_S = 0.25
"""Where nothing comes for this time, nothing is waited for, unless somebody of the tree is at work."""
LONGER_PAUSE_S = 1.0
"""The same where something has come since the end."""
BUSY_PAUSE_S = 2.0
"""The same where somebody is: on a busy machine whoever writes may have to wait for a processor."""
LINGER_S = 10.0
LINGER_BYTES_PER_S = 1024 * 1024
LINGER_BYTES = 256 * 1024 * 1024
"""What comes without such a pause is read for :data:`LINGER_S`, and longer as long as so much comes in a second, until
it is so much. Time for which the reader makes it wait does not count."""


class Linger:
    """Counts what comes after the end of a program.

    Parameters:
        now: the time, in seconds.
    """

    def __init__(self, now: float) -> None:
        self._credit_s = LINGER_S
        self._bytes = 0
        self._heard = now
        self._counted = now
        self._waits = False

    def got(self, now: float, size: int) -> None:
        """So many bytes have come."""
        self._count(now)
        self._heard = now
        self._bytes += size
        self._credit_s += size / LINGER_BYTES_PER_S

    def makes_wait(self, now: float, *, waits: bool) -> None:
        """From now on some output is not read, as its reader is behind; or all is read again."""
        self._count(now)
        if self._waits:
            self._heard = now
        self._waits = waits

    @property
    def pause_s(self) -> float:
        """How long it may be silent."""
        return LONGER_PAUSE_S if self._bytes else PAUSE_S

    def silent_s(self, now: float) -> float:
        """For how long nothing has come that could have come."""
        return 0.0 if self._waits else now - self._heard

    def is_over(self, now: float) -> bool:
        """Whether it has come for long enough."""
        self._count(now)
        return self._bytes >= LINGER_BYTES or self._credit_s <= 0

    def _count(self, now: float) -> None:
        if not self._waits:
            self._credit_s -= now - self._counted
        self._counted = now
