"""Decides how many rows to take from a driver at a time, so that memory stays small however wide the rows are."""

from __future__ import annotations

from collections.abc import Sequence
from sys import getsizeof
from typing import Any

FIRST_ROWS = 4
MOST_ROWS = 32
ROOM_BYTES = 2 * 1024 * 1024
"""The memory that one fetch may fill with Python's objects; its last slice may exceed that."""


class Slices:
    """Divides a fetch into slices. The first one is small. Each further one is as large as the width of the last rows
    allows, 32 rows at most. Only two rows of each slice are measured: to measure all takes as long as to read them.

    Attributes:
        over: whether the driver has no more rows.
    """

    __slots__ = ("_left", "_most", "_room", "over")

    def __init__(self) -> None:
        self._most = FIRST_ROWS
        self._left = self._room = 0
        self.over = False

    def begin(self, limit: int) -> None:
        """Begin a fetch of at most ``limit`` rows."""
        self._left, self._room = limit, ROOM_BYTES

    def next_size(self) -> int:
        """The number of rows to take now; 0 once the fetch has enough."""
        return min(self._most, self._left) if self._room > 0 and not self.over else 0

    def record(self, rows: Sequence[tuple[Any, ...]], limit: int) -> None:
        """Note the rows that the driver gave when it was asked for ``limit`` rows."""
        count = len(rows)
        self.over = count < limit
        if count and not self.over:
            width = max(sum(map(getsizeof, rows[0])), sum(map(getsizeof, rows[-1])))
            self._left -= count
            self._room -= width * count
            self._most = max(1, min(MOST_ROWS, ROOM_BYTES // (width + 1)))
