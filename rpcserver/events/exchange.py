"""Follows events of this and other nodes for clients, over the broker: drives :mod:`.follower` and :mod:`.teller`."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Annotated, Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field

from rpcserver.group.link import Delivery
from rpcserver.group.members import LIVE, InvalidGroupMessage, Member, format_id, parse_id
from rpcserver.group.node import Node
from rpcserver.group.reporting import Reporter
from rpcserver.group.vouching import Gateways, identify
from rpcserver.security.roles import Roles
from rpcwire.context import Principal
from rpcwire.errors import RemoteProtocolError, RpcError, SlowConsumer, TooLarge
from rpcwire.group.selectors import Target, select
from rpcwire.logs import about, printable
from rpcwire.publishing import EventPolicy
from rpcwire.registry import Registry
from rpcwire.values.dynamic import load_plain

from .board import Board
from .follower import Follower, Item, NewsKind
from .messages import Follow, Mark, Message, News, Unfollow, pack, read
from .reports import WishReports
from .teller import PACKED, TEXT, Teller

logger = logging.getLogger("rpcserver.events")

KIND = "events"
"""The kind of the messages between two nodes about events."""
TICK_S = 0.25
"""How often it is looked whom to ask, in seconds, while somebody follows."""
REASON_CHARACTERS = 1_000
"""The longest reason of another node that is passed on, in characters."""


class EventNews(BaseModel):
    """What a client is told that follows events."""

    model_config = ConfigDict(frozen=True)

    kind: Annotated[
        NewsKind,
        Field(
            description="event; lost (events that will not come, after the last one); resync (the server has begun a "
            "new life, and what was published between is not known); following (the node tells its events from now "
            "on), refused (it does not, and why), gone (it is not there any more, and why)."
        ),
    ]
    node: Annotated[str, Field(description="The name of the node.")]
    id: Annotated[str, Field(description="Its id.")]
    event: Annotated[str, Field(description="The full name of the event; empty if the news concern all of the node.")]
    epoch: Annotated[str, Field(description="The number of the life of its server, as 16 hexadecimal digits.")]
    seq: Annotated[int, Field(description="The number of the event in that life, from 1 on.")]
    time: Annotated[float, Field(description="When it was published, in seconds since 1970.")]
    lost: Annotated[int, Field(description="How many events are lost before it, or after the last one (lost).")]
    value: Annotated[Any, Field(description="What has happened (event).")]
    reason: str


class Broker(Protocol):
    """What is needed of the connection to the broker; :class:`~rpcserver.group.link.Link` is one."""

    most_bytes: int
    is_up: bool
    starts: int

    def on(self, kind: str, handler: Callable[[Delivery], None], /) -> None:
        """Say who takes the messages of a kind."""
        ...

    def post(self, target: int, kind: str, data: bytes) -> None:
        """Send a message to one node soon, in order. If there is no connection, it is dropped."""
        ...


@dataclass(frozen=True, slots=True)
class Use:
    """How much an event of this server is used.

    Attributes:
        name: its full name.
        publications: how often it was published.
        followers: how many clients of this server follow it here.
        wishes: how many clients follow it as one of several nodes, at this node or another one.
    """

    name: str
    publications: int
    followers: int
    wishes: int


class _Reader:
    """One client that follows events.

    Parameters:
        follower: what it follows.
        principal: who it is.
        names: the events; ``None`` for all.
        target: the nodes; ``None`` for this one.
        is_packed: in which form it wants values.
    """

    def __init__(
        self,
        follower: Follower,
        principal: Principal,
        names: list[str] | None,
        target: Target | None,
        *,
        is_packed: bool,
    ) -> None:
        self.follower = follower
        self.principal = principal
        self.names = names
        self.target = target
        self.is_packed = is_packed
        self.version = -1
        self.has_news = asyncio.Event()


class FollowedNodes:
    """The news for one client. At most one task may wait at a time.

    Parameters:
        exchange: what follows them.
        number: the number of the client there.
        reader: the client.
        buffer_items: how many events may wait.
    """

    def __init__(self, exchange: Exchange, number: int, reader: _Reader, buffer_items: int) -> None:
        self._exchange = exchange
        self._number = number
        self._reader = reader
        self._buffer_items = buffer_items

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EventNews:
        """Wait for the next news.

        Raises:
            SlowConsumer: the policy is ``close``, and too many events have waited. Those before come first.
            StopAsyncIteration: this node leaves.
        """
        reader = self._reader
        while (item := reader.follower.take()) is None:
            if reader.follower.is_over:
                raise SlowConsumer(
                    f"more than {self._buffer_items} events wait: read faster, or choose the policy drop_oldest or "
                    "latest"
                )
            if self._exchange.is_closed:
                raise StopAsyncIteration
            reader.has_news.clear()
            await reader.has_news.wait()
        return _describe(item, is_packed=reader.is_packed)

    async def aclose(self) -> None:
        """Stop following."""
        self._exchange.stop_following(self._number)


class Exchange:
    """What the clients of this node follow, and what this node tells others. All methods belong to the event loop.

    Parameters:
        node: this node, which has been prepared.
        board: the events of this server.
        registry: its methods.
        roles: who may do what.
        gateways: returns which nodes may vouch for clients.
        reporter: is told of wishes.

    Attributes:
        is_closed: whether this node is about to leave.
    """

    def __init__(
        self,
        node: Node,
        board: Board,
        registry: Registry,
        roles: Roles,
        gateways: Callable[[], Gateways],
        reporter: Reporter,
    ) -> None:
        self._node = node
        self._board = board
        self._broker: Broker | None = node.link
        self._gateways = gateways
        self._teller = Teller(board, registry, roles, lambda: node.process_epoch, self._post)
        self._reports = WishReports(reporter, board, node.id)
        self._readers: dict[int, _Reader] = {}
        self._numbers = count(1)
        self._timer: asyncio.TimerHandle | None = None
        self._starts = 0
        self._losses: Counter[str] = Counter()  # Of clients that follow no more.
        self.is_closed = False
        if self._broker is not None:
            self._broker.on(KIND, self._take)

    def follow(
        self,
        principal: Principal,
        names: list[str] | None,
        target: Target | None,
        policy: EventPolicy,
        buffer_items: int,
        *,
        is_packed: bool,
    ) -> FollowedNodes:
        """Begin to follow the events of some nodes, and what becomes of these nodes.

        Parameters:
            principal: the client.
            names: the full names of the events; ``None`` for all that it may follow.
            target: the nodes, also those that come later; ``None`` for this one alone.
            policy: what becomes of events while the client is slow.
            buffer_items: how many may wait.
            is_packed: whether values become MessagePack; else JSON.

        Returns:
            The news, until this node leaves.

        Raises:
            PermissionDenied: only this node is targets, and the client may not follow an event of it.
        """
        if target is None and names is not None:
            self._teller.check(names, principal)
        reader = _Reader(Follower(policy, buffer_items), principal, names, target, is_packed=is_packed)
        number = next(self._numbers)
        self._readers[number] = reader
        self._look(number, reader)
        self._set_timer()
        return FollowedNodes(self, number, reader, buffer_items)

    def stop_following(self, number: int) -> None:
        """End what :meth:`follow` has begun.

        Parameters:
            number: its number.
        """
        reader = self._readers.pop(number, None)
        if reader is not None:
            self._losses.update(_losses_of(reader))
            for node in reader.follower.targets:
                self._send(node, Unfollow(number))

    def uses(self) -> list[Use]:
        """Return for each event of this server how much it is used."""
        return [
            Use(name, feed.seq, len(feed.queues) - self._teller.tells(name), self._teller.count_of(name))
            for name, feed in self._board.feeds.items()
        ]

    def losses(self) -> Mapping[str, int]:
        """Return how many events clients have not got: because they were too ``slow``, or on the ``way`` here."""
        losses = Counter(self._losses)
        losses.update(slow=self._board.drops, way=0)
        for reader in self._readers.values():
            losses.update(_losses_of(reader))
        return losses

    def close(self) -> None:
        """End everything, because the node is about to leave."""
        self.is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for reader in self._readers.values():
            reader.has_news.set()

    # --- the nodes -----------------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        if self._timer is None and not self.is_closed and (self._readers or len(self._teller)):
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._teller.expire(asyncio.get_running_loop().time(), self._may_stay)
        if self._broker is not None and self._broker.is_up and self._broker.starts != self._starts:
            self._starts = self._broker.starts
            self._make_up()
        for number, reader in list(self._readers.items()):
            self._look(number, reader)
        self._set_timer()

    def _make_up(self) -> None:
        """Find out, at both ends, what was lost while there was no connection."""
        for reader in self._readers.values():
            reader.follower.ask_all(asyncio.get_running_loop().time())
        for source, mark in self._teller.repeat_marks():
            self._send(source, mark)

    def _look(self, number: int, reader: _Reader) -> None:
        """Find the nodes that a client follows now, and ask those that have to be asked."""
        now, follower = asyncio.get_running_loop().time(), reader.follower
        version = self._node.presence.roster.version
        if reader.version != version:
            reader.version = version
            self._find_targets(reader, now)
        for node in follower.take_questions(now):
            self._send(node, Follow(number, reader.names, reader.principal.name, reader.is_packed))
        if len(follower):
            reader.has_news.set()

    def _find_targets(self, reader: _Reader, now: float) -> None:
        members = self._node.members()
        if reader.target is None:
            members_now = [member for member in members if parse_id(member.id) == self._node.id]
        else:
            members_now = [member for member in select(reader.target, members).nodes if member.state in LIVE]
        targets = {parse_id(member.id): member for member in members_now}
        known = {parse_id(member.id): member for member in members}
        for node in [node for node in reader.follower.targets if node not in targets]:
            reader.follower.remove_target(node, _explain(known.get(node)))
        for node, member in targets.items():
            reader.follower.set_target(node, member.name, member.epoch, now)

    # --- messages ------------------------------------------------------------------------------------------------

    def _send(self, node: int, message: Message) -> None:
        """Send a message to a node, which may be this one."""
        if node == self._node.id:
            asyncio.get_running_loop().call_soon(self._handle, node, message)
        elif self._broker is not None:
            self._broker.post(node, KIND, pack(message))

    def _post(self, node: int, news: News) -> None:
        """Tell an event. One that is too large for the broker is lost, which the next number shows."""
        try:
            self._send(node, news)
        except TooLarge as exc:
            logger.warning("an event %s is lost to others: %s", news.name, exc.message)

    def _take(self, delivery: Delivery) -> None:
        source = delivery.source
        try:
            message = read(delivery.data)
        except InvalidGroupMessage as exc:
            node = f"the node {format_id(source)}"
            logger.warning(
                "%s has sent what is no message about events: %s", node, exc, extra=about(node, is_known=False)
            )
            return
        if source != self._node.id:
            self._handle(source, message)

    def _handle(self, source: int, message: Message) -> None:
        match message:
            case Follow():
                self._on_follow(source, message)
            case Unfollow(number):
                self._teller.unfollow(source, number)
                self._reports.forget(source, number)
            case Mark(number):
                reader = self._readers.get(number)
                if reader is not None:
                    self._on_mark(source, reader, message)
            case News():
                self._on_news(source, message)

    def _on_follow(self, source: int, message: Follow) -> None:
        number, now = message.number, asyncio.get_running_loop().time()
        try:
            principal = self._identify(source, message)
        except RpcError as exc:
            self._teller.unfollow(source, number)
            mark = Mark(number, self._node.process_epoch, {}, {"": exc.message})
            self._reports.note_refusal(source, message, exc)
        else:
            if principal is None:
                return
            is_full = not self._teller.has_room_for(source, number)
            mark = self._teller.follow(source, number, message.names, principal, now, is_packed=message.is_packed)
            self._reports.note_answer(source, message, principal, mark, is_full=is_full)
        self._send(source, mark)
        self._set_timer()

    def _identify(self, source: int, message: Follow) -> Principal | None:
        """Return the client of another node, or of this one; ``None`` if the one of this node is gone, or the other
        node is not known yet, and will ask again.

        Raises:
            RpcError: the node may not vouch for clients.
        """
        if source == self._node.id:
            reader = self._readers.get(message.number)
            return None if reader is None else reader.principal
        member = self._node.presence.roster.get(source, asyncio.get_running_loop().time())
        if member is None:
            return None
        return identify(self._gateways(), format_id(source), member.name, message.principal)

    def _may_stay(self, source: int, principal: Principal) -> bool:
        return source == self._node.id or self._gateways().still_vouch(principal)

    def _on_mark(self, source: int, reader: _Reader, mark: Mark) -> None:
        refusals = {name: printable(reason, REASON_CHARACTERS) for name, reason in mark.refusals.items()}
        now = asyncio.get_running_loop().time()
        reader.follower.on_mark(source, mark.epoch, mark.seqs, refusals, now)
        if len(reader.follower):
            reader.has_news.set()

    def _on_news(self, source: int, news: News) -> None:
        for number in news.numbers:
            reader = self._readers.get(number)
            if reader is None:
                self._send(source, Unfollow(number))
            elif news.is_packed is reader.is_packed and (reader.names is None or news.name in reader.names):
                reader.follower.on_event(source, news.name, news.epoch, news.seq, news.time, news.body)
                reader.has_news.set()


def _losses_of(reader: _Reader) -> dict[str, int]:
    return {"slow": reader.follower.slow_losses, "way": reader.follower.way_losses}


def _explain(member: Member | None) -> str:
    if member is None:
        return "it is not listed any more"
    return member.reason.words if member.state not in LIVE else "its labels have changed, and do not fit any more"


def _describe(item: Item, *, is_packed: bool) -> EventNews:
    value = None
    if item.value is not None:
        try:
            value = load_plain(item.value, PACKED if is_packed else TEXT)
        except RemoteProtocolError:
            item = Item("lost", item.node, item.id, item.event, item.epoch, item.seq, lost=item.lost + 1)
    return EventNews(
        kind=item.kind,
        node=item.node,
        id=format_id(item.id),
        event=item.event,
        epoch=f"{item.epoch:016x}" if item.epoch else "",
        seq=item.seq,
        time=item.time,
        lost=item.lost,
        value=value,
        reason=item.reason,
    )
