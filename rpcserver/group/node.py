"""This server as a node of a group: it gives :mod:`.presence` the time and the messages, and sends what that says.

Without a broker a server is a group of one, with the same roster, the same methods, and no connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import msgspec

from rpcwire.errors import TooLarge
from rpcwire.logs import printable

from .bucket import Bucket
from .identity import Identity
from .link import Delivery, Link, LinkSettings
from .members import Announcement, InvalidGroupMessage, Member, Profile, Reason, State, format_id
from .messages import Ask, Beat, Message, decode, from_wire, join_verdicts, read_beat, to_wire
from .presence import Presence
from .watching import Change, ChangeKind, Snapshot

logger = logging.getLogger("rpcserver.group")

PRESENCE = "presence"
"""The kind of the messages between two nodes about who is there."""
LOOK_S = 2.0
"""How often a node looks whether what it tells about itself has changed, and how busy it is, in seconds."""
ENTRIES_S = 5.0
"""How long it is waited for the entries of the bucket at the most, in seconds."""
SECOND_TRY_S = 0.05
"""How long after the first try a member is asked again of which the broker says that it is not there, in seconds: a
broker of a cluster may not know yet that it has subscribed at another one."""
_REPORT_S = 60.0


@dataclass(frozen=True, slots=True)
class Description:
    """What a node tells about itself, besides its id and its life.

    Attributes:
        name: the name for people.
        addresses: where clients reach it directly.
        profile: its labels, services and version.
    """

    name: str
    addresses: tuple[str, ...]
    profile: Profile


@dataclass(frozen=True, slots=True)
class Use:
    """What a node sees of its group, in numbers.

    Attributes:
        nodes: how many nodes are in each state.
        is_connected: whether there is a connection to the broker.
        is_settled: whether what it sees can be trusted.
        connections: how many connections to the broker there were.
        drops: how many messages were not sent, because there was no connection, or too many waited.
    """

    nodes: Mapping[str, int]
    is_connected: bool
    is_settled: bool
    connections: int
    drops: int


class Node:
    """This server in its group.

    Parameters:
        identity: who it is.
        describe: returns what it tells about itself.
        link: the connection to the broker; ``None`` for a group of one.
        renew: returns another identity, because another node has this one; ``None`` if the credentials say who it is.
        maker: as of :class:`.bucket.Bucket`.

    Attributes:
        link: the connection to the broker.
        on_up: called when it is up.
    """

    def __init__(
        self,
        identity: Identity,
        describe: Callable[[], Description],
        link: Link | None = None,
        renew: Callable[[], Identity] | None = None,
        *,
        maker: Callable[[], LinkSettings] | None = None,
    ) -> None:
        self.link = link
        self.on_up: Callable[[], None] = _do_nothing
        self._identity = identity
        self._describe = describe
        self._renew = renew
        self._loop: asyncio.AbstractEventLoop | None = None
        self._presence: Presence | None = None
        self._description: Description | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._look: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()
        self._was_settled = link is None
        self._version = -1
        self._watched_version = -1
        self._reported_at = -_REPORT_S
        self._bucket: Bucket | None = None
        self._disconnects: list[int] = []
        if link is not None:
            self._bucket = Bucket(
                link,
                lambda: self.presence.announcement,
                self._enter,
                lambda: len(self.presence.roster),
                maker=maker,
            )
            link.on(PRESENCE, self._take)
            link.on_all = self._take_public
            link.on_beat = self._take_beat
            link.on_up = self._on_up
            link.on_down = self._on_down

    @property
    def id(self) -> int:
        """The id of this node."""
        return self._identity.id

    @property
    def process_epoch(self) -> int:
        """The number of the first life of this process. It stays when others have taken the process for dead."""
        return self._identity.epoch

    @property
    def presence(self) -> Presence:
        """What this node knows of the group. It is there from the start on."""
        assert self._presence is not None, "the node has not been started"
        return self._presence

    @property
    def is_settled(self) -> bool:
        """Whether the roster can be trusted: there is a connection to the broker, there was time to be heard, and what
        this node hears is not old."""
        if self.link is None:
            return True
        return self.link.is_up and not self.presence.is_deaf and self._now() >= self.presence.settled_at

    # --- its life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Become a member: connect in the background, and tell the others."""
        self._loop = asyncio.get_running_loop()
        self._begin()
        if self.link is not None:
            self.link.start()
            self._look_around()

    def _begin(self) -> None:
        now = self._now()
        self._description = news = self._describe()
        announcement = Announcement(
            id=self._identity.id,
            epoch=self._identity.epoch,
            edition=0,
            name=news.name,
            addresses=news.addresses,
            profile=news.profile,
            load=_measure_load(),
        )
        self._presence = Presence(announcement, now)
        self._presence.roster.wall_offset_s = time.time() - now
        self._version = self._watched_version = -1
        self._presence.lose_link(now)
        self._pump()

    def leave(self) -> None:
        """Say that this node is about to leave: it takes nothing new, and finishes what it has."""
        if self._presence is not None:
            self._presence.leave(self._now())
            self._pump()

    async def stop(self) -> None:
        """Say that this node has left, and close the connection. This may be called at any time."""
        if self._presence is None:
            return
        self._presence.finish(self._now())
        self._pump()
        for timer in (self._timer, self._look):
            if timer is not None:
                timer.cancel()
        if self.link is not None and self._bucket is not None:
            self._bucket.stop()
            if self.link.is_up:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await self._bucket.remove()
            await self.link.close()

    # --- what programs ask ---------------------------------------------------------------------------------------

    def members(self) -> list[Member]:
        """Return all members, sorted by id: also those that have died or left in the last ten minutes."""
        if self.link is None:
            self._refresh()
        return list(self.presence.roster.members(self._now()))

    def use(self) -> Use | None:
        """Return what this node sees of its group in numbers; ``None`` for a group of one, and before the start."""
        link = self.link
        if link is None or self._presence is None:
            return None
        states = self._presence.roster.table.states
        counts = {state.name.lower(): states.count(state) for state in State}
        return Use(counts, link.is_up, self.is_settled, link.starts, link.drops)

    async def watch(self) -> AsyncIterator[Snapshot | Change]:
        """Yield the roster as it is, and each change. A further snapshot comes where changes were lost.

        Whether the roster can be trusted is that of :attr:`is_settled` at each snapshot, and then what the changes
        ``settled`` and ``unsettled`` say. It ends when this node leaves, so that no reader keeps the server from
        stopping.
        """
        while True:
            presence = self.presence
            snapshot, watcher = presence.roster.watch(self._now())
            was_settled = self.is_settled
            try:
                yield snapshot
                while self._presence is presence:
                    news = self._news
                    for change in watcher.take():
                        if change.kind is ChangeKind.RESYNC:
                            was_settled = self.is_settled
                            yield presence.roster.snapshot(self._now())
                        else:
                            yield change
                    if self.is_settled is not was_settled:
                        was_settled = not was_settled
                        kind = ChangeKind.SETTLED if was_settled else ChangeKind.UNSETTLED
                        yield Change(presence.roster.version, kind, None)
                    if presence.state != State.UP:
                        return
                    if not len(watcher):
                        await news.wait()
            finally:
                presence.roster.unwatch(watcher)

    # --- the time ------------------------------------------------------------------------------------------------

    def _now(self) -> float:
        assert self._loop is not None
        return self._loop.time()

    def _tick(self) -> None:
        self._timer = None
        self.presence.tick(self._now())
        self._pump()

    def _look_around(self) -> None:
        assert self._loop is not None
        self._look = self._loop.call_later(LOOK_S, self._look_around)
        self._refresh()
        self._pump()

    def _refresh(self) -> None:
        """Tell what has changed of this node."""
        presence, now = self.presence, self._now()
        presence.set_load(_measure_load())
        presence.roster.wall_offset_s = time.time() - now
        news = self._describe()
        if news != self._description and presence.state == State.UP:
            self._description = news
            old = presence.announcement
            presence.change(
                Announcement(
                    old.id, old.epoch, old.edition, news.name, news.addresses, news.profile, presence.announcement.load
                ),
                now,
            )
            self._pump()

    # --- what is sent --------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Send what waits, listen to whom this node watches, wake programs, and set the timer."""
        presence = self.presence
        if presence.outbox:
            messages, presence.outbox = presence.outbox, []
            for target, message in join_verdicts(messages) if len(messages) > 1 else messages:
                self._send(target, message)
        if presence.roster.version != self._version or self.is_settled is not self._was_settled:
            self._version, self._was_settled = presence.roster.version, self.is_settled
            self._news.set()
            self._news = asyncio.Event()
        if self.link is None:
            return
        if presence.watches_version != self._watched_version:
            self._watched_version = presence.watches_version
            self.link.listen_to(presence.watches)
        if presence.is_displaced:
            self._give_way()
        elif presence.state != State.LEFT:
            self._set_timer(presence.due)

    def _set_timer(self, due: float) -> None:
        assert self._loop is not None
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(due, self._tick), due

    def _send(self, target: int | None, message: Message) -> None:
        if self.link is None:
            return
        try:
            if target is None and type(message) is Beat:
                self.link.post_beat(message.pack())
            elif target is None:
                self.link.post_to_all(msgspec.msgpack.encode(to_wire(message)))
            elif type(message) is Ask:
                self._ask(target, "1")
            else:
                self.link.post(target, PRESENCE, msgspec.msgpack.encode(to_wire(message)))
        except TooLarge as exc:
            self._report(f"{type(message).__name__} cannot be sent: {exc.message}")

    def _ask(self, target: int, attempt: str) -> None:
        """Ask a member for a beat, and learn if the broker knows that it is not there."""
        assert self.link is not None
        epoch = self._epoch_of(target)
        data = msgspec.msgpack.encode(to_wire(Ask()))
        self.link.post(target, PRESENCE, data, str(epoch), attempt, notes_absence=True)

    def _epoch_of(self, number: int) -> int:
        table = self.presence.roster.table
        index = table.find(number)
        return 0 if index < 0 else table.epochs[index]

    # --- what comes in -------------------------------------------------------------------------------------------

    def _take(self, delivery: Delivery) -> None:
        source, rest, data, is_absent = delivery
        if is_absent:
            self._note_absence(source, rest)
        else:
            self._read(source, lambda: from_wire(source, decode(data)))

    def _take_public(self, source: int, data: bytes) -> None:
        self._read(source, lambda: from_wire(source, decode(data)))

    def _take_beat(self, source: int, data: bytes) -> None:
        self._read(source, lambda: read_beat(data))

    def _read(self, source: int, read: Callable[[], Message]) -> None:
        try:
            message = read()
        except InvalidGroupMessage as exc:
            self._report(f"the node {format_id(source)} has sent something wrong: {exc}")
            return
        self.presence.receive(source, message, self._now())
        self._pump()

    def _note_absence(self, number: int, rest: tuple[str, ...]) -> None:
        epoch, attempt = rest
        if attempt == "1":
            assert self._loop is not None
            self._loop.call_later(SECOND_TRY_S, self._ask_again, number, epoch)
        elif str(self._epoch_of(number)) == epoch:
            self.presence.doubt(number, int(epoch), Reason.ABSENT, self._now())
            self._pump()

    def _ask_again(self, number: int, epoch: str) -> None:
        if self.presence.is_linked and str(self._epoch_of(number)) == epoch:
            self._ask(number, "2")

    def note_disconnect(self, number: int) -> None:
        """Take note that the broker has lost the connection of a node. Those of one moment are told together."""
        if not self._disconnects:
            assert self._loop is not None
            self._loop.call_soon(self._doubt)
        self._disconnects.append(number)

    def _doubt(self) -> None:
        numbers, self._disconnects = self._disconnects, []
        now = self._now()
        for number in numbers:
            self.presence.doubt(number, self._epoch_of(number), Reason.DISCONNECTED, now)
        self._pump()

    def _enter(self, entries: list[Announcement]) -> None:
        now = self._now()
        self.presence.enter(entries, now)
        self._pump()

    def _on_up(self) -> None:
        self.presence.regain_link(self._now())
        if self._bucket is not None and not self._bucket.has_read:
            self.presence.expect_entries(self._now() + ENTRIES_S)
        self._tick()
        if self._bucket is not None:
            self._bucket.start()
        self.on_up()

    def _on_down(self) -> None:
        if self._bucket is not None:
            self._bucket.stop()
        self.presence.lose_link(self._now())
        self._pump()

    def _give_way(self) -> None:
        """Become another node, because another process uses the id of this one."""
        text = f"another node has the id {format_id(self.id)} of this one"
        if self._renew is None:
            self._report(f"{text}: give each node credentials of its own; this one is quiet until it is started again")
            return
        logger.warning("%s, perhaps because a machine was copied: this one takes a new id", text)
        assert self.link is not None
        self._identity = self._renew()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.link.become(self._identity.id)
        self._begin()

    def _report(self, text: str) -> None:
        now = self._now()
        if now >= self._reported_at + _REPORT_S:
            self._reported_at = now
            logger.warning("group: %s", printable(text, 500))


def _do_nothing() -> None:
    pass


def _measure_load() -> float:
    """Return how busy the machine is: 1.0 means that as many processes want to run as there are processors."""
    try:
        return round(os.getloadavg()[0] / (os.cpu_count() or 1), 2)
    except OSError:
        return 0.0
