"""Finds the processes of a program: its descendants, the rest of its session, and orphans that have left both."""

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
"""How many zombies to collect before other work: one takes ten microseconds or more."""
COLLECT_PAUSE_S = 0.001
_PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> bool:
    """Make orphaned descendants children of this process, so that none escapes by a double fork (prctl(2)).

    Returns:
        Whether the system allows it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    return hasattr(libc, "prctl") and libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def heed_signals() -> None:
    """Replace ignored signals of a terminal by a handler that does nothing. Programs inherit ignored signals
    (execve(2)), so without this nobody could interrupt a program of a server that was started with nohup."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            if signal.getsignal(number) is signal.SIG_IGN:
                signal.signal(number, do_nothing)


def do_nothing(*_: object) -> None:
    """Handle a signal that must not end this process, and that programs must not inherit as ignored."""


@dataclass(slots=True)
class Root:
    """The beginning of a tree of processes.

    Attributes:
        pid: the program's process.
        start: the start of that process, in clock ticks since boot.
        program_id: the value of :data:`MARK` in its environment.
        alone: whether this process has no other children, so that every orphan it gets belongs to this tree.
        cgroup: a control group of its own; empty where it has none.
        end_ticks: when the program's process ended, in clock ticks since boot; 0 while it runs.
        reaper: the process that gets the orphans of the tree, if that is not this one.
    """

    pid: int
    start: int
    program_id: str
    alone: bool = False
    cgroup: str = ""
    end_ticks: int = 0
    reaper: int = 0


def members(root: Root) -> list[Process]:
    """Find all processes of a tree, with the program itself, alive or waiting to be collected."""
    snapshot = list(processes.every())
    own = os.getpid()
    reapers = {own, root.reaper, 1}
    mark = f"{MARK}={root.program_id}".encode()
    leader = next((p for p in snapshot if p.pid == root.pid), None)
    is_reused = leader is not None and leader.start != root.start
    roots: set[int] = set(in_cgroup(root.cgroup))
    if leader is not None and not is_reused:
        roots.add(root.pid)
    for process in snapshot:
        if process.pid in roots or process.start < root.start or (is_reused and process.pid == root.pid):
            continue
        if process.session == root.pid:
            # After the program was collected, another process may have got its id, which is also the session's.
            theirs = (leader is not None and not is_reused) or process.start <= root.end_ticks
            if theirs or processes.has_mark(process.pid, mark):
                roots.add(process.pid)
        elif (process.parent == own and root.alone) or (
            process.parent in reapers and processes.has_mark(process.pid, mark)
        ):
            roots.add(process.pid)
    tree_members = processes.below(roots, snapshot)
    tree_members.pop(own, None)
    return list(tree_members.values())


def read_group(root: Root) -> list[Process]:
    """Read the program and the processes in its control group, without looking at the whole system. Only processes that
    somebody has moved to another group are missing."""
    group = [processes.read(pid) for pid in {root.pid, *in_cgroup(root.cgroup)}]
    return [each for each in group if each is not None and (each.pid != root.pid or each.start == root.start)]


def in_cgroup(folder: str) -> Sequence[int]:
    """The processes in a control group; none where there is no such group."""
    if not folder:
        return ()
    with contextlib.suppress(OSError), open(os.path.join(folder, "cgroup.procs"), "rb") as file:
        return [int(line) for line in file]
    return ()


def send(targets: Iterable[Process], signum: int) -> None:
    """Send a signal to each process that is still the same one, and to its whole process group: the kernel signals a
    group at once, so that no fork escapes."""
    own = os.getpgid(0)
    groups: dict[int, bool] = {own: False}
    for process in targets:
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
        leader: the program itself, which others wait for and collect. While it is there, it hides other ended children.

    Returns:
        Whether there may be more.
    """
    with contextlib.suppress(ChildProcessError):
        for _ in range(COLLECTED_AT_A_TIME):
            child = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if child is None:
                return False
            if child.si_pid == leader:
                return True
            os.waitpid(child.si_pid, os.WNOHANG)
        return True
    return False


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a tree uses of the machine at one moment.

    Attributes:
        processes: the number of its processes.
        memory_bytes: the memory that they share with no file.
    """

    processes: int
    memory_bytes: int


def footprint(targets: Iterable[Process]) -> Footprint:
    """Add up what the living processes among ``targets`` use."""
    alive = [process for process in targets if process.alive]
    return Footprint(len(alive), sum(processes.private_bytes(process.pid) for process in alive))
