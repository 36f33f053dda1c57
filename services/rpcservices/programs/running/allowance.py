"""What has ended counts no more: the kernel counts a process until its parent collects it (wait(2)), but a limit is
about those that run."""

from __future__ import annotations

from collections import deque

from .cgroups import Cgroup

LOOKS = 10
"""What has waited to be collected at so many looks one after the other is not just ending. A bomb leaves much behind,
too, and must not grow for that."""


class Allowance:
    """Raises the limit of a control group by what has ended in it, and waits to be collected.

    Parameters:
        cgroup: one that bounds its processes.
        most: how many may run in it.
    """

    def __init__(self, cgroup: Cgroup, most: int) -> None:
        self._cgroup = cgroup
        self._most = most
        self._ended: deque[int] = deque([0] * LOOKS, LOOKS)
        self._granted = 0

    def look(self) -> bool:
        """See how it is now.

        Returns:
            Whether more run than may.
        """
        running = self._cgroup.running()
        self._ended.append(max(self._cgroup.charged() - running, 0))
        granted = min(self._ended)
        if granted != self._granted:
            self._granted = granted
            self._cgroup.bound_processes(self._most + granted)
        return running > self._most
