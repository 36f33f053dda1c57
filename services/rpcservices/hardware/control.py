"""Acts on processes, and on no others: a process is named by its number and the moment when it started.

A number alone is used again, and a program that has kept one for a while would act on a stranger (as happened to
others: nomad#23969, go-plugin#320). Here the process is first held by a file descriptor (pidfd_open(2)), which never
comes to mean another one; then its start is compared; and then the descriptor is used.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil

from rpcserver import InvalidParams
from rpcservices.signals import signal_number

from .errors import ProcessDenied, ProcessGone
from .readers.identity import start_of
from .readers.places import HERE, text

_T = TypeVar("_T")

SAME_START_S = 0.005
"""How far two readings of one start may be apart: half of the kernel's unit."""


def find(pid: int, create_time: float | None) -> psutil.Process:
    """The process of this number and start.

    Raises:
        ProcessGone: there is none.
        ProcessDenied: the system does not let the server look at it.
    """
    try:
        process = psutil.Process(pid)
        started = start_of(process)
    except psutil.NoSuchProcess:
        if _is_there(pid):
            raise _hidden(pid) from None
        raise ProcessGone(f"process {pid} has ended", pid=pid) from None
    except psutil.AccessDenied:
        raise _hidden(pid) from None
    # Not "is farther away": NaN is no distance away from anything.
    if create_time is not None and not abs(started - create_time) <= SAME_START_S:
        raise ProcessGone(
            f"process {pid} is another one by now: it began {abs(started - create_time):.2f} s "
            f"{'after' if started > create_time else 'before'} the one that was meant; list the processes anew",
            pid=pid,
        )
    return process


def _is_there(pid: int) -> bool:
    """Whether there is such a process, which ``/proc`` does not show."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False  # It is ours, and has ended in this moment.


def _hidden(pid: int) -> ProcessDenied:
    return ProcessDenied(
        f"process {pid}: the system hides it from the server's user (hidepid); run the server as the process's user or "
        "as root",
        pid=pid,
    )


@contextlib.contextmanager
def held(pid: int, create_time: float) -> Iterator[tuple[psutil.Process, int]]:
    """The process of this number and start, and a descriptor that means it and no other.

    Raises:
        ProcessGone: there is none.
        ProcessDenied: the system does not let the server look at it.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        raise ProcessGone(f"process {pid} has ended", pid=pid) from None
    try:
        yield find(pid, create_time), descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _failures(pid: int) -> Iterator[None]:
    try:
        yield
    except (psutil.NoSuchProcess, ProcessLookupError):
        raise ProcessGone(f"process {pid} has ended", pid=pid) from None
    except (psutil.AccessDenied, PermissionError):
        raise ProcessDenied(
            f"process {pid}: the server's user may not do that; run the server as the process's user or as root",
            pid=pid,
        ) from None


def send_signal(pid: int, create_time: float, name: str) -> None:
    """Send a signal.

    Raises:
        InvalidParams: there is no such signal.
        ProcessGone, ProcessDenied: as they say.
    """
    number = signal_number(name)
    with held(pid, create_time) as (_, descriptor), _failures(pid):
        signal.pidfd_send_signal(descriptor, number)


def set_priority(pid: int, create_time: float, nice: int) -> int:
    """Set the priority (setpriority(2)); returns the one that it has then.

    Raises:
        ProcessGone, ProcessDenied: as they say.
    """
    return _apply(pid, create_time, lambda process: process.nice(nice), lambda process: int(process.nice() or 0))


def set_affinity(pid: int, create_time: float, cpus: list[int]) -> list[int]:
    """Set the processors that a process may run on (sched_setaffinity(2)); returns those that it has then.

    Raises:
        InvalidParams: none of them can be used.
        ProcessGone, ProcessDenied: as they say.
    """
    try:
        return _apply(
            pid,
            create_time,
            lambda process: process.cpu_affinity(cpus),
            lambda process: list(process.cpu_affinity() or ()),
        )
    except (ValueError, OverflowError, OSError) as exc:
        if isinstance(exc, OSError) and exc.errno != errno.EINVAL:
            raise
        if _is_pinned(pid):
            raise ProcessDenied(
                f"process {pid} is a thread of the kernel that is bound to its processors: nobody may move it", pid=pid
            ) from None
        raise InvalidParams(
            f"cpus: none of these processors can be used; online are {_online()}",
            errors=[{"loc": ["cpus"], "msg": "no such processors"}],
        ) from None


def _online() -> str:
    """The numbers of the processors that are on, such as ``0,2-3`` (Documentation/admin-guide/cputopology.rst)."""
    return text(HERE.sys / "devices" / "system" / "cpu" / "online") or f"{psutil.cpu_count()}, from 0"


_PF_NO_SETAFFINITY = 0x0400_0000
"""Of a process's flags (include/linux/sched.h): nobody may change where it runs."""


def _is_pinned(pid: int) -> bool:
    """Whether a process is bound to its processors by the kernel itself (proc_pid_stat(5), field 9)."""
    said = text(Path(f"{psutil.PROCFS_PATH}/{pid}/stat")) or ""
    fields = said.rpartition(")")[2].split()  # The name before may hold anything.
    return len(fields) > 6 and bool(int(fields[6]) & _PF_NO_SETAFFINITY)


def _apply(
    pid: int, create_time: float, change: Callable[[psutil.Process], object], read: Callable[[psutil.Process], _T]
) -> _T:
    """Change something for which the system knows no call with a descriptor, but only with a number. The process is
    compared right before."""
    with held(pid, create_time) as (process, _), _failures(pid):
        change(process)
        return read(process)
