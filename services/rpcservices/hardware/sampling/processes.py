"""Lists processes once or again and again, with shares of processors over the time between two lists."""

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
"""The most processes whose time is kept because a caller asked for their details."""


@dataclass(frozen=True, slots=True)
class Query:
    """What to list.

    Attributes:
        attributes: the attributes of each process.
        sort: the order.
        limit: the most to list.
        reveal: whether to show command lines with their secrets.
        only_uid: the user whose processes to list; ``None`` for all users.
    """

    attributes: frozenset[ProcessAttribute]
    sort: ProcessSort
    limit: int
    reveal: bool
    only_uid: int | None = None

    @property
    def measures(self) -> bool:
        """Whether the query asks for shares of processors."""
        return "cpu_percent" in self.attributes or self.sort == "cpu_percent"


class ProcessesBeat(Beat[Query, ProcessList]):
    """Lists processes at one interval."""

    def __init__(self, processes: Processes, interval_s: float, on_end: Callable[[], None]) -> None:
        super().__init__(interval_s, on_end)
        self._processes = processes
        self._last: CpuUse | None = None

    async def begin(self) -> None:
        """Take the first reading, if a follower needs one."""
        if any(query.measures for query in self.followers):
            self._last = await self._processes.measure()

    async def on_join(self, key: Query) -> None:
        """Take a reading, if this is the first follower that needs one."""
        if key.measures and self._last is None:
            self._last = await self._processes.measure()

    async def tick(self) -> None:
        """List once for each query."""
        # No follower needs it any more, and a later one must not get shares over a long time.
        if not any(query.measures for query in self.followers):
            self._last = None
        before, now = self._last, None
        if before is None and any(query.measures for query in self.followers):
            # Somebody is joining, and the first reading for them is not there yet. They get shares at the next tick.
            self._last = await self._processes.measure()
        for query, followers in list(self.followers.items()):
            if query.measures and before is None:
                continue
            answer, use = await self._processes.list_against(before, query)
            if now is None and query.measures:
                now = use
            for follower in list(followers):
                follower.put(answer)
        if now is not None:
            self._last = now


class Processes:
    """Lists of processes.

    Parameters:
        worker: the thread that reads them.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._beats: dict[float, ProcessesBeat] = {}
        self._older: CpuUse | None = None
        self._newer: CpuUse | None = None
        self._single: OrderedDict[reader.Key, CpuUse] = OrderedDict()

    async def measure(self) -> CpuUse:
        """Read the processor time of all processes, to compare with it later."""
        use = await self._worker.run(lambda: reader.cpu_use(time.monotonic()))
        self._keep(use)
        return use

    def _keep(self, use: CpuUse) -> None:
        if use.used_s and (self._newer is None or use.t_mono_s - self._newer.t_mono_s >= LEAST_DT_S):
            self._older, self._newer = self._newer, use

    async def list(self, query: Query) -> ProcessList:
        """List the processes now."""
        await self.baseline_or_measure()
        answer, _ = await self.list_against(None, query)
        return answer

    async def baseline_or_measure(self) -> CpuUse:
        """Return an earlier reading, or take one now."""
        return self.baseline(time.monotonic()) or await self.measure()

    async def list_against(self, before: CpuUse | None, query: Query) -> tuple[ProcessList, CpuUse]:
        """List the processes now, with shares since ``before``; if that is ``None``, since a kept reading."""

        def read() -> tuple[ProcessList, CpuUse]:
            now = time.monotonic()
            base = before or self.baseline(now)
            listing, total, running, use = reader.processes(
                query.attributes,
                base,
                now,
                query.sort,
                query.limit,
                reveal=query.reveal,
                only_uid=query.only_uid,
            )
            answer = ProcessList(
                t_mono_s=now,
                t_wall_s=time.time(),
                dt_s=None if base is None or not query.measures else now - base.t_mono_s,
                total=total,
                running=running,
                processes=listing,
                reasons={"processes": why} if (why := why_hidden()) else {},
            )
            return answer, use

        answer, use = await self._worker.run(read)
        self._keep(use)
        return answer, use

    async def details(
        self, pid: int, create_time: float | None, *, reveal: bool, only_uid: int | None = None
    ) -> ProcessDetails:
        """Read everything about one process, with its share since the last list or the last call for this process.

        Raises:
            ProcessGone: it has ended.
            ProcessDenied: the system hides it from the server's user, or it is not of ``only_uid``.
        """
        await self.baseline_or_measure()

        def read() -> ProcessDetails:
            process = find(pid, create_time, only_uid)
            now = time.monotonic()
            try:
                key = (pid, start_of(process))
                answer, use = reader.details(process, self._baseline_of(key, now), now, reveal=reveal)
            except psutil.NoSuchProcess:
                raise ProcessGone(f"process {pid} has ended", pid=pid) from None
            self._keep_single(key, use)
            return answer

        return await self._worker.run(read)

    def _baseline_of(self, key: reader.Key, now: float) -> CpuUse | None:
        """The later of the two kept readings of a process."""
        of_list, alone = self.baseline(now), self._single.get(key)
        if alone is None or (of_list is not None and key in of_list.used_s and of_list.t_mono_s > alone.t_mono_s):
            return of_list
        return alone

    def _keep_single(self, key: reader.Key, use: CpuUse) -> None:
        before = self._single.get(key)
        if before is None or use.t_mono_s - before.t_mono_s >= LEAST_DT_S:
            self._single[key] = use
            if len(self._single) > _MOST_SINGLE:
                self._single.popitem(last=False)

    def baseline(self, now: float) -> CpuUse | None:
        """A kept reading: the latest if it is old enough, else the one before."""
        newer = self._newer
        if newer is None or self._older is None or now - newer.t_mono_s >= LEAST_DT_S:
            return newer
        return self._older

    async def follow(self, query: Query, interval_s: float) -> AsyncIterator[ProcessList]:
        """Yield lists, the first after about one interval."""
        beat = self._beats.get(interval_s)
        if beat is None:
            beat = self._beats[interval_s] = ProcessesBeat(self, interval_s, lambda: self._end(interval_s))
        async for answer in closing(beat.follow(query)):
            yield answer

    def _end(self, interval_s: float) -> None:
        del self._beats[interval_s]

    async def close(self) -> None:
        """End everything."""
        await asyncio.gather(*(beat.stop() for beat in list(self._beats.values())))
