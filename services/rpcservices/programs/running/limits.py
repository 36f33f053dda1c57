"""What a program may take of the machine, as resource limits of its processes (getrlimit(2))."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Collection, Sequence

from rpcservices.programs.terms import LimitName, LimitSet

LEAST_BYTES = 1024 * 1024
"""Memory that even the smallest program takes before it does anything."""


def rlimits(limits: LimitSet, uid: int, bounds: Collection[str] = ()) -> list[tuple[int, int, int]]:
    """What to set with setrlimit(2): resource, soft limit, hard limit.

    Parameters:
        limits: what is asked for.
        uid: the user as whom the program runs; the kernel counts processes by user, and root's not at all.
        bounds: the controllers by which a control group bounds its memory and its processes. Then the kernel says that
            this is why it ended; a program that cannot allocate ends for reasons of its own, and to count all that a
            user runs would hold up the start.
    """
    found: list[tuple[int, int, int]] = [(resource.RLIMIT_CORE, 0, resource.getrlimit(resource.RLIMIT_CORE)[1])]
    if limits.memory_bytes is not None and "memory" not in bounds:
        # Not RLIMIT_AS: runtimes reserve far more address space than they use.
        found.append((resource.RLIMIT_DATA, limits.memory_bytes, limits.memory_bytes))
    if limits.cpu_s is not None:
        seconds = max(1, int(limits.cpu_s + 0.999))
        found.append((resource.RLIMIT_CPU, seconds, seconds + 1))
    if limits.processes is not None and uid != 0 and "pids" not in bounds:
        most = _threads_of(uid) + limits.processes
        found.append((resource.RLIMIT_NPROC, most, most))
    if limits.open_files is not None:
        found.append((resource.RLIMIT_NOFILE, limits.open_files, limits.open_files))
    if limits.file_bytes is not None:
        found.append((resource.RLIMIT_FSIZE, limits.file_bytes, limits.file_bytes))
    return found


def _threads_of(uid: int) -> int:
    """Threads that a user has already: RLIMIT_NPROC counts them all."""
    found = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == uid:
                    found += len(os.listdir(f"/proc/{name}/task"))
    return found


def processors(limits: LimitSet, allowed: Sequence[int], *, in_group: bool = False) -> list[int]:
    """The processors to which a program is bound; empty for all.

    Parameters:
        limits: what is asked for.
        allowed: those that programs may use; empty for all that this process may use.
        in_group: whether a control group gives it its share. Otherwise it is bound to as many as that takes.
    """
    if limits.cpus is None or in_group:
        return list(allowed)
    mine = sorted(allowed or os.sched_getaffinity(0))
    wanted = max(1, int(limits.cpus + 0.999))
    return mine[:wanted] if wanted < len(mine) else list(allowed)


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
    """Whether a program that failed had come so near to its memory limit that this is why."""
    return limits.memory_bytes is not None and max(max_rss_bytes, LEAST_BYTES) >= limits.memory_bytes * 0.9
