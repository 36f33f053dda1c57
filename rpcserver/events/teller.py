"""The other end of following: which nodes want to hear events of this server for their clients, and whether they may.

A wish holds for some time only, and is repeated while somebody has it. So nothing is left of a node that is gone, and
rights that were taken back end with the next repetition.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from rpcserver.security.gate import denial
from rpcserver.security.roles import Roles
from rpcwire.codec import Codec, codec_for
from rpcwire.context import Principal
from rpcwire.errors import PermissionDenied, RpcError
from rpcwire.limits import ITEM_LEVELS
from rpcwire.publishing import Event, value_type
from rpcwire.registry import Offer, Registry
from rpcwire.values.wiretypes import WireType

from .board import Board
from .feed import Queue
from .messages import MOST_EVENTS, MOST_NUMBERS, Mark, News

logger = logging.getLogger("rpcserver.events")

WISH_S = 35.0
"""How long a wish holds if it is not repeated, in seconds."""
CHECK_S = 10.0
"""How often it is looked whether a client may still have what it gets, in seconds."""
ROOM = 10_000
"""How many events of one kind wait for the turn of the event loop that sends them."""
MOST_WISHES = 100_000
"""The most wishes of all nodes."""

PACKED: Codec = codec_for("rpc.v1.msgpack")
TEXT: Codec = codec_for("rpc.v1.json")
"""The two forms of values."""


@dataclass(slots=True)
class _Wish:
    """A wish of a client of another node.

    Attributes:
        names: the events that it gets.
        refusals: why it does not get others.
        is_packed: in which form.
        until: when it ends.
        principal: the client.
        check_at: when to look next whether it may still have them.
    """

    names: frozenset[str]
    refusals: dict[str, str]
    is_packed: bool
    until: float
    principal: Principal
    check_at: float


class _Channel:
    """An event that is told to others.

    Parameters:
        offer: the method that answers with a stream of it.
        queue: what waits to be sent.
    """

    def __init__(self, offer: Offer, queue: Queue) -> None:
        self.offer = offer
        self.queue = queue

    @cached_property
    def value(self) -> WireType:
        """Encodes values."""
        declaration = self.offer.spec.options.event
        assert declaration is not None
        return WireType(value_type(declaration))


_Key = tuple[int, int]
"""The id of a node, and the number of the wish there."""


class Teller:
    """The wishes of other nodes, and of this one for clients that follow several nodes.

    Parameters:
        board: the events of this server.
        registry: its methods.
        roles: who may do what.
        epoch: returns the number of the life of this server.
        send: sends events to a node; only called within :meth:`tell`.
    """

    def __init__(
        self,
        board: Board,
        registry: Registry,
        roles: Roles,
        epoch: Callable[[], int],
        send: Callable[[int, News], None],
    ) -> None:
        self._board = board
        self._registry = registry
        self._roles = roles
        self._epoch = epoch
        self._send = send
        self._wishes: dict[_Key, _Wish] = {}
        self._wishes_of: dict[str, dict[_Key, _Wish]] = {}  # By the name of the event: publishing looks at no other.
        self._counts: Counter[int] = Counter()  # How many each node has.
        self._channels: dict[str, _Channel] = {}

    def __len__(self) -> int:
        return len(self._wishes)

    def follow(
        self,
        source: int,
        number: int,
        names: Iterable[str] | None,
        principal: Principal,
        now: float,
        *,
        is_packed: bool,
    ) -> Mark:
        """Enter a wish, or repeat it.

        Parameters:
            source: the id of the node.
            number: tells the wish from others of that node.
            names: the full names of the events; ``None`` for all that the client may follow.
            principal: the client.
            now: the time.
            is_packed: whether values are wanted as MessagePack.

        Returns:
            The answer, to be sent after what :meth:`tell` has sent meanwhile.
        """
        key = source, number
        if not self.has_room_for(source, number):
            text = f"the node tells events to {MOST_NUMBERS} clients of that node already"
            return Mark(number, self._epoch(), {}, {"": text})
        offers, refusals = self._decide(names, principal)
        self._remove(key)
        if offers:
            wish = _Wish(frozenset(offers), refusals, is_packed, now + WISH_S, principal, now + CHECK_S)
            self._add(key, wish)
        seqs = {}
        for name, offer in offers.items():
            if name not in self._channels:
                queue = self._board.join(self._board.feeds[name], "drop_oldest", ROOM, partial(self.tell, name))
                self._channels[name] = _Channel(offer, queue)
            self.tell(name)
            seqs[name] = self._channels[name].queue.last_seq
        self._forget_feeds()
        return Mark(number, self._epoch(), seqs, refusals)

    def repeat_marks(self) -> list[tuple[int, Mark]]:
        """Return for each wish its node and the answer to it, as it would be now: events may have been lost."""
        marks = []
        for (source, number), wish in self._wishes.items():
            for name in wish.names:
                self.tell(name)
            seqs = {name: self._channels[name].queue.last_seq for name in wish.names}
            marks.append((source, Mark(number, self._epoch(), seqs, wish.refusals)))
        return marks

    def unfollow(self, source: int, number: int) -> None:
        """End a wish."""
        if self._remove((source, number)):
            self._forget_feeds()

    def expire(self, now: float, may_stay: Callable[[int, Principal], bool]) -> None:
        """End the wishes that were not repeated, and rights that were taken back: a node that does not repeat a wish
        must not keep it.

        Parameters:
            now: the time.
            may_stay: returns whether a node may still vouch for a client.
        """
        for key, wish in list(self._wishes.items()):
            if wish.until <= now:
                self._remove(key)
            elif wish.check_at <= now:
                wish.check_at = now + CHECK_S
                offers = self._decide(wish.names, wish.principal)[0] if may_stay(key[0], wish.principal) else {}
                if offers.keys() != wish.names:
                    self._remove(key)
                    if offers:
                        self._add(key, replace(wish, names=frozenset(offers)))
        self._forget_feeds()

    def count_of(self, name: str) -> int:
        """Return how many clients of nodes have wished an event.

        Parameters:
            name: its full name.
        """
        return len(self._wishes_of.get(name, ()))

    def tells(self, name: str) -> bool:
        """Return whether an event is told to nodes, which is one follower of its feed."""
        return name in self._channels

    def tell(self, name: str) -> None:
        """Send the events of one kind that wait."""
        channel = self._channels.get(name)
        while channel is not None and (event := self._board.take(channel.queue)) is not None:
            self._tell(name, channel, event)

    def _tell(self, name: str, channel: _Channel, event: Event[Any]) -> None:
        readers: dict[tuple[int, bool], list[int]] = {}
        for (source, number), wish in self._wishes_of.get(name, {}).items():
            readers.setdefault((source, wish.is_packed), []).append(number)
        bodies: dict[bool, bytes] = {}
        for (source, is_packed), numbers in readers.items():
            if is_packed not in bodies:
                try:
                    bodies[is_packed] = channel.value.dump(event.value, PACKED if is_packed else TEXT, ITEM_LEVELS)
                except ValueError:
                    logger.exception("an event %s has a value that cannot be sent: it is lost", name)
                    return
            body = bodies[is_packed]
            self._send(source, News(numbers, name, int(event.epoch, 16), event.seq, event.time, is_packed, body))

    def _decide(self, names: Iterable[str] | None, principal: Principal) -> tuple[dict[str, Offer], dict[str, str]]:
        methods = self._roles.methods_of(principal)
        offers: dict[str, Offer] = {}
        refusals: dict[str, str] = {}
        for name in sorted(self._board.feeds) if names is None else names:
            offer = self._registry.get(name)
            if offer is None or name not in self._board.feeds:
                refusals[name] = f"there is no event {name} at this node"
            elif name in methods:
                try:
                    if offer.guard is not None:
                        offer.guard(principal, {})
                except RpcError as exc:
                    refusals[name] = exc.message
                else:
                    offers[name] = offer
            elif names is not None:
                refusals[name] = denial(self._roles, principal, offer.spec.permission, f"follow {name}").message
        if names is None and not offers:
            refusals[""] = f"{principal.name} may follow no event at this node" if self._board.feeds else "no events"
        return dict(list(offers.items())[:MOST_EVENTS]), refusals

    def check(self, names: Iterable[str], principal: Principal) -> None:
        """Check that a client of this node may follow events of it.

        Parameters:
            names: the full names of the events.
            principal: the client.

        Raises:
            PermissionDenied: it may not follow one of them. The message names the remedy.
        """
        refusals = self._decide(names, principal)[1]
        methods = self._roles.methods_of(principal)
        for name, reason in refusals.items():
            if self._registry.get(name) is not None and name not in methods:
                raise PermissionDenied(reason)

    def has_room_for(self, source: int, number: int) -> bool:
        """Return whether a wish can be entered, or is there already; the parameters are those of :meth:`follow`."""
        is_there = (source, number) in self._wishes
        return is_there or (len(self._wishes) < MOST_WISHES and self._counts[source] < MOST_NUMBERS)

    def _add(self, key: _Key, wish: _Wish) -> None:
        self._wishes[key] = wish
        self._counts[key[0]] += 1
        for name in wish.names:
            self._wishes_of.setdefault(name, {})[key] = wish

    def _remove(self, key: _Key) -> bool:
        """Remove a wish, and return whether there was one."""
        wish = self._wishes.pop(key, None)
        if wish is None:
            return False
        self._counts[key[0]] -= 1
        if not self._counts[key[0]]:
            del self._counts[key[0]]
        for name in wish.names:
            wishes = self._wishes_of[name]
            del wishes[key]
            if not wishes:
                del self._wishes_of[name]
        return True

    def _forget_feeds(self) -> None:
        for name in self._channels.keys() - self._wishes_of.keys():
            channel = self._channels.pop(name)
            self._board.leave(self._board.feeds[name], channel.queue)
