"""Collects orphans of programs in this process. Normally the launcher gets the orphans, and a keeper those of its
program. But if one of these is killed, its children become children of this process, and would stay as zombies."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import OrderedDict

from rpcservices.programs.running import processes
from rpcservices.programs.running.cgroups import Cgroup, in_group_of_program
from rpcservices.programs.running.processes import Process
from rpcservices.programs.terms import MARK

SOON_S = 1.0
LATER_S = 2.0
MOST_ENDED_KEYS = 4096
"""How many ended programs are remembered."""

_Key = tuple[int, int]
"""A process: its id, and when it started."""


class Orphans:
    """Finds orphans of programs among the children of this process, and collects them when they have ended. It leaves
    alone the children of other parts of this process, and every child that could be one: the leader of a session that
    was never seen alive and is in no control group of a program."""

    def __init__(self) -> None:
        self._ended_keys: OrderedDict[_Key, None] = OrderedDict()
        self._orphans_seen: set[_Key] = set()
        self._groups: list[Cgroup] = []
        self._session = os.getsid(0)
        self._timer: asyncio.TimerHandle | None = None
        self._inherits = False
        self._is_stopped = False

    def left_by(self, pid: int, pid_start: int, cgroup: Cgroup | None) -> None:
        """Look for the orphans of a program that has ended, and remove its control group when they have gone.

        Parameters:
            pid, pid_start: its process.
            cgroup: its control group, if this process has made one.
        """
        if cgroup is not None and not cgroup.remove():
            self._groups.append(cgroup)
        self._ended_keys[pid, pid_start] = None
        if len(self._ended_keys) > MOST_ENDED_KEYS:
            self._ended_keys.popitem(last=False)
        self._later(SOON_S)

    def on_inherit(self) -> None:
        """Begin to look, because running programs have become children of this process."""
        self._inherits = True
        self._later(SOON_S)

    async def stop(self) -> None:
        """Look once more, and then stop."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self._sweep(await asyncio.get_running_loop().run_in_executor(None, _children, os.getpid()))

    def _later(self, delay_s: float) -> None:
        if self._timer is None and not self._is_stopped:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._begin)

    def _begin(self) -> None:
        own = os.getpid()
        looking = asyncio.get_running_loop().run_in_executor(None, _children, own)
        looking.add_done_callback(lambda task: self._sweep(task.result()))

    def _sweep(self, children: list[tuple[Process, bool]]) -> None:
        self._timer = None
        still: set[_Key] = set()
        for process, is_marked in children:
            key = process.pid, process.start
            if process.alive:
                if is_marked or key in self._orphans_seen:
                    still.add(key)
            elif key in self._orphans_seen or key in self._ended_keys or self._is_no_child(process):
                _collect(process.pid)
        self._orphans_seen = still
        self._groups = [cgroup for cgroup in self._groups if not cgroup.remove()]
        if still or self._groups or self._inherits:
            self._later(LATER_S)

    def _is_no_child(self, process: Process) -> bool:
        """Whether another process has certainly started it. A child that this process has started is in this session,
        or leads one of its own (setsid(2)), and is in no control group of a program."""
        return process.session not in (self._session, process.pid) or in_group_of_program(process.pid)


def _collect(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _children(own: int) -> list[tuple[Process, bool]]:
    """List the children of this process, and whether each was started with the mark of a program."""
    return [
        (process, process.alive and processes.mark(process.pid, MARK) is not None)
        for process in processes.children(own)
    ]
