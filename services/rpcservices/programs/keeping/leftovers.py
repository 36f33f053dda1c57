"""Programs that nobody looks after any more: their server was killed, or they have ended and left something behind.
What is left of them is found by their mark, their process and their control group, and ended."""

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
from rpcservices.programs.running.spawning import Spawned
from rpcservices.programs.terms import MARK

POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Trace:
    """By what a program is found again.

    Attributes:
        id: its name in calls, which is its mark.
        pid, pid_start: its process, and when that started in clock ticks since boot; 0 where that is not known.
    """

    id: str
    pid: int = 0
    pid_start: int = 0


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What is left of some programs. All methods block for some milliseconds or more.

    Parameters:
        traces: which programs.
        places: where their control groups are, if they have any.
    """

    traces: Sequence[Trace]
    places: Places = field(default_factory=Places)

    def find(self) -> list[Process]:
        """The living processes, but for this one and those below it that are not theirs."""
        snapshot = list(processes.every())
        leaders = {(trace.pid, trace.pid_start) for trace in self.traces}
        marks = {trace.id for trace in self.traces}
        held = set(self._in_cgroups())
        sessions = {p.pid for p in snapshot if (p.pid, p.start) in leaders}
        own = os.getpid()
        roots = {
            p.pid
            for p in snapshot
            if p.pid != own and (p.pid in held or p.session in sessions or processes.mark(p.pid, MARK) in marks)
        }
        # Who starts a server in such a program does not want it to end itself.
        around = [p for p in snapshot if p.pid != own]
        return [process for process in processes.below(roots, around).values() if process.alive]

    def end(self, grace_s: float) -> list[int]:
        """End all of it: TERM, some time, KILL.

        Parameters:
            grace_s: the time between the two, in seconds; 0 to kill at once.

        Returns:
            The ids of those that could not be ended.
        """
        deadline = time.monotonic() + grace_s
        found = self.find()
        ended = set(found)
        if grace_s > 0:
            tree.send(found, signal.SIGTERM)
            tree.send(found, signal.SIGCONT)  # One that is stopped could not react.
            while found and time.monotonic() < deadline:
                time.sleep(POLL_S)
                found = self.find()
                ended.update(found)
        deadline = time.monotonic() + KILL_WAIT_S
        while True:
            for cgroup in self._cgroups():
                cgroup.kill()
            found = self.find()
            if not found or time.monotonic() >= deadline:
                _collect(ended)
                return [process.pid for process in found]
            ended.update(found)
            tree.send(found, signal.SIGKILL)
            time.sleep(POLL_S)

    def _cgroups(self) -> list[Cgroup]:
        found = []
        for trace in self.traces:
            unified = _folder(self.places.unified, trace.id)
            legacy: dict[Controller, str] = {}
            for controller, parent in self.places.legacy.items():
                if folder := _folder(parent, trace.id):
                    legacy[controller] = folder
            cgroup = Cgroup(unified, legacy)
            if cgroup.folders:
                found.append(cgroup)
        return found

    def _in_cgroups(self) -> list[int]:
        return [pid for cgroup in self._cgroups() for folder in cgroup.folders for pid in tree.in_cgroup(folder)]


def _collect(ended: Iterable[Process]) -> None:
    """Collect those that were handed to this process: whoever had started them was killed."""
    own = os.getpid()
    for pid, start in {(process.pid, process.start) for process in ended}:
        now = processes.read(pid)
        if now is not None and now.start == start and now.parent == own and not now.alive:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _folder(parent: str, program_id: str) -> str:
    """The control group of a program; empty where it has none there."""
    folder = f"{parent}/{PREFIX}{program_id}"
    return folder if parent and os.path.isdir(folder) else ""


def abandon(spawned: Spawned, program_id: str, cgroup: Cgroup | None, start: Start) -> None:
    """End a program that has just been started, and that nobody can look after.

    Parameters:
        spawned: its process, and our ends of its pipes, which are closed.
        program_id: its name in calls.
        cgroup: its control group, if it has one.
        start: has made it.
    """
    for descriptor in (spawned.pidfd, spawned.stdin, spawned.stdout, spawned.stderr):
        if descriptor is not None:
            with contextlib.suppress(OSError):  # Some may have been closed with what was to look after it.
                os.close(descriptor)
    if cgroup is not None:
        cgroup.kill()
    Leftovers([Trace(program_id, spawned.pid, spawned.start)]).end(0)
    start.let_go(spawned.ticket, spawned.pid)
    if cgroup is not None:
        cgroup.remove()
