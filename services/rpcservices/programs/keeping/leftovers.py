"""Ends what is left of programs that nobody looks after any more: their server was killed, or they have ended and left
processes behind. These are found by the program's mark, process and control group."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rpcservices.programs.running import processes, tree
from rpcservices.programs.running.cgroups import PREFIX, Cgroup, Controller, Places
from rpcservices.programs.running.killing import KILL_WAIT_S
from rpcservices.programs.running.launching import Start
from rpcservices.programs.running.processes import Process
from rpcservices.programs.running.spawning import SpawnedProgram
from rpcservices.programs.terms import MARK

POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Trace:
    """The facts by which a program is found again.

    Attributes:
        id: its name in calls, which is also its mark.
        pid, pid_start: its process, and the start of that in clock ticks since boot; 0 where they are not known.
        end_ticks: when that process ended, in clock ticks since boot; 0 while it runs, or where that is not known.
    """

    id: str
    pid: int = 0
    pid_start: int = 0
    end_ticks: int = 0


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What is left of some programs. All methods block for some milliseconds or more.

    Parameters:
        traces: the programs.
        places: the folders for their control groups, if they have any.
        reaper: a process all of whose children are to be ended, too; 0 for none.
    """

    traces: Sequence[Trace]
    places: Places = field(default_factory=Places)
    reaper: int = 0

    def find(self) -> list[Process]:
        """Find the living processes of these programs, without this process and those that it runs for others."""
        snapshot = list(processes.every())
        leaders = {(trace.pid, trace.pid_start) for trace in self.traces}
        marks = {trace.id for trace in self.traces}
        in_groups = set(self.in_cgroups())
        sessions = {p.pid for p in snapshot if (p.pid, p.start) in leaders}
        ended_sessions = self._ended_sessions(snapshot)
        own = os.getpid()
        roots = {
            p.pid
            for p in snapshot
            if p.pid != own
            and (
                p.pid in in_groups
                or p.session in sessions
                or p.start <= ended_sessions.get(p.session, -1)
                or (p.parent == self.reaper and self.reaper)
                or processes.mark(p.pid, MARK) in marks
            )
        }
        # A server may run inside such a program; it must not end itself.
        around = [p for p in snapshot if p.pid != own]
        return [process for process in processes.below(roots, around).values() if process.alive]

    def _ended_sessions(self, snapshot: Sequence[Process]) -> dict[int, int]:
        """Map each session whose leader, a program, has ended to the time of that end. A session keeps its id from
        others as long as a process is in it; after that another process may get the id."""
        in_use = {p.pid for p in snapshot if p.alive}
        return {trace.pid: trace.end_ticks for trace in self.traces if trace.end_ticks and trace.pid not in in_use}

    def find_names(self) -> set[str]:
        """Find the names of those programs of which a process is left."""
        snapshot = [process for process in processes.every() if process.alive]
        sessions, own = self._ended_sessions(snapshot), os.getpid()
        by_session = {trace.pid: trace.id for trace in self.traces}
        ids = {trace.id for trace in self.traces}
        ids_in_cgroups = {trace.id for trace in self.traces if Leftovers([trace], self.places).in_cgroups()}
        for process in snapshot:
            if process.pid == own:
                continue
            if process.start <= sessions.get(process.session, -1):
                ids_in_cgroups.add(by_session[process.session])
            elif (name := processes.mark(process.pid, MARK)) is not None:
                ids_in_cgroups.add(name)
        return ids_in_cgroups & ids

    def end(self, grace_s: float) -> list[int]:
        """End all of it: TERM, some time, KILL.

        Parameters:
            grace_s: the time between the two, in seconds; 0 to kill at once.

        Returns:
            The ids of processes that could not be ended.
        """
        deadline = time.monotonic() + grace_s
        living = self.find()
        targets = set(living)
        if grace_s > 0:
            tree.send(living, signal.SIGTERM)
            tree.send(living, signal.SIGCONT)  # A stopped process could not react to TERM.
            while living and time.monotonic() < deadline:
                time.sleep(POLL_S)
                living = self.find()
                targets.update(living)
        deadline = time.monotonic() + KILL_WAIT_S
        while True:
            for cgroup in self._cgroups():
                cgroup.kill()
            living = self.find()
            if not living or time.monotonic() >= deadline:
                _collect(targets)
                return [process.pid for process in living]
            targets.update(living)
            tree.send(living, signal.SIGKILL)
            time.sleep(POLL_S)

    def _cgroups(self) -> list[Cgroup]:
        groups = []
        for trace in self.traces:
            unified = _folder(self.places.unified, trace.id)
            legacy: dict[Controller, str] = {}
            for controller, parent in self.places.legacy.items():
                if folder := _folder(parent, trace.id):
                    legacy[controller] = folder
            cgroup = Cgroup(unified, legacy)
            if cgroup.folders:
                groups.append(cgroup)
        return groups

    def in_cgroups(self) -> list[int]:
        """List the processes in the control groups of these programs."""
        return [pid for cgroup in self._cgroups() for folder in cgroup.folders for pid in tree.in_cgroup(folder)]


def _collect(targets: Iterable[Process]) -> None:
    """Collect those that have become children of this process, because their parent was killed."""
    own = os.getpid()
    for pid, start in {(process.pid, process.start) for process in targets}:
        now = processes.read(pid)
        if now is not None and now.start == start and now.parent == own and not now.alive:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _folder(parent: str, program_id: str) -> str:
    """The control group of a program; empty where it has none there."""
    folder = f"{parent}/{PREFIX}{program_id}"
    return folder if parent and os.path.isdir(folder) else ""


def abandon(process: SpawnedProgram, program_id: str, cgroup: Cgroup | None, start: Start) -> None:
    """End a program that has just been started, and that nobody can look after.

    Parameters:
        process: the process, and our ends of its pipes, which this closes.
        program_id: its name in calls.
        cgroup: its control group, if it has one.
        start: the maker of its process.
    """
    for descriptor in (process.pidfd, process.stdin, process.stdout, process.stderr):
        if descriptor is not None:
            with contextlib.suppress(OSError):  # Some may be closed already.
                os.close(descriptor)
    if cgroup is not None:
        cgroup.kill()
    Leftovers([Trace(program_id, process.pid, process.start)]).end(0)
    start.let_go(process.ticket, process.pid)
    if cgroup is not None:
        cgroup.remove()
