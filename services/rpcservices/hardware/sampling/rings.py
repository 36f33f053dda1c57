"""Keeps the last points of many metrics in bounded memory."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping

from rpcservices.hardware.models import Point

_NOTHING = math.nan


class Ring:
    """The last points of many metrics at common moments.

    Parameters:
        step_s: the time that one point covers, in seconds.
        size: how many points are kept.
    """

    def __init__(self, step_s: float, size: int) -> None:
        self.step_s = step_s
        self.size = size
        self._count = 0
        self._times = array("d", bytes(8 * size))
        self._columns: dict[str, tuple[array[float], ...]] = {}

    @property
    def full(self) -> bool:
        """Whether new points replace the oldest ones."""
        return self._count > self.size

    @property
    def oldest(self) -> float | None:
        """The beginning of the oldest point, in seconds since 1970; ``None`` where there is none."""
        if not self._count:
            return None
        return self._times[max(self._count - self.size, 0) % self.size]

    def add(self, t_wall_s: float, points: Mapping[str, tuple[float, ...]], width: int) -> None:
        """Add the points of one moment.

        Parameters:
            t_wall_s: its beginning, in seconds since 1970.
            points: ``width`` figures for each metric; NaN for none.
        """
        position = self._count % self.size
        self._times[position] = t_wall_s
        nothing = (_NOTHING,) * width
        for name in points.keys() - self._columns.keys():
            self._columns[name] = tuple(array("d", [_NOTHING]) * self.size for _ in range(width))
        empty = []
        for name, columns in self._columns.items():
            for column, value in zip(columns, points.get(name, nothing), strict=True):
                column[position] = value
            # All points of this metric are gone: its device was unplugged long ago.
            if position == 0 and name not in points and all(math.isnan(v) for v in columns[0]):
                empty.append(name)
        for name in empty:
            del self._columns[name]
        self._count += 1

    def forget(self, name: str) -> None:
        """Drop all points of a metric."""
        self._columns.pop(name, None)

    def names(self) -> set[str]:
        """The metrics that have points."""
        return set(self._columns)

    def points(self, name: str, start_s: float, end_s: float) -> Iterator[Point]:
        """The points of a metric that begin in a piece of time, the oldest first."""
        columns = self._columns.get(name)
        if columns is None:
            return
        for number in range(max(self._count - self.size, 0), self._count):
            position = number % self.size
            if start_s <= self._times[position] <= end_s:
                figures = [None if math.isnan(column[position]) else column[position] for column in columns]
                mean, low, high = figures if len(figures) == 3 else figures * 3
                yield Point(t_wall_s=self._times[position], step_s=self.step_s, mean=mean, min=low, max=high)
