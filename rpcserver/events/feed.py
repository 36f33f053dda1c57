"""Numbers the events of one kind, and keeps for each follower what it has not taken yet: without I/O, without a clock
and without locks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rpcwire.publishing import Event, EventPolicy


class Queue:
    """The events that wait for one follower.

    Parameters:
        policy: what to do with an event for which there is no room.
        room: how many events may wait, at least 1.
        seq: the number of the last event that there was before.

    Attributes:
        last_seq: the number of the last event that the follower has taken.
        is_over: whether the policy is ``close``, and there was no room.
    """

    __slots__ = ("_items", "_policy", "_room", "is_over", "last_seq")

    def __init__(self, policy: EventPolicy, room: int, seq: int) -> None:
        self._policy = policy
        self._room = 1 if policy == "latest" else room
        self._items: deque[Event[Any]] = deque()
        self.last_seq = seq
        self.is_over = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, event: Event[Any]) -> bool:
        """Add an event, and return whether there was room: if not, one is lost to this follower."""
        if self.is_over:
            return True
        has_room = len(self._items) < self._room
        if not has_room:
            if self._policy == "close":
                self.is_over = True
                return False
            self._items.popleft()
        self._items.append(event)
        return has_room

    def take(self) -> Event[Any] | None:
        """Return the next event, which says how many are lost before it; ``None`` if none waits."""
        if not self._items:
            return None
        event = self._items.popleft()
        lost = event.seq - self.last_seq - 1
        self.last_seq = event.seq
        return replace(event, lost=lost) if lost else event


class Feed:
    """The events of one kind.

    Parameters:
        service: the name of the service.
        name: the name of the event.

    Attributes:
        service, name: the parameters.
        seq: the number of the last event; 0 if there was none.
        queues: what waits for each follower.
        on_interest: called when the first follower comes, and when the last one goes.
    """

    __slots__ = ("name", "on_interest", "queues", "seq", "service")

    def __init__(self, service: str, name: str) -> None:
        self.service, self.name = service, name
        self.seq = 0
        self.queues: list[Queue] = []
        self.on_interest: Callable[[bool], None] | None = None

    @property
    def full_name(self) -> str:
        """The name on the wire: ``service.event``."""
        return f"{self.service}.{self.name}"

    def join(self, policy: EventPolicy, room: int) -> Queue:
        """Add a follower, which gets what is published from now on.

        Parameters:
            policy, room: as of :class:`Queue`.
        """
        queue = Queue(policy, room, self.seq)
        self.queues.append(queue)
        return queue

    def leave(self, queue: Queue) -> None:
        """Remove a follower."""
        if queue in self.queues:
            self.queues.remove(queue)
