"""Counts durations by their length."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from itertools import accumulate

from .exposition import Family

CALL_BOUNDS_S = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
"""The upper bounds of the buckets for calls, in seconds."""

LAG_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""The upper bounds of the buckets for stalls of the event loop, in seconds."""


class Histogram:
    """Counts durations, many at a time: if there are more of them than buckets, sorting them and looking up the bounds
    takes less than to find the bucket of each.

    Parameters:
        bounds_s: the upper bounds of the buckets, in seconds, in ascending order.

    Attributes:
        count: the number of durations.
        sum_ns: their sum, in nanoseconds.
    """

    __slots__ = ("_bounds_ns", "_bounds_s", "_counts", "count", "sum_ns")

    def __init__(self, bounds_s: tuple[float, ...] = CALL_BOUNDS_S) -> None:
        self._bounds_s = bounds_s
        self._bounds_ns = [round(bound * 1e9) for bound in bounds_s]
        self._counts = [0] * (len(bounds_s) + 1)  # The last is for durations beyond all bounds.
        self.count = 0
        self.sum_ns = 0

    def add_all(self, durations_ns: list[int]) -> None:
        """Count durations.

        Parameters:
            durations_ns: the durations, in nanoseconds; the list may get sorted.
        """
        self.count += len(durations_ns)
        self.sum_ns += sum(durations_ns)
        counts = self._counts
        if len(durations_ns) < len(counts):
            for duration_ns in durations_ns:
                counts[bisect_left(self._bounds_ns, duration_ns)] += 1
            return
        durations_ns.sort()
        below = 0
        for index, bound in enumerate(self._bounds_ns):
            end = bisect_right(durations_ns, bound, below)
            counts[index] += end - below
            below = end
        counts[-1] += len(durations_ns) - below

    def show(self, family: Family, labels: Mapping[str, str] | None = None) -> None:
        """Add the metrics of the histogram.

        Parameters:
            family: the metrics of its name.
            labels: the labels.
        """
        own = {} if labels is None else labels
        for bound, below in zip(self._bounds_s, accumulate(self._counts), strict=False):
            family.add(below, {**own, "le": f"{bound:g}"}, "_bucket")
        family.add(self.count, {**own, "le": "+Inf"}, "_bucket")
        family.add(self.sum_ns / 1e9, own, "_sum")
        family.add(self.count, own, "_count")
