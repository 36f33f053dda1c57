"""Turns this process into a program that ends together with the process that has started it: prctl(2),
``PR_SET_PDEATHSIG``. The kernel sends the signal when the *thread* that has started it ends. It is run as a program::

    python -I -S bound.py PARENT PROGRAM ARGUMENT...

A function between fork and exec (``preexec_fn``) could do the same, but is not safe in a process with threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
ORPHAN_STATUS = 113
"""The exit status, if the parent has ended before."""


def become(parent: int, command: list[str]) -> None:
    """Become a program that gets SIGTERM when the parent ends.

    Parameters:
        parent: the id of the parent, which may have ended already.
        command: the path of the program, and its arguments.

    Raises:
        OSError: the program cannot be run.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(ORPHAN_STATUS)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
