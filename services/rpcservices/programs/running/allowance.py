"""Makes a limit of processes count only those that run. The kernel also counts a process that has ended, until its
parent collects it (wait(2))."""

from __future__ import annotations

from collections import deque

from .cgroups import Cgroup

LOOKS = 10
"""The number of looks in a row at which ended processes must be there before the limit rises for them. A fork bomb also
leaves many behind for a moment, and must not grow because of them."""


class Allowance:
    """Raises the limit of a control group by the number of processes that have ended and were not collected.

    Parameters:
        cgroup: a control group that limits its processes.
        most: how many processes may run in it.
    """

    def __init__(self, cgroup: Cgroup, most: int) -> None:
        self._cgroup = cgroup
        self._most = most
        self._end_counts: deque[int] = deque([0] * LOOKS, LOOKS)
        self._grant = 0

    def look(self) -> bool:
        """Count the processes, and adapt the limit.

        Returns:
            Whether more processes run than may.
        """
        running = self._cgroup.running()
        self._end_counts.append(max(self._cgroup.count_tasks() - running, 0))
        grant = min(self._end_counts)
        if grant != self._grant:
            self._grant = grant
            self._cgroup.bound_processes(self._most + grant)
        return running > self._most
