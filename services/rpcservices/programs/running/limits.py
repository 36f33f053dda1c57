"""Turns the limits of a program into resource limits of its processes (getrlimit(2))."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Collection, Sequence

from rpcservices.programs.terms import LimitName, LimitSet

LEAST_BYTES = 1024 * 1024
"""The memory that even the smallest program needs to start."""


def rlimits(limits: LimitSet, uid: int, bounds: Collection[str] = ()) -> list[tuple[int, int, int]]:
    """The limits to set with setrlimit(2): resource, soft limit, hard limit.

    Parameters:
        limits: the limits of the program.
        uid: the user as whom the program runs. The kernel counts processes by user, but not root's.
        bounds: the controllers of a control group that limit the program as a whole. They replace limits for memory and
            processes here: with a group the kernel tells that the limit ended the program, and the start need not count
            all processes of the user.
    """
    settings: list[tuple[int, int, int]] = [(resource.RLIMIT_CORE, 0, resource.getrlimit(resource.RLIMIT_CORE)[1])]
    if limits.memory_bytes is not None and "memory" not in bounds:
        # Not RLIMIT_AS, because runtimes reserve far more address space than they use.
        settings.append((resource.RLIMIT_DATA, limits.memory_bytes, limits.memory_bytes))
    if limits.cpu_s is not None:
        seconds = max(1, int(limits.cpu_s + 0.999))
        settings.append((resource.RLIMIT_CPU, seconds, seconds + 1))
    if limits.processes is not None and uid != 0 and "pids" not in bounds:
        most = _threads_of(uid) + limits.processes
        settings.append((resource.RLIMIT_NPROC, most, most))
    if limits.open_files is not None:
        settings.append((resource.RLIMIT_NOFILE, limits.open_files, limits.open_files))
    if limits.file_bytes is not None:
        settings.append((resource.RLIMIT_FSIZE, limits.file_bytes, limits.file_bytes))
    return settings


def _threads_of(uid: int) -> int:
    """The number of threads of a user; RLIMIT_NPROC counts them all."""
    count = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == uid:
                    count += len(os.listdir(f"/proc/{name}/task"))
    return count


def processors(limits: LimitSet, choice: Sequence[int], *, in_group: bool = False) -> list[int]:
    """The processors to which a program is bound; empty for all.

    Parameters:
        limits: the limits of the program.
        choice: the processors that programs may use; empty for all that this process may use.
        in_group: whether a control group limits its share. Otherwise it is bound to so many processors.
    """
    if limits.cpus is None or in_group:
        return list(choice)
    mine = sorted(choice or os.sched_getaffinity(0))
    count = max(1, int(limits.cpus + 0.999))
    return mine[:count] if count < len(mine) else list(choice)


def by_signal(signum: int, cpu_used_s: float, limits: LimitSet) -> LimitName | None:
    """The limit that the kernel enforced by a signal; ``None`` where the signal came for another reason."""
    if limits.cpu_s is not None and (
        signum == signal.SIGXCPU or (signum == signal.SIGKILL and cpu_used_s >= limits.cpu_s)
    ):
        return "cpu"
    if limits.file_bytes is not None and signum == signal.SIGXFSZ:
        return "file"
    return None


def by_memory(max_rss_bytes: int, limits: LimitSet) -> bool:
    """Whether a failed program was so near to its memory limit that this must be the reason."""
    return limits.memory_bytes is not None and max(max_rss_bytes, LEAST_BYTES) >= limits.memory_bytes * 0.9
