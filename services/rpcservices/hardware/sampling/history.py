"""What the metrics were: the last hour finely, a day coarsely, in memory that is bounded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from rpcservices.hardware.models import Point, Series

from .metrics import matches
from .rings import Ring


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
            figures = list(self._bucket.figures.items())[: self.most_metrics]
            points = {name: (f[0] / f[1], f[2], f[3]) for name, f in figures}
            self._make_room(points.keys())
            self.coarse.add(self._bucket.begin_s, points, 3)

    def _make_room(self, coming: Iterable[str]) -> None:
        """Forget metrics of devices that are gone where there would be too many."""
        kept, coming = self.coarse.names(), set(coming)
        excess = len(kept | coming) - self.most_metrics
        gone = sorted(kept - coming - self.fine.names()) + sorted(kept & self.fine.names() - coming)
        for name in gone[: max(excess, 0)]:
            self.coarse.forget(name)

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
            step_s: the time that a point is to cover, in seconds; as fine as is known where not given.
            most_series: the most metrics to give.
        """
        wanted = [name for name in self.names() if matches(name, patterns)]
        found = []
        for name in wanted[:most_series]:
            points = self._points(name, start_s, end_s)
            if step_s is not None and step_s > self.fine.step_s:
                points = joined(points, step_s)
            kept = list(points)
            if kept:
                found.append(Series(metric=name, step_s=min(point.step_s for point in kept), points=kept))
        return found

    def _points(self, name: str, start_s: float, end_s: float) -> Iterator[Point]:
        """Coarse points for the time of which no fine ones are kept any more, then fine ones."""
        oldest = self.fine.oldest
        # A piece of time that is as long as the fine points are kept begins a little before the first of them.
        if oldest is not None and self.fine.full and start_s < oldest - 2 * self.fine.step_s:
            for point in self._coarse_points(name, start_s, end_s):
                if point.t_wall_s >= oldest:
                    break
                yield point
                start_s = point.t_wall_s + point.step_s
        yield from self.fine.points(name, start_s, end_s)

    def _coarse_points(self, name: str, start_s: float, end_s: float) -> Iterator[Point]:
        """Those that cover something of a piece of time, with the one under way."""
        step_s = self.coarse.step_s
        yield from self.coarse.points(name, start_s - step_s, end_s)
        bucket = self._bucket
        if bucket is not None and name in bucket.figures and start_s - step_s < bucket.begin_s <= end_s:
            total, count, low, high = bucket.figures[name]
            yield Point(t_wall_s=bucket.begin_s, step_s=step_s, mean=total / count, min=low, max=high)


def joined(points: Iterable[Point], step_s: float) -> Iterator[Point]:
    """Points of which each covers ``step_s`` seconds, and begins at a multiple of that. Those that cover more stay."""
    group: list[Point] = []
    for point in points:
        if group and point.t_wall_s // step_s != group[0].t_wall_s // step_s:
            yield _one(group, step_s)
            group = []
        if point.step_s >= step_s:
            yield point
        else:
            group.append(point)
    if group:
        yield _one(group, step_s)


def _one(group: list[Point], step_s: float) -> Point:
    known = [point for point in group if point.mean is not None]
    # A point that covers more time counts for more.
    weight = sum(point.step_s for point in known)
    return Point(
        t_wall_s=group[0].t_wall_s // step_s * step_s,
        step_s=step_s,
        mean=sum((point.mean or 0.0) * point.step_s for point in known) / weight if known else None,
        min=min((point.min for point in known if point.min is not None), default=None),
        max=max((point.max for point in known if point.max is not None), default=None),
    )
