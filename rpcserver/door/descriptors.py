"""Keeps file descriptors free for whoever is in: their programs need pipes, and the owner needs the Unix socket."""

from __future__ import annotations

import logging
import resource
import time
from pathlib import Path

logger = logging.getLogger("rpcserver")

RECOUNT = 16
"""After how many new sockets to count the descriptors again, where counting takes long."""

QUIET_S = 60.0
"""How long to log nothing more about few descriptors, in seconds."""

_LINUX = Path("/proc/self/fd")
_FOLDER = _LINUX if _LINUX.is_dir() else Path("/dev/fd")


class Descriptors:
    """Tells whether strangers have to give way, because few descriptors are free, whatever uses the others.

    Parameters:
        reserve: the number of descriptors that strangers leave free; a quarter of the limit if that is less.

    Attributes:
        reserve: as above.
    """

    def __init__(self, reserve: int) -> None:
        self.reserve = reserve
        self._count = 0
        self._until_recount = 0
        self._quiet_until = 0.0

    def are_short(self) -> bool:
        """Return whether a socket that was just accepted has taken one of the descriptors that strangers leave free."""
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)  # Each time, since prlimit(1) can change it.
        if limit == resource.RLIM_INFINITY or self._count_used() <= limit - min(self.reserve, limit // 4):
            return False
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET_S
            logger.warning(
                "connections that have not authenticated give way, because few of the %d open files that the system "
                "allows are free: raise the limit (ulimit -n, LimitNOFILE=)",
                limit,
            )
        return True

    def _count_used(self) -> int:
        # The number of a new descriptor does not tell: those that give way leave gaps, which are filled first.
        count = _FOLDER.stat().st_size if _FOLDER is _LINUX else 0  # proc_pid_fd(5): since Linux 6.2.
        if count:
            return count
        self._until_recount -= 1
        self._count += 1
        if self._until_recount <= 0:
            self._until_recount = RECOUNT
            try:
                self._count = sum(1 for _ in _FOLDER.iterdir())
            except OSError:  # There is no descriptor for the list.
                return 1 << 30
        return self._count
