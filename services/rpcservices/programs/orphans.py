"""Collects what programs leave behind. Orphans become children of this process (it is their subreaper), and would stay
as zombies once they end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import subprocess
from collections import OrderedDict

from . import processes
from .cgroups import Cgroup
from .processes import Process
from .tree import MARK

SOON_S = 1.0
LATER_S = 2.0
REMEMBERED = 4096
"""How many programs that have ended are remembered by their sessions."""


class Orphans:
    """Finds orphans of programs and collects them when they end. Other children of this process are left alone."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[int, str] = OrderedDict()
        self._found: set[tuple[int, int]] = set()
        self._suspects: set[tuple[int, int]] = set()
        self._foreign: set[tuple[int, int]] = set()
        self._groups: list[Cgroup] = []
        self._session = os.getsid(0)
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def left_by(self, pid: int, program_id: str, cgroup: Cgroup | None) -> None:
        """A program has ended, and may have left some, and with them its control group."""
        if cgroup is not None and not cgroup.remove():
            self._groups.append(cgroup)
        self._sessions[pid] = program_id
        self._sessions.move_to_end(pid)
        if len(self._sessions) > REMEMBERED:
            self._sessions.popitem(last=False)
        self._later(SOON_S)

    async def stop(self) -> None:
        """Look for the last time."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self._sweep(await asyncio.get_running_loop().run_in_executor(None, _children, os.getpid()))

    def _later(self, delay_s: float) -> None:
        if self._timer is None and not self._stopped:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._begin)

    def _begin(self) -> None:
        own = os.getpid()
        looking = asyncio.get_running_loop().run_in_executor(None, _children, own)
        looking.add_done_callback(lambda done: self._sweep(done.result()))

    def _sweep(self, children: list[tuple[Process, bool]]) -> None:
        self._timer = None
        still: set[tuple[int, int]] = set()
        suspects: set[tuple[int, int]] = set()
        for process, marked in children:
            key = process.pid, process.start
            if process.alive:
                if marked or key in self._found:
                    still.add(key)
            elif key in self._found or (process.session in self._sessions and process.session != process.pid):
                self._collect(process)
            elif process.session != self._session and key not in self._foreign:
                # It has ended before it was seen alive. Who runs programs with asyncio collects them at once; who holds
                # a Popen object may take its time.
                if key not in self._suspects:
                    suspects.add(key)
                elif _is_held(process.pid):
                    self._foreign.add(key)
                else:
                    self._collect(process)
        self._found, self._suspects = still, suspects
        self._groups = [cgroup for cgroup in self._groups if not cgroup.remove()]
        self._foreign.intersection_update({(process.pid, process.start) for process, _ in children})
        if still or suspects or self._groups:
            self._later(LATER_S)

    @staticmethod
    def _collect(process: Process) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)


def _children(own: int) -> list[tuple[Process, bool]]:
    """The children of this process, and whether each was started with the mark of a program."""
    return [(process, process.alive and _is_marked(process.pid)) for process in processes.children(own)]


def _is_held(pid: int) -> bool:
    """Whether somebody in this process has yet to ask for the exit code of a child."""
    return any(issubclass(type(each), subprocess.Popen) and each.pid == pid for each in gc.get_objects())


def _is_marked(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return any(entry.startswith(MARK.encode() + b"=") for entry in file.read().split(b"\0"))
    except OSError:
        return False
