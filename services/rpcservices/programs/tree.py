"""Ending a program means ending everything that it has started: its process group, its session, its descendants."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterable

import psutil

_PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> bool:
    """Have orphaned descendants handed to this process, so that none escapes by a double fork (prctl(2)).

    Returns:
        Whether the system allows it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    return hasattr(libc, "prctl") and libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def descendants(pid: int, mark: str) -> list[psutil.Process]:
    """All processes below ``pid``, and those that have left its tree: the rest of its session, and orphans.

    Parameters:
        pid: the program.
        mark: an environment entry, ``NAME=value``, that it and nothing else was started with.
    """
    found: dict[int, psutil.Process] = {}
    for orphan in _orphans(pid, mark):
        found[orphan.pid] = orphan
        with contextlib.suppress(psutil.Error):
            found.update({child.pid: child for child in orphan.children(recursive=True)})
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(pid).children(recursive=True):
            found[process.pid] = process
    for other in psutil.pids():
        if other in found or other == pid:
            continue
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(other) == pid:
                process = psutil.Process(other)
                found[other] = process
                for child in process.children(recursive=True):
                    found[child.pid] = child
    return list(found.values())


def _orphans(pid: int, mark: str) -> list[psutil.Process]:
    """Processes with the mark whose parents have ended: a subreaper has them as children of its own."""
    name, _, value = mark.partition("=")
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error, OSError):
            if child.pid != pid and child.environ().get(name) == value:
                found.append(child)
    return found


def send(pid: int, known: Iterable[psutil.Process], signum: int) -> None:
    """Send a signal to a program's group and to the processes of its tree that are not in it.

    Parameters:
        pid: the program, which leads its own group.
        known: its tree; a process whose id was taken over by another is left alone.
        signum: the signal.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signum)
    for process in known:
        with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
            if process.is_running() and os.getpgid(process.pid) != pid:
                process.send_signal(signum)


def alive(known: Iterable[psutil.Process]) -> list[int]:
    """The ids of those that still run."""
    found = []
    for process in known:
        with contextlib.suppress(psutil.Error):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def reap(known: Iterable[psutil.Process]) -> None:
    """Collect the orphans among ``known`` that were handed to this process and have ended."""
    for process in known:
        with contextlib.suppress(ChildProcessError, OSError):
            os.waitpid(process.pid, os.WNOHANG)


def signal_number(name: str) -> int | None:
    """The number of a signal by its name, with or without ``SIG``; ``None`` where there is no such signal."""
    try:
        return signal.Signals[name if name.startswith("SIG") else f"SIG{name}"].value
    except KeyError:
        return None
