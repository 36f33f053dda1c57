"""Acts on a process, and never on another one by mistake: a process is named by its number and the moment it started.

The system uses a number again after a process has ended, so a program that knows only the number may act on a stranger
(as happened to others: nomad#23969, go-plugin#320). Here we first open a file descriptor of the process
(pidfd_open(2)), which never stands for another one; then we compare its start; then we use the descriptor.
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
from .readers.identity import runs_as, start_of
from .readers.places import HERE, text

_T = TypeVar("_T")

SAME_START_S = 0.005
"""The largest difference between two readings of the same start: half of the kernel's unit."""


def find(pid: int, create_time: float | None, only_uid: int | None = None) -> psutil.Process:
    """Find the process of this number and start.

    Parameters:
        pid: its number.
        create_time: when it started; ``None`` for whichever has the number.
        only_uid: the user whose processes alone the caller may use; ``None`` for all users.

    Raises:
        ProcessGone: there is none.
        ProcessDenied: the system does not let the server look at it, or it is another user's.
    """
    try:
        process = psutil.Process(pid)
        start = start_of(process)
        is_allowed = only_uid is None or runs_as(process, only_uid)
    except psutil.NoSuchProcess:
        if _is_there(pid):
            raise _hidden_error(pid) from None
        raise ProcessGone(f"process {pid} has ended", pid=pid) from None
    except psutil.AccessDenied:
        raise _hidden_error(pid) from None
    # Before its start is compared: the error of that tells when it began.
    if not is_allowed:
        raise ProcessDenied(f"process {pid} is not your own, and your role allows no others", pid=pid)
    # Not "> SAME_START_S": every comparison with NaN is false.
    if create_time is not None and not abs(start - create_time) <= SAME_START_S:
        raise ProcessGone(
            f"process {pid} is another one by now: it began {abs(start - create_time):.2f} s "
            f"{'after' if start > create_time else 'before'} the one that was meant; list the processes anew",
            pid=pid,
        )
    return process


def _is_there(pid: int) -> bool:
    """Whether there is a process that ``/proc`` does not show."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False  # We may signal it, so it is not hidden: it has just ended.


def _hidden_error(pid: int) -> ProcessDenied:
    return ProcessDenied(
        f"process {pid}: the system hides it from the server's user (hidepid); run the server as the process's user or "
        "as root",
        pid=pid,
    )


@contextlib.contextmanager
def hold(pid: int, create_time: float, only_uid: int | None) -> Iterator[tuple[psutil.Process, int]]:
    """Give the process of this number and start, and a descriptor that stands for no other one. The parameters and
    errors are those of :func:`find`.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        raise ProcessGone(f"process {pid} has ended", pid=pid) from None
    try:
        yield find(pid, create_time, only_uid), descriptor
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


def send_signal(pid: int, create_time: float, name: str, *, only_uid: int | None = None) -> None:
    """Send a signal.

    Raises:
        InvalidParams: there is no such signal.
        ProcessGone: there is no such process.
        ProcessDenied: the system does not allow it.
    """
    number = signal_number(name)
    with hold(pid, create_time, only_uid) as (_, descriptor), _failures(pid):
        signal.pidfd_send_signal(descriptor, number)


def set_priority(pid: int, create_time: float, nice: int, *, only_uid: int | None = None) -> int:
    """Set the priority (setpriority(2)). Returns the priority that the process has then.

    Raises:
        ProcessGone: there is no such process.
        ProcessDenied: the system does not allow it.
    """
    return _apply(
        pid, create_time, only_uid, lambda process: process.nice(nice), lambda process: int(process.nice() or 0)
    )


def set_affinity(pid: int, create_time: float, cpus: list[int], *, only_uid: int | None = None) -> list[int]:
    """Set the processors that a process may run on (sched_setaffinity(2)). Returns those that it may run on then.

    Raises:
        InvalidParams: none of them can be used.
        ProcessGone: there is no such process.
        ProcessDenied: the system does not allow it.
    """
    try:
        return _apply(
            pid,
            create_time,
            only_uid,
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
"""A flag of a process (include/linux/sched.h): nobody may change the processors it runs on."""


def _is_pinned(pid: int) -> bool:
    """Whether a process is bound to its processors by the kernel itself (proc_pid_stat(5), field 9)."""
    stat = text(Path(f"{psutil.PROCFS_PATH}/{pid}/stat")) or ""
    fields = stat.rpartition(")")[2].split()  # The name before it may hold any character.
    return len(fields) > 6 and bool(int(fields[6]) & _PF_NO_SETAFFINITY)


def _apply(
    pid: int,
    create_time: float,
    only_uid: int | None,
    change: Callable[[psutil.Process], object],
    read: Callable[[psutil.Process], _T],
) -> _T:
    """Change something for which the system has no call with a descriptor, only one with a number. Right before that we
    compare the process."""
    with hold(pid, create_time, only_uid) as (process, _), _failures(pid):
        change(process)
        return read(process)
