"""How many rows to take from a driver at a time, so that few bytes are held however wide the rows are."""

from __future__ import annotations

from collections.abc import Sequence
from sys import getsizeof
from typing import Any

FIRST_ROWS = 4
MOST_ROWS = 32
ROOM_BYTES = 2 * 1024 * 1024
"""What one fetch may hold, in Python's objects; the last slice may be beyond it."""


class Slices:
    """A fetch is taken in slices. The first is small, and each is as large as the width of the last allows, up to
    32 rows. Two rows of each slice are measured: all of them would take as long as reading them.

    Attributes:
        over: whether the driver has no more rows.
    """

    __slots__ = ("_left", "_most", "_room", "over")

    def __init__(self) -> None:
        self._most = FIRST_ROWS
        self._left = self._room = 0
        self.over = False

    def begin(self, limit: int) -> None:
        """A fetch of at most ``limit`` rows begins."""
        self._left, self._room = limit, ROOM_BYTES

    def wanted(self) -> int:
        """How many rows to take now; 0 once the fetch has enough."""
        return min(self._most, self._left) if self._room > 0 and not self.over else 0

    def took(self, rows: Sequence[tuple[Any, ...]], wanted: int) -> None:
        """The driver gave these rows, out of so many wanted."""
        count = len(rows)
        self.over = count < wanted
        if count and not self.over:
            width = max(sum(map(getsizeof, rows[0])), sum(map(getsizeof, rows[-1])))
            self._left -= count
            self._room -= width * count
            self._most = max(1, min(MOST_ROWS, ROOM_BYTES // (width + 1)))
