"""What a node does with the requests of group calls, so that it executes each of them once at the most: without I/O and
without a clock.

A request may come twice: the caller's node sends it again if the broker has said that nobody got it. And a cancel may
come before its request, since they are handled apart.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Literal, TypeAlias

from .members import is_same_process

MEMORY_S = 60.0
"""How long a call is remembered after its deadline, in seconds: much longer than a request can be under way."""
MOST_CALLS = 100_000
"""The most calls that are remembered. A node that remembers so many refuses further ones."""

Decision: TypeAlias = Literal["begin", "repeated", "cancelled", "declined", "other process", "full"]
"""What to do with a request: ``begin`` to execute it; drop it silently, because it is ``repeated``; or refuse it:
because it was ``cancelled``, because the node has ``declined`` it, because it is for an ``other process`` of this node,
or because the memory is ``full``. A request of the last kind is not remembered; no broker repeats one by itself."""

_Fate: TypeAlias = Literal["begin", "cancelled", "declined"]


class Receiving:
    """The calls that a node has seen.

    Parameters:
        epoch: the number of a life of this process of the node. A later one of the same process needs no other memory.

    Attributes:
        epoch: the parameter.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self._fates: dict[str, _Fate] = {}
        self._ends: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._fates)

    def on_request(
        self, call: str, epoch: int, deadline_s: float, now_s: float, *, is_welcome: bool = True
    ) -> Decision:
        """Decide about a request. What is decided stays so if the request comes again.

        Parameters:
            call: the id of the call, which no other call has.
            epoch: the life of this node for which the request is. One of the same process will do: others may have
                taken it for dead meanwhile.
            deadline_s: the deadline of the call, on the clock of ``now_s``.
            now_s: the time.
            is_welcome: whether the node is ready to execute it: it has room, and is not leaving.

        Returns:
            The decision.
        """
        self._forget(now_s)
        if not is_same_process(epoch, self.epoch):
            return "other process"
        fate = self._fates.get(call)
        if fate is not None:
            return "repeated" if fate == "begin" else fate
        if len(self._fates) >= MOST_CALLS:
            return "full"
        return self._remember(call, deadline_s, "begin" if is_welcome else "declined")

    def on_cancel(self, call: str, epoch: int, deadline_s: float, now_s: float) -> bool:
        """Note that the caller has cancelled a call. If its request comes later, it will be refused.

        Parameters:
            call, epoch, deadline_s, now_s: as of :meth:`on_request`.

        Returns:
            Whether the call was begun, so that it must be stopped if it still runs.
        """
        self._forget(now_s)
        if not is_same_process(epoch, self.epoch):
            return False
        if call not in self._fates and len(self._fates) < MOST_CALLS:
            self._remember(call, deadline_s, "cancelled")
        return self._fates.get(call) == "begin"

    def _remember(self, call: str, deadline_s: float, fate: _Fate) -> _Fate:
        self._fates[call] = fate
        heappush(self._ends, (deadline_s + MEMORY_S, call))
        return fate

    def _forget(self, now_s: float) -> None:
        while self._ends and self._ends[0][0] <= now_s:
            del self._fates[heappop(self._ends)[1]]
