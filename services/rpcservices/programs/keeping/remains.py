"""Notes what programs that have ended have left behind, and ends it when the server stops.

A program may leave processes that go on. They belong to it: they live as long as the server does. If the server was
killed, the next one reads in the notes (:mod:`.ledger`) what it must end.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from rpcservices.programs.running import processes
from rpcservices.programs.running.cgroups import Places
from rpcservices.programs.terms import MARK

from .ledger import Ledger
from .leftovers import Leftovers, Trace

SOON_S = 1.0
"""How long after the end of a program to look what it has left, in seconds: many ends are looked at together."""
MOST_S = 60.0
"""The longest time between two looks at what is still there, in seconds."""


class Remains:
    """What the ended programs of one server have left. All methods belong to the event loop's thread.

    Parameters:
        ledger: has a note on each program. It loses the note when nothing is left of the program.
        reaper: returns the process that gets the orphans of programs; 0 where there is none.
        running: returns the processes of the programs that run.
    """

    def __init__(self, ledger: Ledger, reaper: Callable[[], int], running: Callable[[], set[int]]) -> None:
        self._ledger = ledger
        self._reaper = reaper
        self._running = running
        self._places = Places()
        self._traces: dict[str, Trace] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.Future[list[Trace]] | None = None
        self._pause_s = SOON_S
        self._is_over = False

    def start(self, ledger: Ledger, places: Places) -> None:
        """Use these notes and these folders for control groups from now on."""
        self._ledger, self._places = ledger, places

    def add(self, trace: Trace, *, just_now: bool = True) -> None:
        """Add a program that has ended.

        Parameters:
            trace: its trace.
            just_now: whether it has ended in this moment, so that no other process can have its id yet.
        """
        self._traces[trace.id] = replace(trace, end_ticks=processes.ticks()) if just_now else trace
        self._pause_s = SOON_S
        self._later()

    def __len__(self) -> int:
        return len(self._traces)

    def _later(self) -> None:
        if self._timer is None and self._looking is None and not self._is_over:
            self._timer = asyncio.get_running_loop().call_later(self._pause_s, self._look)

    def _look(self) -> None:
        self._timer = None
        traces, running, reaper = list(self._traces.values()), self._running(), self._reaper()
        look = asyncio.get_running_loop().run_in_executor(None, self._strike_gone, traces, running, reaper)
        self._looking = look
        look.add_done_callback(self._on_looked)

    def _on_looked(self, look: asyncio.Future[list[Trace]]) -> None:
        self._looking = None
        if look.cancelled():
            return
        for trace in look.result():
            if self._traces.get(trace.id) == trace:
                del self._traces[trace.id]
        if self._traces:
            self._pause_s = min(self._pause_s * 2, MOST_S)
            self._later()

    def _strike_gone(self, traces: Sequence[Trace], running: set[int], reaper: int) -> list[Trace]:
        """Strike the notes on programs of which nothing is left, and return their traces. This runs in a thread."""
        gone_traces = list(traces)
        leftovers = Leftovers(traces, self._places)
        if has_orphans(reaper, running) or leftovers.in_cgroups():
            left = leftovers.find_names()
            gone_traces = [trace for trace in traces if trace.id not in left]
        for trace in gone_traces:
            self._ledger.strike(trace.id)
        return gone_traces

    async def end(self, grace_s: float) -> list[int]:
        """End everything that is left, and look no more.

        Parameters:
            grace_s: the time between TERM and KILL, in seconds.

        Returns:
            The ids of processes that could not be ended.
        """
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._looking is not None:
            await asyncio.wait([self._looking])
        traces = list(self._traces.values())
        survivors = await asyncio.get_running_loop().run_in_executor(None, Leftovers(traces, self._places).end, grace_s)
        if not survivors:
            for trace in traces:
                self._ledger.strike(trace.id)
            self._traces.clear()
        return survivors

    async def end_orphans(self, grace_s: float) -> list[int]:
        """End whatever the process that gets the orphans still has: processes that have hidden all marks. Call this
        when no program runs any more. The parameter and the result are those of :meth:`end`."""
        reaper = self._reaper()
        if not reaper:
            return []
        leftovers = Leftovers((), self._places, reaper=reaper)
        return await asyncio.get_running_loop().run_in_executor(None, leftovers.end, grace_s)


def has_orphans(reaper: int, running: set[int]) -> bool:
    """Return whether a process that gets orphans has any, or this one has. If not, no program has left anything: what
    it leaves becomes a child of one of them.

    Parameters:
        reaper: that process; 0 where there is none.
        running: the processes of programs that run.
    """
    if not reaper:
        return True  # Nobody knows.
    if any(child.alive and child.pid not in running for child in processes.children(reaper)):
        return True
    return any(
        child.alive and child.pid not in running and processes.mark(child.pid, MARK) is not None
        for child in processes.children(os.getpid())
    )
