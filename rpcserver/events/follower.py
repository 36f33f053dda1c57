"""What one client follows at many nodes: which of them to ask and when, what is lost, and what waits for the client.
Without I/O and without a clock.

Whatever happens between the nodes, two numbers tell it: each event has the epoch of its server's life and its own
number in that life, and each answer to a question has the number of the last one. An answer comes after the events that
were published before it. So a hole in the numbers is a loss, and so is an answer with a higher number than that of the
last event; a later epoch means that nobody knows what else there was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from rpcwire.publishing import EventPolicy

RENEW_S = 10.0
"""After this time nodes are asked again, in seconds."""
AGAIN_S = 1.0
"""After this time without an answer nodes are asked again, in seconds."""
MOST_EVENTS = 1_000
"""The most kinds of events of one node that are followed."""
QUEUE_BYTES = 4 << 20
"""The most bytes of events that wait for one client."""

NewsKind = Literal["event", "lost", "resync", "following", "refused", "gone"]
"""``event``; ``lost``: events that will not come, after the last one; ``resync``: the server has begun a new life, and
what was published between is not known; ``following``: a node tells its events from now on; ``refused``: it does not;
``gone``: it is not there any more."""


@dataclass(frozen=True, slots=True)
class Item:
    """What the client gets.

    Attributes:
        kind: what it is.
        node: the name of the node.
        id: its id.
        event: the full name of the event; "" for what concerns all of the node.
        epoch: the number of the life of the node's server; 0 where there is none.
        seq: the number of the event, or of the last one.
        time: when it was published, in seconds since 1970; 0 for what is no event.
        lost: how many events are lost before it, or after the last one (``lost``).
        value: the encoded value.
        reason: why (``refused``, ``gone``).
    """

    kind: NewsKind
    node: str
    id: int
    event: str = ""
    epoch: int = 0
    seq: int = 0
    time: float = 0.0
    lost: int = 0
    value: Any = None
    reason: str = ""


@dataclass(slots=True)
class _Target:
    """A node that is followed.

    Attributes:
        name: its name.
        life: the number of its life in the roster.
        ask_at: when to ask it next.
        is_following: whether it has said that it tells its events.
        refusals: what it has refused.
        last_seqs: for each event the epoch and the number of the last one.
    """

    name: str
    life: int
    ask_at: float
    is_following: bool
    refusals: Mapping[str, str]
    last_seqs: dict[str, tuple[int, int]]


_Key = tuple[int, str]
"""The id of a node, and the name of an event."""


class Follower:
    """What one client follows.

    Parameters:
        policy: what to do with an event for which there is no room. ``latest`` keeps the newest of each node and event.
        room: how many events may wait.

    Attributes:
        is_over: whether the policy is ``close``, and there was no room.
        way_losses: how many events have not arrived from their nodes.
        slow_losses: how many have, and found no room.
    """

    def __init__(self, policy: EventPolicy, room: int) -> None:
        self._policy = policy
        self._room = room
        self._targets: dict[int, _Target] = {}
        self._items: deque[Item] = deque()
        self._latest: dict[_Key, Item] = {}
        self._bytes = 0
        self._notes: dict[tuple[int, str, str], Item] = {}
        self._drops: dict[_Key, Item] = {}
        self.is_over = False
        self.way_losses = self.slow_losses = 0

    def __len__(self) -> int:
        return len(self._items) + len(self._latest) + len(self._notes) + len(self._drops)

    @property
    def targets(self) -> Iterable[int]:
        """The ids of the nodes that are followed."""
        return self._targets.keys()

    # --- who is there --------------------------------------------------------------------------------------------

    def set_target(self, number: int, name: str, life: int, now: float) -> None:
        """Follow a node, if that is not done already. One that has begun a new life is asked at once.

        Parameters:
            number: its id.
            name: its name.
            life: the number of its life in the roster.
            now: the time.
        """
        target = self._targets.get(number)
        if target is None:
            self._targets[number] = _Target(name, life, now, is_following=False, refusals={}, last_seqs={})
        else:
            target.name = name
            if life != target.life:
                target.life, target.ask_at = life, now

    def remove_target(self, number: int, reason: str) -> None:
        """Follow a node no more.

        Parameters:
            number: its id.
            reason: why, for a person.
        """
        target = self._targets.pop(number, None)
        if target is not None and target.is_following:
            self._note(Item("gone", target.name, number, reason=reason))
        for key in [key for key in self._drops if key[0] == number]:
            del self._drops[key]

    def ask_all(self, now: float) -> None:
        """Ask all nodes at once, because something may have been lost on the way."""
        for target in self._targets.values():
            target.ask_at = min(target.ask_at, now)

    def take_questions(self, now: float) -> list[int]:
        """Return the ids of the nodes to be asked now. They are asked again until they answer."""
        due = [number for number, target in self._targets.items() if target.ask_at <= now]
        for number in due:
            self._targets[number].ask_at = now + AGAIN_S
        return due

    # --- what comes in -------------------------------------------------------------------------------------------

    def on_mark(
        self, number: int, epoch: int, seqs: Mapping[str, int], refusals: Mapping[str, str], now: float
    ) -> None:
        """Take the answer of a node.

        Parameters:
            number: its id.
            epoch: the number of the life of its server.
            seqs: for each event that is followed the number of the last one.
            refusals: for each that is not, the reason; under the empty name, what holds for all.
            now: the time.
        """
        target = self._targets.get(number)
        if target is None:
            return
        target.ask_at = now + RENEW_S
        for name, reason in refusals.items():
            if target.refusals.get(name) != reason:
                self._note(Item("refused", target.name, number, name, epoch, reason=reason))
        target.refusals = dict(refusals)
        if not target.is_following and seqs:
            self._note(Item("following", target.name, number, epoch=epoch))
        target.is_following = bool(seqs)
        for name in [name for name in target.last_seqs if name not in seqs]:
            del target.last_seqs[name]
        for name, seq in seqs.items():
            known = target.last_seqs.get(name)
            if known is not None and not self._begin_life(target, number, name, epoch) and seq > known[1]:
                self.way_losses += seq - known[1]
                self._put(Item("lost", target.name, number, name, epoch, seq, lost=seq - known[1]))
            if known is None or (epoch, seq) > known:
                target.last_seqs[name] = epoch, seq

    def on_event(self, number: int, name: str, epoch: int, seq: int, time: float, value: bytes) -> None:
        """Take an event of a node.

        Parameters:
            number: the id of the node.
            name: the full name of the event.
            epoch: the number of the life of its server.
            seq: its number.
            time: when it was published.
            value: its value, encoded.
        """
        target = self._targets.get(number)
        if target is None:
            return
        known = target.last_seqs.get(name)
        if known is None and len(target.last_seqs) >= MOST_EVENTS:
            return  # No server has so many.
        if known is not None and (epoch, seq) <= known:
            return  # It has come before, or is of an earlier life.
        is_new = self._begin_life(target, number, name, epoch)
        lost = 0 if known is None or is_new else seq - known[1] - 1
        self.way_losses += lost
        target.last_seqs[name] = epoch, seq
        self._put(Item("event", target.name, number, name, epoch, seq, time, lost, value))

    def _begin_life(self, target: _Target, number: int, name: str, epoch: int) -> bool:
        """Return whether an event is of a later life than the last one, and tell the client."""
        known = target.last_seqs.get(name)
        if known is None or epoch <= known[0]:
            return False
        self._put(Item("resync", target.name, number, name, epoch))
        return True

    # --- what waits ----------------------------------------------------------------------------------------------

    def _note(self, item: Item) -> None:
        """Keep what is no event: the last of each kind, so that there are few."""
        key = item.id, item.event, "" if item.kind in ("following", "gone") else item.kind
        self._notes.pop(key, None)
        self._notes[key] = item

    def _put(self, item: Item) -> None:
        if self.is_over:
            return
        key = item.id, item.event
        if self._policy == "latest":
            before = self._latest.pop(key, None)
            if before is not None:
                self._drop(before)
            self._latest[key] = item
            self._bytes += _size(item)
            while self._bytes > QUEUE_BYTES and len(self._latest) > 1:
                self._drop(self._latest.pop(next(iter(self._latest))))
            return
        while self._items and (len(self._items) >= self._room or self._bytes + _size(item) > QUEUE_BYTES):
            if self._policy == "close":
                self.is_over = True
                return
            self._drop(self._items.popleft())
        self._items.append(item)
        self._bytes += _size(item)

    def _drop(self, item: Item) -> None:
        self._bytes -= _size(item)
        self.slow_losses += item.kind == "event"
        key = item.id, item.event
        before = self._drops.pop(key, None)
        lost = item.lost + (item.kind == "event") + (0 if before is None else before.lost)
        if lost:
            self._drops[key] = replace(item, kind="lost", time=0.0, value=None, lost=lost)

    def take(self) -> Item | None:
        """Return the next item for the client; ``None`` if there is none."""
        if self._notes:
            return self._notes.pop(next(iter(self._notes)))
        if self._items:
            item = self._items.popleft()
        elif self._latest:
            item = self._latest.pop(next(iter(self._latest)))
        elif self._drops:
            return self._drops.pop(next(iter(self._drops)))
        else:
            return None
        self._bytes -= _size(item)
        drop = self._drops.pop((item.id, item.event), None)
        return item if drop is None else replace(item, lost=item.lost + drop.lost)


def _size(item: Item) -> int:
    return 0 if item.value is None else len(item.value)
