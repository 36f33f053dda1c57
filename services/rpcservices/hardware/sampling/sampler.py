"""The sampler. It reads each section once for all callers and followers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection

from rpcservices.hardware.models import Section, Snapshot

from .collector import Collector, Readings, SectionReading, assemble
from .fanout import Beat, closing

_GRID_S = 0.1
"""The step of the common grid. Beats of a second and more tick on it, so that they can share readings."""


class SharedReadings:
    """Readings that are shared by beats which tick at the same moment.

    Parameters:
        collector: takes the readings.
    """

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self._lock = asyncio.Lock()
        self._recent: dict[Section, SectionReading] = {}
        self._origin: float | None = None

    def align(self, moment_s: float) -> float:
        """The moment of the common grid nearest to a moment of the loop's clock."""
        if self._origin is None:
            self._origin = moment_s
        return self._origin + round((moment_s - self._origin) / _GRID_S) * _GRID_S

    async def collect(self, sections: Collection[Section]) -> Readings:
        """Read some sections, except those that another beat has just read."""
        async with self._lock:
            since = time.monotonic() - _GRID_S / 2
            readings: dict[Section, SectionReading] = {
                name: self._recent[name]
                for name in sections
                if name in self._recent and self._recent[name].t_mono_s >= since
            }
            fresh = await self.collector.collect([name for name in sections if name not in readings])
            self._recent.update(fresh)
            readings.update(fresh)
        return readings


class SectionsBeat(Beat[frozenset[Section], Snapshot]):
    """Reads all sections that are followed at one interval."""

    def __init__(self, readings: SharedReadings, interval_s: float, on_end: Callable[[], None]) -> None:
        super().__init__(interval_s, on_end)
        self._readings = readings
        self._collector = readings.collector
        self._fast = interval_s < 10 * _GRID_S
        self._with_rates = self._collector.with_rates
        self._last: dict[Section, SectionReading] = {}
        self._started_sections: set[Section] = set()

    def align(self, moment_s: float) -> float:
        """A moment on the common grid; a fast beat does not use the grid."""
        return moment_s if self._fast else self._readings.align(moment_s)

    async def on_join(self, key: frozenset[Section]) -> None:
        """Read at once the sections that nobody has followed so far, to have something to compare with."""
        new = key & self._with_rates - self._started_sections
        if new:
            self._started_sections |= new  # Before the reading, so that a hundred who join at once share it.
            readings = await self._collector.collect(new)
            for name in readings.keys() - self._last.keys():
                self._last[name] = readings[name]

    async def begin(self) -> None:
        """Take the first readings."""
        sections: frozenset[Section] = frozenset().union(*self.followers)
        self._started_sections |= sections
        self._last.update(await self._collector.collect(sections & self._with_rates))

    async def tick(self) -> None:
        """Read once, derive each section once, and give the same snapshot to all followers of the same sections."""
        sections: frozenset[Section] = frozenset().union(*self.followers)
        # Drop sections without a follower: the next follower must not get rates since a reading of long ago. This comes
        # before the reading, during which somebody may join.
        self._started_sections &= sections
        self._last = {name: reading for name, reading in self._last.items() if name in sections}
        now = await (self._collector if self._fast else self._readings).collect(sections)
        before = dict(self._last)
        self._last.update({name: reading for name, reading in now.items() if name in self._with_rates})
        answers = self._collector.derive_all(before, now)
        for subset, followers in list(self.followers.items()):
            if not subset <= now.keys():
                continue  # This follower joined during the reading, and gets the next one.
            own: Readings = {name: now[name] for name in subset}
            snapshot = assemble(before, own, {name: answers[name] for name in subset})
            for follower in followers:
                follower.put(snapshot)


class Sampler:
    """Gives snapshots, once or again and again."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._readings = SharedReadings(collector)
        self._beats: dict[float, SectionsBeat] = {}

    async def prime(self) -> None:
        """Take the first readings, so that the first caller gets rates."""
        await self._collector.collect(self._collector.with_rates)

    async def take(self, sections: Collection[Section]) -> Snapshot:
        """Read some sections now. Rates cover the time since an earlier reading, which any caller may have caused."""
        # Choose the baseline after the reading, which may have waited for others.
        now = await self._collector.collect(sections)
        before = self._collector.baseline(now)
        return assemble(before, now, self._collector.derive_all(before, now))

    async def follow(self, sections: frozenset[Section], interval_s: float) -> AsyncIterator[Snapshot]:
        """Yield snapshots of some sections, the first after about one interval, each with rates over one interval."""
        beat = self._beats.get(interval_s)
        if beat is None:
            beat = SectionsBeat(self._readings, interval_s, lambda: self._end(interval_s))
            self._beats[interval_s] = beat
        async for snapshot in closing(beat.follow(sections)):
            yield snapshot

    def _end(self, interval_s: float) -> None:
        del self._beats[interval_s]

    async def close(self) -> None:
        """End everything."""
        await asyncio.gather(*(beat.stop() for beat in list(self._beats.values())))
