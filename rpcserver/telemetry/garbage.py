"""Measures how long Python's garbage collector holds everybody up."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from time import perf_counter_ns
from typing import Any

from .exposition import Family


class GarbageWatch:
    """Counts the collections in this process, and how long they take.

    Attributes:
        longest_ns: the longest collection, in nanoseconds.
    """

    def __init__(self) -> None:
        self.longest_ns = 0
        self._sum_ns = [0, 0, 0]
        self._began_ns = 0

    def start(self) -> None:
        """Begin to measure."""
        gc.callbacks.append(self._note)

    def stop(self) -> None:
        """Measure no more."""
        if self._note in gc.callbacks:
            gc.callbacks.remove(self._note)

    def _note(self, phase: str, info: dict[str, Any]) -> None:
        now = perf_counter_ns()
        if phase == "start":
            self._began_ns = now
        elif self._began_ns:
            duration_ns = now - self._began_ns
            self._sum_ns[info["generation"]] += duration_ns
            self.longest_ns = max(self.longest_ns, duration_ns)

    def families(self) -> Iterator[Family]:
        """Yield the metrics of the garbage collector, by generation."""
        collections = Family("rpcserver_gc_collections_total", "counter", "Runs of Python's garbage collector.")
        seconds = Family("rpcserver_gc_seconds_total", "counter", "Time that these runs have taken, in seconds.")
        uncollectable = Family("rpcserver_gc_uncollectable_total", "counter", "Objects that it could not free.")
        for generation, stats in enumerate(gc.get_stats()):
            labels = {"generation": str(generation)}
            collections.add(stats["collections"], labels)
            uncollectable.add(stats["uncollectable"], labels)
            seconds.add(self._sum_ns[generation] / 1e9, labels)
        yield from (collections, seconds, uncollectable)
        longest = Family("rpcserver_gc_longest_seconds", "gauge", "Longest run since the start, in seconds.")
        longest.add(self.longest_ns / 1e9)
        yield longest
