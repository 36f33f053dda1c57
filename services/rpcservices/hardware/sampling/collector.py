"""Takes readings outside the event loop, with a time limit for those that may hang, and keeps those that rates need."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rpcservices.hardware.models import Section, Snapshot
from rpcservices.hardware.readers.reasons import why

from .sections import SectionReader
from .worker import Worker

LEAST_DT_S = 0.5
"""The least age of a baseline for single calls, if there is one so old. The kernel counts in hundredths of a second, so
shares of a processor over a shorter time would say little."""


_SLOW_S = 0.05
"""A section that takes longer gets a thread of its own, if it is one that may block (:attr:`SectionReader.slow`)."""

_PROMPT_S = 0.001
"""A section that takes less time, and that cannot block, is read without a thread: handing it over and back would take
as long as reading it."""


@dataclass(frozen=True, slots=True)
class SectionReading:
    """A reading of one section.

    Attributes:
        t_mono_s: the moment, on a monotonic clock, in seconds.
        reading: the values; ``None`` if reading failed.
        reason: why it failed.
    """

    t_mono_s: float
    reading: Any
    reason: str = ""


Readings = Mapping[Section, SectionReading]


class _Round:
    """Sections that a thread reads one after the other.

    Attributes:
        names: the sections.
        readings: the readings so far.
        current: the section that is being read; ``None`` before the first.
        is_abandoned: whether nobody waits for the rest any more.
    """

    def __init__(self, names: Sequence[Section]) -> None:
        self.names = names
        self.readings: dict[Section, SectionReading] = {}
        self.current: Section | None = None
        self.is_abandoned = False


class Collector:
    """Takes readings of sections. Sections that the kernel answers at once are read in the event loop. Those that were
    slow the last time have threads of their own. One thread reads all others; if a section hangs in it for the first
    time, a new thread goes on with the rest.

    Parameters:
        readers: the sections.
        timeout_s: how long a section may take. A later reading counts as failed; the next one waits for it.
    """

    def __init__(self, readers: Mapping[Section, SectionReader], timeout_s: float) -> None:
        self._readers = readers
        self._timeout_s = timeout_s
        self._worker = Worker("rpc-hardware")
        self._slow: dict[Section, Worker] = {}
        self._took_s: dict[Section, float] = {}
        self._pending: dict[Section, asyncio.Future[Any]] = {}
        self._due: dict[Section, float] = {}
        self._older: dict[Section, SectionReading] = {}
        self._newer: dict[Section, SectionReading] = {}
        self.rounds = 0

    def close(self) -> None:
        """End the threads."""
        for worker in (self._worker, *self._slow.values()):
            worker.close()

    @property
    def with_rates(self) -> frozenset[Section]:
        """The sections that need two readings."""
        return frozenset(name for name, reader in self._readers.items() if reader.has_rates)

    async def collect(self, sections: Collection[Section]) -> Readings:
        """Read some sections at the same time."""
        self.rounds += 1
        apart: dict[Section, asyncio.Future[Any]] = {
            name: self._begin(name) for name in sections if self._is_slow(name)
        }
        readings: dict[Section, SectionReading] = {}
        for name in sections:
            if name not in apart and (reading := self._take_at_once(name)) is not None:
                readings[name] = reading
        readings.update(await self._together([name for name in sections if name not in apart and name not in readings]))
        # A section that an earlier call has already waited for counts as late at once.
        if due := {future for name, future in apart.items() if time.monotonic() < self._due[name]}:
            await asyncio.wait(due, timeout=self._timeout_s)
        again: list[Section] = []
        for name, future in apart.items():
            result = future.result() if future.done() else self._late()
            if isinstance(result, SectionReading):
                readings[name] = result
            else:
                again.append(name)  # It hung in the common thread, and that has ended only now: read it again.
        readings.update(await self._together(again))
        for name, each in readings.items():
            self._keep(name, each)
        return readings

    def _late(self) -> SectionReading:
        return SectionReading(time.monotonic(), None, f"failed: no answer within {self._timeout_s:g} s")

    def _is_slow(self, name: Section) -> bool:
        return name in self._pending or (self._readers[name].slow and self._took_s.get(name, 0.0) > _SLOW_S)

    def _begin(self, name: Section) -> asyncio.Future[Any]:
        """Read a section in its own thread. All callers share a reading under way, so a section that hangs is not read
        a second time."""
        future = self._pending.get(name)
        if future is None:
            worker = self._slow.setdefault(name, Worker(f"rpc-hardware-{name}"))
            future = worker.run(lambda: self._take(name))
            self._wait_for(name, future, self._timeout_s)
        return future

    def _wait_for(self, name: Section, future: asyncio.Future[Any], limit_s: float) -> None:
        self._pending[name] = future
        self._due[name] = time.monotonic() + limit_s
        future.add_done_callback(lambda _: self._pending.pop(name, None))

    async def _together(self, names: Sequence[Section]) -> dict[Section, SectionReading]:
        """Read sections in the common thread."""
        readings: dict[Section, SectionReading] = {}
        while names:
            worker, one = self._worker, _Round(names)
            future = worker.run(partial(self._read_round, one))
            # wait(), not wait_for(): a task for the time limit would cost as much as a reading.
            if not (await asyncio.wait((future,), timeout=self._timeout_s))[0]:
                one.is_abandoned = True
                if worker is self._worker:
                    worker.close()
                    self._worker = Worker("rpc-hardware")
                hanging = one.current
                if hanging is not None and hanging not in one.readings:
                    readings[hanging] = self._late()
                    self._wait_for(hanging, future, 0.0)
            readings.update(one.readings)
            names = [name for name in names if name not in readings]
        return readings

    def _read_round(self, one: _Round) -> None:
        for name in one.names:
            if one.is_abandoned:
                return
            one.current = name
            one.readings[name] = self._take(name)

    def _take_at_once(self, name: Section) -> SectionReading | None:
        """Take a reading in the event loop; ``None`` if it may have to wait, or took long the last time."""
        read = self._readers[name].read_at_once
        if read is None or self._took_s.get(name, _SLOW_S) >= _PROMPT_S:
            return None
        reading = self._take(name, read)
        return None if reading.reading is None and not reading.reason else reading

    def _take(self, name: Section, read: Callable[[], Any] | None = None) -> SectionReading:
        begin = time.monotonic()
        try:
            return SectionReading(begin, (read or self._readers[name].read)())
        except Exception as exc:
            return SectionReading(begin, None, why(exc))
        finally:
            self._took_s[name] = time.monotonic() - begin

    def _keep(self, name: Section, reading: SectionReading) -> None:
        newer = self._newer.get(name)
        if reading.reading is None or not self._readers[name].has_rates:
            return
        if newer is None or reading.t_mono_s - newer.t_mono_s >= LEAST_DT_S:
            if newer is not None:
                self._older[name] = newer
            self._newer[name] = reading

    def baseline(self, readings: Readings) -> Readings:
        """Choose the earlier readings to compare new ones with: for each section the latest that is old enough, else
        the oldest."""
        earlier: dict[Section, SectionReading] = {}
        for name, now in readings.items():
            older, newer = self._older.get(name), self._newer.get(name)
            if newer is None:
                continue
            old_enough = now.t_mono_s - newer.t_mono_s >= LEAST_DT_S
            before = newer if old_enough or older is None else older
            if before.t_mono_s < now.t_mono_s:
                earlier[name] = before
        return earlier

    def derive(self, name: Section, before: SectionReading | None, now: SectionReading) -> Any:
        """The answer of one section; ``None`` where it could not be read."""
        if now.reading is None:
            return None
        if before is None or before.reading is None:
            return self._readers[name].derive(None, now.reading, None)
        return self._readers[name].derive(before.reading, now.reading, now.t_mono_s - before.t_mono_s)

    def derive_all(self, before: Readings, now: Readings) -> dict[str, Any]:
        """The answers of all sections that were read."""
        return {name: self.derive(name, before.get(name), reading) for name, reading in now.items()}


def assemble(before: Readings, now: Readings, answers: Mapping[str, Any]) -> Snapshot:
    """Build a snapshot from the answers."""
    spans = [
        reading.t_mono_s - before[name].t_mono_s
        for name, reading in now.items()
        if name in before and before[name].reading is not None
    ]
    return Snapshot.model_construct(
        t_mono_s=min((reading.t_mono_s for reading in now.values()), default=time.monotonic()),
        t_wall_s=time.time(),
        dt_s=max(spans, default=None),
        **answers,
        reasons={name: reading.reason for name, reading in now.items() if reading.reading is None},
    )
