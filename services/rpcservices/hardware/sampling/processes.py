"""The processes, one list at a time or as they come, with shares of processors over the time between."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import psutil

from rpcservices.hardware.control import find
from rpcservices.hardware.errors import ProcessGone
from rpcservices.hardware.models import ProcessAttribute, ProcessDetails, ProcessList, ProcessSort
from rpcservices.hardware.readers import processes as reader
from rpcservices.hardware.readers.hidden import why_hidden
from rpcservices.hardware.readers.identity import start_of
from rpcservices.hardware.readers.processes import CpuUse

from .collector import LEAST_DT_S
from .fanout import Beat, closing
from .worker import Worker

_MOST_SINGLE = 256
"""Processes whose time is kept because they were asked for singly."""


@dataclass(frozen=True, slots=True)
class Query:
    """What to list.

    Attributes:
        attributes: of each process.
        sort: in which order.
        limit: the most to list.
        reveal: show command lines as they are.
    """

    attributes: frozenset[ProcessAttribute]
    sort: ProcessSort
    limit: int
    reveal: bool

    @property
    def measures(self) -> bool:
        """Whether shares of processors are asked for."""
        return "cpu_percent" in self.attributes or self.sort == "cpu_percent"


class ProcessesBeat(Beat[Query, ProcessList]):
    """Lists processes at one interval."""

    def __init__(self, processes: Processes, interval_s: float, ended: Callable[[], None]) -> None:
        super().__init__(interval_s, ended)
        self._processes = processes
        self._last: CpuUse | None = None

    async def begin(self) -> None:
        """Take the first reading, where anybody needs one."""
        if any(query.measures for query in self.followers):
            self._last = await self._processes.measure()

    async def joined(self, key: Query) -> None:
        """Take a reading where the first one joins who needs one."""
        if key.measures and self._last is None:
            self._last = await self._processes.measure()

    async def tick(self) -> None:
        """List once for each query."""
        # Nobody needs it any more: who comes later is not to get shares since long ago.
        if not any(query.measures for query in self.followers):
            self._last = None
        before, now = self._last, None
        for query, followers in list(self.followers.items()):
            listed, used = await self._processes.list_against(before, query)
            if now is None and query.measures:
                now = used
            for follower in list(followers):
                follower.put(listed)
        if now is not None:
            self._last = now


class Processes:
    """Lists of processes.

    Parameters:
        worker: where they are read.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._beats: dict[float, ProcessesBeat] = {}
        self._older: CpuUse | None = None
        self._newer: CpuUse | None = None
        self._single: OrderedDict[reader.Key, CpuUse] = OrderedDict()

    async def measure(self) -> CpuUse:
        """The processor time of all processes, as something to compare with."""
        use = await self._worker.run(lambda: reader.cpu_use(time.monotonic()))
        self._keep(use)
        return use

    def _keep(self, use: CpuUse) -> None:
        if use.used_s and (self._newer is None or use.t_mono_s - self._newer.t_mono_s >= LEAST_DT_S):
            self._older, self._newer = self._newer, use

    async def list(self, query: Query) -> ProcessList:
        """The processes now."""
        await self.baseline_or_measure()
        listed, _ = await self.list_against(None, query)
        return listed

    async def baseline_or_measure(self) -> CpuUse:
        """An earlier reading, or one that is taken now."""
        return self.baseline(time.monotonic()) or await self.measure()

    async def list_against(self, before: CpuUse | None, query: Query) -> tuple[ProcessList, CpuUse]:
        """The processes now, with shares since ``before``, or since a reading of our own choice."""

        def read() -> tuple[ProcessList, CpuUse]:
            now = time.monotonic()
            base = before or self.baseline(now)
            found, total, running, used = reader.processes(
                query.attributes, base, now, query.sort, query.limit, reveal=query.reveal
            )
            answer = ProcessList(
                t_mono_s=now,
                t_wall_s=time.time(),
                dt_s=None if base is None or not query.measures else now - base.t_mono_s,
                total=total,
                running=running,
                processes=found,
                reasons={"processes": hidden} if (hidden := why_hidden()) else {},
            )
            return answer, used

        answer, used = await self._worker.run(read)
        self._keep(used)
        return answer, used

    async def details(self, pid: int, create_time: float | None, *, reveal: bool) -> ProcessDetails:
        """Everything about one process, with its share since the list before, or since it was asked for before.

        Raises:
            ProcessGone: it has ended.
            ProcessDenied: the system hides it from the server's user.
        """
        await self.baseline_or_measure()

        def read() -> ProcessDetails:
            process = find(pid, create_time)
            now = time.monotonic()
            try:
                key = (pid, start_of(process))
                found, used = reader.details(process, self._baseline_of(key, now), now, reveal=reveal)
            except psutil.NoSuchProcess:
                raise ProcessGone(f"process {pid} has ended", pid=pid) from None
            self._keep_single(key, used)
            return found

        return await self._worker.run(read)

    def _baseline_of(self, key: reader.Key, now: float) -> CpuUse | None:
        """The younger one of what is known of a process."""
        listed, single = self.baseline(now), self._single.get(key)
        if single is None or (listed is not None and key in listed.used_s and listed.t_mono_s > single.t_mono_s):
            return listed
        return single

    def _keep_single(self, key: reader.Key, used: CpuUse) -> None:
        known = self._single.get(key)
        if known is None or used.t_mono_s - known.t_mono_s >= LEAST_DT_S:
            self._single[key] = used
            if len(self._single) > _MOST_SINGLE:
                self._single.popitem(last=False)

    def baseline(self, now: float) -> CpuUse | None:
        """An earlier reading: the younger one if it is old enough."""
        newer = self._newer
        if newer is None or self._older is None or now - newer.t_mono_s >= LEAST_DT_S:
            return newer
        return self._older

    async def follow(self, query: Query, interval_s: float) -> AsyncIterator[ProcessList]:
        """Lists, the first after about one interval."""
        beat = self._beats.get(interval_s)
        if beat is None:
            beat = self._beats[interval_s] = ProcessesBeat(self, interval_s, lambda: self._end(interval_s))
        async for listed in closing(beat.follow(query)):
            yield listed

    def _end(self, interval_s: float) -> None:
        del self._beats[interval_s]

    async def close(self) -> None:
        """End everything."""
        await asyncio.gather(*(beat.stop() for beat in list(self._beats.values())))
