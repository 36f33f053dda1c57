"""Turns this process into a program that gets SIGTERM when the process that has started it ends: prctl(2),
``PR_SET_PDEATHSIG``. It is run as a program, because a function between fork and exec is not safe with threads::

    python -I -S bound.py PARENT PROGRAM ARGUMENT...
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
NOT_RUNNABLE, NOT_THERE = 126, 127
"""The exit statuses of shells for a command that cannot be run, and for one that is not there."""


def become(parent: int, command: list[str]) -> int:
    """Become a program that ends with its parent, or return the exit status that says why not.

    Parameters:
        parent: the id of the parent, which may have ended already.
        command: the program, which is looked for in ``PATH``, and its arguments.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        return NOT_RUNNABLE
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and a program would inherit that.
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    except FileNotFoundError:
        status, reason = NOT_THERE, "there is no such command"
    except OSError as exc:
        status, reason = NOT_RUNNABLE, exc.strerror or str(exc)
    print(f"rpcclient: {command[0]}: {reason}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(become(int(sys.argv[1]), sys.argv[2:]))
