"""Takes readings off the event loop, with a time limit for what may hang, and remembers those that rates need."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from rpcservices.hardware.models import Section, Snapshot
from rpcservices.hardware.readers.reasons import why

from .sections import SectionReader
from .worker import Worker

LEAST_DT_S = 0.5
"""A baseline for single calls is at least this old, if there is one: over a shorter time, shares of a processor say
little, since the kernel counts in hundredths of a second."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A reading of one section.

    Attributes:
        t_mono_s: when, on a monotonic clock, in seconds.
        reading: what was read; ``None`` where that failed.
        reason: why it failed.
    """

    t_mono_s: float
    reading: Any
    reason: str = ""


Readings = Mapping[Section, Taken]


class Collector:
    """Takes readings of sections.

    Parameters:
        readers: the sections.
        timeout_s: how long a slow section may take. What comes later counts as failed; the next reading waits for it.
    """

    def __init__(self, readers: Mapping[Section, SectionReader], timeout_s: float) -> None:
        self._readers = readers
        self._timeout_s = timeout_s
        self._fast = Worker("rpc-hardware")
        self._slow = {name: Worker(f"rpc-hardware-{name}") for name, reader in readers.items() if reader.slow}
        self._pending: dict[Section, asyncio.Future[Taken]] = {}
        self._older: dict[Section, Taken] = {}
        self._newer: dict[Section, Taken] = {}
        self.rounds = 0

    def close(self) -> None:
        """End the threads."""
        for worker in (self._fast, *self._slow.values()):
            worker.close()

    @property
    def with_rates(self) -> frozenset[Section]:
        """The sections that need two readings."""
        return frozenset(name for name, reader in self._readers.items() if reader.has_rates)

    async def collect(self, sections: Collection[Section]) -> Readings:
        """Read some sections at the same time."""
        self.rounds += 1
        quick: list[Section] = [name for name in sections if not self._readers[name].slow]
        slow: dict[Section, asyncio.Future[Taken]] = {
            name: self._begin(name) for name in sections if self._readers[name].slow
        }
        taken: dict[Section, Taken] = {}
        if quick:
            taken.update(await self._fast.run(lambda: {name: self._take(name) for name in quick}))
        if slow:
            await asyncio.wait(slow.values(), timeout=self._timeout_s)
        for name, future in slow.items():
            if future.done():
                taken[name] = future.result()
            else:
                taken[name] = Taken(time.monotonic(), None, f"failed: no answer within {self._timeout_s:g} s")
        for name, each in taken.items():
            self._keep(name, each)
        return taken

    def _begin(self, name: Section) -> asyncio.Future[Taken]:
        """A reading under way serves all who want one: what hangs is not asked a second time."""
        future = self._pending.get(name)
        if future is None:
            future = self._slow[name].run(lambda: self._take(name))
            self._pending[name] = future
            future.add_done_callback(lambda _: self._pending.pop(name, None))
        return future

    def _take(self, name: Section) -> Taken:
        begin = time.monotonic()
        try:
            return Taken(begin, self._readers[name].read())
        except Exception as exc:
            return Taken(begin, None, why(exc))

    def _keep(self, name: Section, taken: Taken) -> None:
        newer = self._newer.get(name)
        if taken.reading is None or not self._readers[name].has_rates:
            return
        if newer is None or taken.t_mono_s - newer.t_mono_s >= LEAST_DT_S:
            if newer is not None:
                self._older[name] = newer
            self._newer[name] = taken

    def baseline(self, readings: Readings) -> Readings:
        """For readings just taken, the earlier ones to compare them with: the youngest that are old enough, else the
        oldest."""
        found: dict[Section, Taken] = {}
        for name, now in readings.items():
            older, newer = self._older.get(name), self._newer.get(name)
            if newer is None:
                continue
            old_enough = now.t_mono_s - newer.t_mono_s >= LEAST_DT_S
            before = newer if old_enough or older is None else older
            if before.t_mono_s < now.t_mono_s:
                found[name] = before
        return found

    def derive(self, name: Section, before: Taken | None, now: Taken) -> Any:
        """The answer of one section; ``None`` where it could not be read."""
        if now.reading is None:
            return None
        if before is None or before.reading is None:
            return self._readers[name].derive(None, now.reading, None)
        return self._readers[name].derive(before.reading, now.reading, now.t_mono_s - before.t_mono_s)

    def derive_all(self, before: Readings, now: Readings) -> dict[str, Any]:
        """The answers of all sections that were read."""
        return {name: self.derive(name, before.get(name), taken) for name, taken in now.items()}


def assemble(before: Readings, now: Readings, answers: Mapping[str, Any]) -> Snapshot:
    """A snapshot of what was derived."""
    spans = [
        taken.t_mono_s - before[name].t_mono_s
        for name, taken in now.items()
        if name in before and before[name].reading is not None
    ]
    return Snapshot.model_construct(
        t_mono_s=min((taken.t_mono_s for taken in now.values()), default=time.monotonic()),
        t_wall_s=time.time(),
        dt_s=max(spans, default=None),
        **answers,
        reasons={name: taken.reason for name, taken in now.items() if taken.reading is None},
    )
