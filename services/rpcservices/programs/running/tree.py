"""What belongs to a program: its descendants, the rest of its session, and orphans that have left both."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rpcservices.programs.terms import MARK

from . import processes
from .processes import Process

COLLECTED_AT_A_TIME = 64
"""How many zombies may be collected before others have their turn: the end of one takes ten microseconds and more."""
COLLECT_PAUSE_S = 0.001
_PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> bool:
    """Have orphaned descendants handed to this process, so that none escapes by a double fork (prctl(2)).

    Returns:
        Whether the system allows it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    return hasattr(libc, "prctl") and libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def heed_signals() -> None:
    """Where this process ignores signals of a terminal, do nothing about them instead: programs inherit what is
    ignored (execve(2)), and one that is run by a server started with nohup could not be interrupted."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            if signal.getsignal(number) is signal.SIG_IGN:
                signal.signal(number, do_nothing)


def do_nothing(*_: object) -> None:
    """What is done about a signal that shall neither end this process nor be ignored by programs."""


@dataclass(frozen=True, slots=True)
class Root:
    """Where a tree begins.

    Attributes:
        pid: the program's process.
        start: when that started, in clock ticks since boot.
        program_id: the value of :data:`MARK` in its environment.
        alone: whether this process has no other children: then every orphan handed to it is of this tree.
        cgroup: a control group of its own; empty where it has none.
        ended: when the program's process ended, in clock ticks since boot; 0 while it runs.
        reaper: the process to which orphans of the tree are handed, where that is not this one.
    """

    pid: int
    start: int
    program_id: str
    alone: bool = False
    cgroup: str = ""
    ended: int = 0
    reaper: int = 0


def members(root: Root) -> list[Process]:
    """Everything of a tree, the program itself included, whether alive or waiting to be collected."""
    snapshot = list(processes.every())
    own = os.getpid()
    reapers = {own, root.reaper, 1}
    mark = f"{MARK}={root.program_id}".encode()
    leader = next((p for p in snapshot if p.pid == root.pid), None)
    reused = leader is not None and leader.start != root.start
    roots: set[int] = set(in_cgroup(root.cgroup))
    if leader is not None and not reused:
        roots.add(root.pid)
    for process in snapshot:
        if process.pid in roots or process.start < root.start or (reused and process.pid == root.pid):
            continue
        if process.session == root.pid:
            # Once the program was collected its id, and so its session's, may have gone to another.
            theirs = (leader is not None and not reused) or process.start <= root.ended
            if theirs or processes.has_mark(process.pid, mark):
                roots.add(process.pid)
        elif (process.parent == own and root.alone) or (
            process.parent in reapers and processes.has_mark(process.pid, mark)
        ):
            roots.add(process.pid)
    found = processes.below(roots, snapshot)
    found.pop(own, None)
    return list(found.values())


def grouped(root: Root) -> list[Process]:
    """The program and what is in its control group: all of a tree that nobody has moved elsewhere, found without
    looking at the whole system."""
    found = [processes.read(pid) for pid in {root.pid, *in_cgroup(root.cgroup)}]
    return [each for each in found if each is not None and (each.pid != root.pid or each.start == root.start)]


def in_cgroup(folder: str) -> Sequence[int]:
    """The processes in a control group; none where there is no such group."""
    if not folder:
        return ()
    with contextlib.suppress(OSError), open(os.path.join(folder, "cgroup.procs"), "rb") as file:
        return [int(line) for line in file]
    return ()


def send(found: Iterable[Process], signum: int) -> None:
    """Send a signal to each process that is still the one that was found, and to all of its group: the kernel does that
    at once, and no fork escapes it."""
    own = os.getpgid(0)
    groups: dict[int, bool] = {own: False}
    for process in found:
        if not process.alive:
            continue
        if process.group not in groups:
            now = processes.read(process.pid)
            same = now is not None and (now.start, now.group) == (process.start, process.group)
            if not same:
                continue
            groups[process.group] = _send_to_group(process.group, signum)
        if not groups[process.group]:
            processes.send(process.pid, process.start, signum)


def _send_to_group(group: int, signum: int) -> bool:
    try:
        os.killpg(group, signum)
    except OSError:
        return False
    return True


def collect(leader: int) -> bool:
    """Collect some of the children of this process that have ended, where all but one are orphans of one tree.

    Parameters:
        leader: the program itself, which is collected by whoever waits for it. While it is there, it hides others.

    Returns:
        Whether there may be more.
    """
    with contextlib.suppress(ChildProcessError):
        for _ in range(COLLECTED_AT_A_TIME):
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return False
            if ended.si_pid == leader:
                return True
            os.waitpid(ended.si_pid, os.WNOHANG)
        return True
    return False


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a tree takes of the machine at one moment.

    Attributes:
        processes: how many there are.
        memory_bytes: the memory that they share with no file.
    """

    processes: int
    memory_bytes: int


def footprint(found: Iterable[Process]) -> Footprint:
    """What the living among ``found`` take."""
    alive = [process for process in found if process.alive]
    return Footprint(len(alive), sum(processes.private_bytes(process.pid) for process in alive))
