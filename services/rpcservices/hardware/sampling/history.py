"""What the metrics were: the last hour finely, a day coarsely, in memory that is bounded."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from rpcservices.hardware.models import Point, Series

from .metrics import matches

_NOTHING = math.nan


class Ring:
    """The last points of many metrics along one line of time.

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
    def oldest(self) -> float | None:
        """When the oldest point that is kept begins, in seconds since 1970; ``None`` where there is none."""
        if not self._count:
            return None
        return self._times[max(self._count - self.size, 0) % self.size]

    def add(self, t_wall_s: float, points: Mapping[str, tuple[float, ...]], width: int) -> None:
        """Keep one moment.

        Parameters:
            t_wall_s: its beginning, in seconds since 1970.
            points: figures by metric, ``width`` of each; NaN for none.
        """
        position = self._count % self.size
        self._times[position] = t_wall_s
        nothing = (_NOTHING,) * width
        for name in points.keys() - self._columns.keys():
            self._columns[name] = tuple(array("d", [_NOTHING]) * self.size for _ in range(width))
        gone = []
        for name, columns in self._columns.items():
            for column, value in zip(columns, points.get(name, nothing), strict=True):
                column[position] = value
            # A device that was unplugged for so long that nothing is left of it makes room for others.
            if position == 0 and name not in points and all(math.isnan(v) for v in columns[0]):
                gone.append(name)
        for name in gone:
            del self._columns[name]
        self._count += 1

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
                yield Point(t_wall_s=self._times[position], mean=mean, min=low, max=high)


@dataclass
class _Bucket:
    begin_s: float
    figures: dict[str, list[float]] = field(default_factory=dict)
    """Sum, count, least and largest, by metric."""


class History:
    """Keeps metrics.

    Parameters:
        interval_s: time between two samples, in seconds.
        fine_s: how long every sample is kept, in seconds.
        coarse_step_s: the time that one coarse point covers, in seconds.
        coarse_s: how long coarse points are kept, in seconds.
        most_metrics: metrics beyond this many are left out.

    Attributes:
        left_out: how many were left out of the latest sample.
    """

    def __init__(
        self, *, interval_s: float, fine_s: float, coarse_step_s: float, coarse_s: float, most_metrics: int
    ) -> None:
        self.fine = Ring(interval_s, max(int(fine_s / interval_s), 1))
        self.coarse = Ring(coarse_step_s, max(int(coarse_s / coarse_step_s), 1))
        self.most_metrics = most_metrics
        self.left_out = 0
        self._bucket: _Bucket | None = None

    def record(self, t_wall_s: float, values: Iterable[tuple[str, float | None]]) -> None:
        """Keep a sample.

        Parameters:
            t_wall_s: when, in seconds since 1970.
            values: by metric.
        """
        known = self.fine.names()
        free = self.most_metrics - len(known)
        kept: dict[str, float] = {}
        self.left_out = 0
        for name, value in values:
            if name not in known:
                if free <= 0:
                    self.left_out += 1
                    continue
                free -= 1
            if value is not None and math.isfinite(value):
                kept[name] = value
        self.fine.add(t_wall_s, {name: (value,) for name, value in kept.items()}, 1)
        self._add_coarse(t_wall_s, kept)

    def _add_coarse(self, t_wall_s: float, kept: Mapping[str, float]) -> None:
        begin = t_wall_s // self.coarse.step_s * self.coarse.step_s
        if self._bucket is None or self._bucket.begin_s != begin:
            self._flush()
            self._bucket = _Bucket(begin)
        for name, value in kept.items():
            figures = self._bucket.figures.get(name)
            if figures is None:
                self._bucket.figures[name] = [value, 1.0, value, value]
            else:
                figures[0] += value
                figures[1] += 1.0
                figures[2] = min(figures[2], value)
                figures[3] = max(figures[3], value)

    def _flush(self) -> None:
        if self._bucket is not None:
            points = {name: (f[0] / f[1], f[2], f[3]) for name, f in self._bucket.figures.items()}
            self.coarse.add(self._bucket.begin_s, points, 3)

    def names(self) -> list[str]:
        """The metrics that are kept, in alphabetical order."""
        return sorted(self.fine.names() | self.coarse.names())

    def query(
        self, patterns: list[str], start_s: float, end_s: float, step_s: float | None, most_series: int
    ) -> list[Series]:
        """The points of some metrics.

        Parameters:
            patterns: their names, as :func:`~.metrics.matches` takes them.
            start_s, end_s: the piece of time, in seconds since 1970.
            step_s: coarse points where it is no shorter than theirs; fine ones where it is shorter, or where not given
                and all of the time is still finely known.
            most_series: the most metrics to give.
        """
        oldest = self.fine.oldest
        if step_s is None:
            coarse = oldest is None or (
                start_s < oldest and self.coarse.oldest is not None and self.coarse.oldest < oldest
            )
        else:
            coarse = step_s >= self.coarse.step_s
        ring = self.coarse if coarse else self.fine
        wanted = [name for name in sorted(ring.names()) if matches(name, patterns)]
        return [
            Series(metric=name, step_s=ring.step_s, points=list(ring.points(name, start_s, end_s)))
            for name in wanted[:most_series]
        ]
