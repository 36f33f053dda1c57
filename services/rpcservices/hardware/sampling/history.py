"""The history of metrics in bounded memory: the last hour in fine steps, a day in coarse ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from rpcservices.hardware.models import Point, Series

from .patterns import Filter
from .rings import Ring


@dataclass
class _Bucket:
    begin_s: float
    figures: dict[str, list[float]] = field(default_factory=dict)
    """Sum, count, smallest and largest value, by metric."""


class History:
    """Keeps the history of metrics.

    Parameters:
        interval_s: time between two samples, in seconds.
        fine_s: how long every sample is kept, in seconds.
        coarse_step_s: the time that one coarse point covers, in seconds.
        coarse_s: how long coarse points are kept, in seconds.
        most_metrics: the most metrics to keep; more are left out.

    Attributes:
        left_out: how many metrics of the latest sample were left out.
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
            t_wall_s: the moment, in seconds since 1970.
            values: the value of each metric.
        """
        known_names = self.fine.names()
        free = self.most_metrics - len(known_names)
        values_to_keep: dict[str, float] = {}
        self.left_out = 0
        for name, value in values:
            if name not in known_names:
                if free <= 0:
                    self.left_out += 1
                    continue
                free -= 1
            if value is not None and math.isfinite(value):
                values_to_keep[name] = value
        self.fine.add(t_wall_s, {name: (value,) for name, value in values_to_keep.items()}, 1)
        self._add_coarse(t_wall_s, values_to_keep)

    def _add_coarse(self, t_wall_s: float, values: Mapping[str, float]) -> None:
        begin = t_wall_s // self.coarse.step_s * self.coarse.step_s
        if self._bucket is None or self._bucket.begin_s != begin:
            self._flush()
            self._bucket = _Bucket(begin)
        for name, value in values.items():
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
        """If there would be too many metrics, forget those of devices that are gone."""
        names, coming = self.coarse.names(), set(coming)
        excess = len(names | coming) - self.most_metrics
        oldest = sorted(names - coming - self.fine.names()) + sorted(names & self.fine.names() - coming)
        for name in oldest[: max(excess, 0)]:
            self.coarse.forget(name)

    def names(self) -> list[str]:
        """The metrics that are kept, in alphabetical order."""
        return sorted(self.fine.names() | self.coarse.names())

    def query(
        self, chosen_by: Filter, start_s: float, end_s: float, step_s: float | None, most_series: int
    ) -> Iterator[Series]:
        """Yield the points of some metrics, metric by metric: a caller that does other work in between holds up nobody.

        Parameters:
            chosen_by: chooses them.
            start_s, end_s: the piece of time, in seconds since 1970.
            step_s: the time that each point covers, in seconds; if ``None``, the finest that is kept.
            most_series: the most metrics to give.
        """
        names = list(filter(chosen_by.fits, self.names()))
        for name in names[:most_series]:
            points = self._points(name, start_s, end_s)
            if step_s is not None and step_s > self.fine.step_s:
                points = join_points(points, step_s)
            point_list = list(points)
            if point_list:
                yield Series(metric=name, step_s=min(point.step_s for point in point_list), points=point_list)

    def _points(self, name: str, start_s: float, end_s: float) -> Iterator[Point]:
        """Yield coarse points for the time before the oldest fine one, then the fine ones."""
        oldest = self.fine.oldest
        # A request for the whole fine time begins a little before the oldest fine point: that needs no coarse one.
        if oldest is not None and self.fine.full and start_s < oldest - 2 * self.fine.step_s:
            for point in self._coarse_points(name, start_s, end_s):
                if point.t_wall_s >= oldest:
                    break
                yield point
                start_s = point.t_wall_s + point.step_s
        yield from self.fine.points(name, start_s, end_s)

    def _coarse_points(self, name: str, start_s: float, end_s: float) -> Iterator[Point]:
        """Yield the coarse points that overlap a piece of time, also the one that is not complete."""
        step_s = self.coarse.step_s
        yield from self.coarse.points(name, start_s - step_s, end_s)
        bucket = self._bucket
        if bucket is not None and name in bucket.figures and start_s - step_s < bucket.begin_s <= end_s:
            total, count, low, high = bucket.figures[name]
            yield Point(t_wall_s=bucket.begin_s, step_s=step_s, mean=total / count, min=low, max=high)


def join_points(points: Iterable[Point], step_s: float) -> Iterator[Point]:
    """Join points into points of ``step_s`` seconds, each at a multiple of that. Points that cover more stay."""
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
    with_values = [point for point in group if point.mean is not None]
    # The mean is weighted by time.
    weight = sum(point.step_s for point in with_values)
    return Point(
        t_wall_s=group[0].t_wall_s // step_s * step_s,
        step_s=step_s,
        mean=sum((point.mean or 0.0) * point.step_s for point in with_values) / weight if with_values else None,
        min=min((point.min for point in with_values if point.min is not None), default=None),
        max=max((point.max for point in with_values if point.max is not None), default=None),
    )
