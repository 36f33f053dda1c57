"""Keeps the memory of the server's process from others: it holds tokens and passwords.

Other programs of the same user could read it in ``/proc`` and by ptrace(2), and a crash would write it to a file
(core(5)).
"""

from __future__ import annotations

import ctypes
import logging
import resource

logger = logging.getLogger("rpcserver")

_PR_SET_DUMPABLE = 4


def protect_memory() -> None:
    """Let no other process of this user read this one, and let a crash leave no core (prctl(2), PR_SET_DUMPABLE;
    setrlimit(2), RLIMIT_CORE). Root still may. The command ``rpcserver`` calls this; a program with a server in it
    decides for itself.

    What this process starts has neither: the flag ends with execve(2), and the hard limit of cores stays as it was.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl") and libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        logger.warning("other processes of this user can read the server's memory: prctl(PR_SET_DUMPABLE) failed")
