"""The one sampler: whoever asks or follows, each section is read once for all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection

from rpcservices.hardware.models import Section, Snapshot

from .collector import Collector, Readings, Taken, assemble
from .fanout import Beat, closing

_GRID_S = 0.1
"""Beats of a second and more, which are multiples of this, fall together where they can."""


class Shared:
    """Readings that several beats share, which fall together.

    Parameters:
        collector: takes the readings.
    """

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self._lock = asyncio.Lock()
        self._recent: dict[Section, Taken] = {}
        self._origin: float | None = None

    def aligned(self, moment_s: float) -> float:
        """The moment of the common grid that is nearest to one of the loop's clock."""
        if self._origin is None:
            self._origin = moment_s
        return self._origin + round((moment_s - self._origin) / _GRID_S) * _GRID_S

    async def collect(self, sections: Collection[Section]) -> Readings:
        """Read some sections, those excepted that another beat has read a moment ago."""
        async with self._lock:
            since = time.monotonic() - _GRID_S / 2
            found: dict[Section, Taken] = {
                name: self._recent[name]
                for name in sections
                if name in self._recent and self._recent[name].t_mono_s >= since
            }
            taken = await self.collector.collect([name for name in sections if name not in found])
            self._recent.update(taken)
            found.update(taken)
        return found


class SectionsBeat(Beat[frozenset[Section], Snapshot]):
    """Reads, at one interval, all sections that anyone follows at this interval."""

    def __init__(self, shared: Shared, interval_s: float, ended: Callable[[], None]) -> None:
        super().__init__(interval_s, ended)
        self._shared = shared
        self._collector = shared.collector
        self._fast = interval_s < 10 * _GRID_S
        self._with_rates = self._collector.with_rates
        self._last: dict[Section, Taken] = {}
        self._begun: set[Section] = set()

    def aligned(self, moment_s: float) -> float:
        """On the grid of all beats, but for fast ones."""
        return moment_s if self._fast else self._shared.aligned(moment_s)

    async def joined(self, key: frozenset[Section]) -> None:
        """Read at once what nobody followed so far, to have something to compare with."""
        new = key & self._with_rates - self._begun
        if new:
            self._begun |= new  # Before it is read: a hundred who join at once need one reading.
            taken = await self._collector.collect(new)
            for name in taken.keys() - self._last.keys():
                self._last[name] = taken[name]

    async def begin(self) -> None:
        """Take the first readings."""
        wanted: frozenset[Section] = frozenset().union(*self.followers)
        self._begun |= wanted
        self._last.update(await self._collector.collect(wanted & self._with_rates))

    async def tick(self) -> None:
        """Read once, derive each section once, and give the same snapshot to all who follow the same sections."""
        wanted: frozenset[Section] = frozenset().union(*self.followers)
        # What nobody follows any more begins anew with the next follower: not with a reading of long ago. Before the
        # reading, in which somebody may join.
        self._begun &= wanted
        self._last = {name: taken for name, taken in self._last.items() if name in wanted}
        now = await (self._collector if self._fast else self._shared).collect(wanted)
        before = dict(self._last)
        self._last.update({name: taken for name, taken in now.items() if name in self._with_rates})
        answers = self._collector.derive_all(before, now)
        for sections, followers in list(self.followers.items()):
            if not sections <= now.keys():
                continue  # Somebody has joined while the reading was taken, and gets the next one.
            own: Readings = {name: now[name] for name in sections}
            snapshot = assemble(before, own, {name: answers[name] for name in sections})
            for follower in followers:
                follower.put(snapshot)


class Sampler:
    """Snapshots, one at a time or as they come."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._shared = Shared(collector)
        self._beats: dict[float, SectionsBeat] = {}

    async def prime(self) -> None:
        """Take the first readings, so that the first caller gets rates."""
        await self._collector.collect(self._collector.with_rates)

    async def take(self, sections: Collection[Section]) -> Snapshot:
        """Read some sections now. Rates are over the time since an earlier reading, whoever asked for that."""
        # The baseline is chosen after the reading, which may have had to wait for others.
        now = await self._collector.collect(sections)
        before = self._collector.baseline(now)
        return assemble(before, now, self._collector.derive_all(before, now))

    async def follow(self, sections: frozenset[Section], interval_s: float) -> AsyncIterator[Snapshot]:
        """Snapshots of some sections, the first after about one interval, each with rates over one interval."""
        beat = self._beats.get(interval_s)
        if beat is None:
            beat = SectionsBeat(self._shared, interval_s, lambda: self._end(interval_s))
            self._beats[interval_s] = beat
        async for snapshot in closing(beat.follow(sections)):
            yield snapshot

    def _end(self, interval_s: float) -> None:
        del self._beats[interval_s]

    async def close(self) -> None:
        """End everything."""
        await asyncio.gather(*(beat.stop() for beat in list(self._beats.values())))
