"""All circuits of a node: those of its own clients to other nodes, and those of other nodes' clients to it.

One subscription serves them all: everything goes over the node's own subject, and the number of a circuit tells which
one it belongs to. The opener chooses the number, of 64 random bits, so that nothing of a former life of a node can be
taken for something of the present one; both ends tell each other the epoch of their lives when they begin.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import NamedTuple, Protocol

import msgspec

from rpcwire.codec import UNREADABLE
from rpcwire.context import Principal
from rpcwire.errors import (
    Busy,
    InternalError,
    InvalidRequest,
    RemoteProtocolError,
    RpcError,
    Unavailable,
    from_wire,
)
from rpcwire.group.nodes import ambiguous_error, not_found_error
from rpcwire.logs import about, printable
from rpcwire.skimming import has_colliding_keys

from .circuit import (
    CHUNK_BYTES,
    HEAD_OF_ONE,
    HEAD_OF_ONE_BYTES,
    HEADER_BYTES,
    Cause,
    Circuit,
    Datagram,
    Kind,
    pack,
    pack_reset,
    read_datagram,
)
from .line import Line
from .members import LIVE, InvalidGroupMessage, Member, State, is_same_process, parse_id
from .reporting import describe_place
from .vouching import Gateways, identify
from .watching import Change, Snapshot

logger = logging.getLogger("rpcserver.group")

KIND = "circuit"
"""The kind of messages between nodes by which circuits go."""
TICK_S = 0.25
"""How often circuits look at the time, in seconds, while there are any."""
AGAIN_S = 1.0
"""After this time without an answer a circuit is asked for once more, in seconds: the question may be lost."""
ABSENCE_S = 0.05
"""How long to wait after the broker has said that nobody listens at a node, in seconds, before asking once more: in a
cluster it may be wrong about a new subscription."""
MOST_CIRCUITS = 10_000
"""The most circuits of a node, in both directions together."""
FIRST_FRAME_BYTES = 64 * 1024
"""The largest frame on a circuit before its limits are known, in bytes."""


class Delivery(Protocol):
    """A message of another node, as :class:`~rpcserver.group.link.Delivery` is."""

    @property
    def source(self) -> int:
        """The id of the sender."""
        ...

    @property
    def data(self) -> bytes:
        """The message."""
        ...

    @property
    def is_absent(self) -> bool:
        """Whether the broker says that nobody listens there."""
        ...


class Broker(Protocol):
    """What circuits need of the connection to the broker; :class:`~rpcserver.group.link.Link` is one.

    Attributes:
        most_bytes: the largest message, in bytes.
        is_up: whether there is a connection.
        starts: how often a connection was made.
        on_up: called when there is one again.
        on_down: called when the connection is lost.
    """

    most_bytes: int
    is_up: bool
    starts: int
    on_up: Callable[[], None]
    on_down: Callable[[], None]

    def on(self, kind: str, handler: Callable[[Delivery], None], /) -> None:
        """Say who takes the messages of a kind."""
        ...

    def on_frequent(self, kind: str, handler: Callable[[int, bytes], None], /) -> None:
        """Say who takes those of them that come often: the id of the sender, and the message."""
        ...

    def post(self, target: int, kind: str, data: bytes, *, notes_absence: bool = False) -> None:
        """Send a message to one node soon, in order. If there is no connection, it is dropped."""
        ...

    async def wait_for_other(self, most_s: float) -> None:
        """Wait for a connection to another broker, if one of several was lost just now."""
        ...


class Directory(Protocol):
    """What circuits need of the roster."""

    @property
    def own(self) -> int:
        """The id of this node."""
        ...

    @property
    def epoch(self) -> int:
        """The number of this node's own life."""
        ...

    def members(self) -> Iterator[Member]:
        """Yield all nodes that are known, this one, too."""
        ...

    def member(self, number: int) -> Member | None:
        """Return a node by its id."""
        ...


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says of a client for which it asks for a circuit.

    Attributes:
        epoch: the number of its own life.
        to_epoch: the number of the life of the node that it asks.
        principal: the name of the client.
        subprotocol: the form of the wire.
        remote: where the client is, for a person.
        takes_bytes: the largest message that the client accepts, in bytes; ``None`` if it does not tell.
    """

    epoch: int
    to_epoch: int
    principal: str
    subprotocol: str
    remote: str = ""
    takes_bytes: int | None = None


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says of a circuit that it grants.

    Attributes:
        epoch: the number of its life.
        message_bytes: the largest message of the client, in bytes.
        message_nodes: the most values of a message.
        batch_items: the most entries of a batch in plain JSON-RPC.
    """

    epoch: int
    message_bytes: int
    message_nodes: int
    batch_items: int


class _Refusal(msgspec.Struct, frozen=True):
    code: int
    message: str
    data: object = None


class Admit(Protocol):
    """Makes a connection of a circuit, at the node to which it leads."""

    def __call__(self, line: Line, principal: Principal, opening: Opening) -> Acceptance:
        """Make the connection.

        Parameters:
            line: the circuit.
            principal: who the client is.
            opening: what the gateway says of it.

        Raises:
            RpcError: there is no room for it.
        """
        ...


_DATA = int(Kind.DATA)
_ENDS = {State.DIED: "has died", State.LEFT: "has left"}


class _Attempt:
    """A circuit that was asked for and is not granted yet."""

    __slots__ = ("again", "answer", "opening")

    def __init__(self, opening: bytes) -> None:
        self.opening = opening
        self.answer: asyncio.Future[Acceptance] = asyncio.get_running_loop().create_future()
        self.again: asyncio.TimerHandle | None = None

    def fail(self, error: RpcError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


_Key = tuple[int, int]
"""The id of the node at the other end, and the number of the circuit."""


class Use(NamedTuple):
    """What the circuits of one direction are, and have carried since the start.

    Attributes:
        direction: ``out`` for those of this node's clients to other nodes, ``in`` for those that lead here.
        open_count: how many there are now.
        began_count: how many have begun.
        sent_bytes: the bytes that this node has sent over them.
        received_bytes: the bytes that have arrived over them.
    """

    direction: str
    open_count: int
    began_count: int
    sent_bytes: int
    received_bytes: int


class Circuits:
    """The circuits of a node. All methods belong to the thread of the event loop.

    Parameters:
        broker: the connection to the broker; ``None`` for a group of one.
        directory: the roster.
        gateways: which nodes may vouch for clients.
        admit: makes connections of circuits that lead here.
        report: takes each refusal: the client, or ``None`` if nobody may vouch for it; where it is; and the reason.

    Attributes:
        gateways: the parameter.
        opened_count: how many circuits of own clients have begun.
        accepted_count: how many circuits have begun that lead here.
        ends: counts how circuits have ended, by the value of :class:`~rpcserver.group.circuit.Cause`.
    """

    def __init__(
        self,
        broker: Broker | None,
        directory: Directory,
        gateways: Gateways,
        admit: Admit,
        report: Callable[[Principal | None, str, RpcError], None],
    ) -> None:
        self.gateways = gateways
        self.opened_count = self.accepted_count = 0
        self.ends: Counter[str] = Counter()
        self._old_bytes = {"out": (0, 0), "in": (0, 0)}  # Of circuits that have ended: sent, and received.
        self._broker = broker
        self._directory = directory
        self._admit = admit
        self._report = report
        self._lines: dict[_Key, Line] = {}
        self._attempts: dict[_Key, _Attempt] = {}
        self._own: set[_Key] = set()  # Circuits of this node's clients.
        self._drain_end: asyncio.Event | None = None
        self._acceptances: dict[_Key, bytes] = {}  # Of circuits that lead here: the answer may be lost.
        self._timer: asyncio.TimerHandle | None = None
        self._starts = 0
        self._epoch = 0
        self._following: asyncio.Task[None] | None = None
        if broker is not None:
            broker.on(KIND, self._take)
            broker.on_frequent(KIND, self._take_data)
            on_up, on_down = broker.on_up, broker.on_down

            def note_return() -> None:
                on_up()
                for line in list(self._lines.values()):
                    line.resume()

            def note_loss() -> None:
                on_down()
                for line in list(self._lines.values()):
                    line.pause()

            broker.on_up, broker.on_down = note_return, note_loss

    def start(self, events: AsyncIterator[Snapshot | Change]) -> None:
        """Follow the roster: when the life of a node is over, its circuits end.

        Parameters:
            events: the roster as it is, and each change.
        """
        self._following = asyncio.get_running_loop().create_task(self._follow(events))

    async def _follow(self, events: AsyncIterator[Snapshot | Change]) -> None:
        async for event in events:
            for member in event.members if isinstance(event, Snapshot) else (event.member,):
                if member is not None:
                    self.note_change(member)

    def __len__(self) -> int:
        return len(self._lines)

    def uses(self) -> list[Use]:
        """Return what the circuits of both directions are, and have carried."""
        uses = []
        for direction, began_count in (("out", self.opened_count), ("in", self.accepted_count)):
            lines = [line for key, line in self._lines.items() if (key in self._own) == (direction == "out")]
            sent_bytes, received_bytes = self._old_bytes[direction]
            sent_bytes += sum(line.circuit.sent_bytes for line in lines)
            received_bytes += sum(line.circuit.received_bytes for line in lines)
            uses.append(Use(direction, len(lines), began_count, sent_bytes, received_bytes))
        return uses

    def is_vouched_for(self, principal: Principal) -> bool:
        """Return whether the node that has vouched for a client may still do so."""
        return self.gateways.still_vouch(principal)

    # --- to other nodes ----------------------------------------------------------------------------------------

    def find(self, name: str) -> Member:
        """Find a node that is there by its name or id.

        Raises:
            NodeNotFound: there is none of that name.
            NodeAmbiguous: there are several.
            Unavailable: it is known, and not there at the moment.
        """
        known = [member for member in self._directory.members() if name in (member.name, member.id)]
        present = [member for member in known if member.state in LIVE]
        if len(present) > 1:
            by_id = [member for member in present if member.id == name]
            if len(by_id) != 1:
                raise ambiguous_error(name, [member.id for member in present])
            present = by_id
        if present:
            return present[0]
        if known:
            state, reason = known[0].state.name.lower(), known[0].reason.words
            raise Unavailable(f"the node {name} is not there ({state}): {reason}", executed="no")
        raise not_found_error(name, (each.name for each in self._directory.members() if each.state in LIVE))

    def is_own(self, member: Member) -> bool:
        """Return whether a member is this node."""
        return parse_id(member.id) == self._directory.own

    async def open(
        self,
        member: Member,
        principal: Principal,
        subprotocol: str,
        remote: str,
        takes_bytes: int | None,
        timeout_s: float,
    ) -> tuple[Line, Acceptance]:
        """Ask a node for a circuit for a client of this node.

        Parameters:
            member: the node.
            principal: the client.
            subprotocol: the form of the wire that it speaks.
            remote: where it is, for a person.
            takes_bytes: the largest message that it accepts, in bytes; ``None`` if it does not tell.
            timeout_s: how long to wait for the answer, in seconds.

        Returns:
            The circuit, which waits to be started, and what the node says of it.

        Raises:
            PermissionDenied: the node takes no clients from this one.
            Unavailable: it is leaving, or cannot be reached.
            Busy: there is no room for a further circuit, here or there.
        """
        if self._broker is not None and not self._broker.is_up:
            await self._broker.wait_for_other(timeout_s / 2)
        if self._broker is None or not self._broker.is_up:
            raise Unavailable("there is no connection to the group's broker at the moment", executed="no")
        if member.state is State.LEAVING:
            raise Unavailable(f"the node {member.name} is leaving, and takes no new clients", executed="no")
        self._check_room()
        target, number = parse_id(member.id), secrets.randbits(64)
        opening = Opening(
            epoch=self._directory.epoch,
            to_epoch=member.epoch,
            principal=principal.name,
            subprotocol=subprotocol,
            remote=remote,
            takes_bytes=takes_bytes,
        )
        key = target, number
        attempt = self._attempts[key] = _Attempt(pack(Kind.OPEN, number, body=msgspec.msgpack.encode(opening)))
        line = self._add(key, member.epoch, takes_bytes or sys.maxsize)
        self._own.add(key)
        try:
            self._ask(target, attempt)
            attempt.again = asyncio.get_running_loop().call_later(AGAIN_S, self._ask, target, attempt)
            async with asyncio.timeout(timeout_s):
                acceptance = await attempt.answer
        except BaseException as exc:
            line.abort("nobody waits for the circuit any more")
            if isinstance(exc, TimeoutError):
                text = f"the node {member.name} did not answer within {timeout_s:g} s"
                raise Unavailable(text, executed="no") from None
            raise
        finally:
            if attempt.again is not None:
                attempt.again.cancel()
            if attempt.answer.done() and not attempt.answer.cancelled():
                attempt.answer.exception()  # Otherwise asyncio would log that nobody has retrieved it.
            del self._attempts[key]
        self.opened_count += 1
        return line, acceptance

    def _ask(self, target: int, attempt: _Attempt) -> None:
        if not attempt.answer.done() and self._broker is not None:
            self._broker.post(target, KIND, attempt.opening, notes_absence=True)

    def _check_room(self) -> None:
        if len(self._lines) >= MOST_CIRCUITS:
            raise Busy(f"this node has {MOST_CIRCUITS} circuits already: close some", executed="no")

    def _add(self, key: _Key, epoch: int, most_frame_bytes: int) -> Line:
        assert self._broker is not None
        chunk_bytes = min(CHUNK_BYTES, self._broker.most_bytes - HEADER_BYTES)
        now = asyncio.get_running_loop().time()
        circuit = Circuit(key[1], now, chunk_bytes=chunk_bytes, most_frame_bytes=most_frame_bytes)
        line = self._lines[key] = Line(circuit, key[0], epoch, self._post, self._forget)
        if self._timer is None:
            self._starts, self._epoch = self._broker.starts, self._directory.epoch
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        return line

    # --- what comes in -----------------------------------------------------------------------------------------

    def _take(self, delivery: Delivery) -> None:
        if delivery.is_absent:
            self._note_absence(delivery.source)
        else:
            self._take_datagram(delivery.source, delivery.data)

    def _take_data(self, source: int, data: bytes) -> None:
        """Take a datagram: nearly each is that of one frame, for which nothing else waits."""
        if len(data) >= HEAD_OF_ONE_BYTES:
            kind, number, offset, credit, size = HEAD_OF_ONE.unpack_from(data)
            line = self._lines.get((source, number))
            if line is not None and kind == _DATA and line.receive_alone(offset, credit, size, data):
                return
        self._take_datagram(source, data)

    def _take_datagram(self, source: int, data: bytes) -> None:
        try:
            datagram = read_datagram(data)
        except InvalidGroupMessage as exc:
            node = f"the node {source:016x}"
            extra = about(node, is_known=False)
            logger.warning("%s has sent what is no datagram: %s", node, exc.message, extra=extra)
            return
        key = source, datagram.number
        kind, line = datagram.kind, self._lines.get(key)
        if kind is Kind.OPEN:
            self._on_open(key, datagram)
        elif line is None:
            if kind not in (Kind.RESET, Kind.CREDIT, Kind.REFUSE):
                self._post(source, pack_reset(datagram.number, "the node has no such circuit any more"))
        elif (attempt := self._attempts.get(key)) is not None:
            self._on_answer(attempt, line, datagram)
        elif kind is not Kind.ACCEPT and kind is not Kind.REFUSE:
            line.receive(datagram, asyncio.get_running_loop().time())

    def _on_answer(self, attempt: _Attempt, line: Line, datagram: Datagram) -> None:
        if datagram.kind is Kind.ACCEPT:
            try:
                acceptance = msgspec.msgpack.decode(datagram.body, type=Acceptance)
            except UNREADABLE:
                attempt.fail(RemoteProtocolError("the node has answered what this version does not know"))
                return
            if not attempt.answer.done():
                attempt.answer.set_result(acceptance)
        elif datagram.kind is Kind.REFUSE:
            attempt.fail(_read_refusal(datagram.body))
        else:  # It was granted, and the client there has sent something already; or it was dropped again.
            line.receive(datagram, asyncio.get_running_loop().time())
            if line.circuit.end is not None:
                attempt.fail(Unavailable(line.circuit.end.reason, executed="no"))

    def _on_open(self, key: _Key, datagram: Datagram) -> None:
        answer = self._acceptances.get(key)
        if answer is not None:  # It was asked again, because the answer came late.
            self._post(key[0], answer)
            return
        try:
            if key in self._lines:
                raise InvalidRequest("there is such a circuit already", executed="no")
            answer = self._acceptances[key] = self._grant(key, datagram.body)
        except RpcError as exc:
            answer = self._refuse(key, datagram.body, exc)
        except Exception:
            extra = about(f"the node {key[0]:016x}", is_known=False)
            logger.exception("a circuit from %016x could not be made", key[0], extra=extra)
            answer = self._refuse(key, datagram.body, InternalError("the circuit could not be made"))
        self._post(key[0], answer)

    def _refuse(self, key: _Key, body: bytes, error: RpcError) -> bytes:
        """Tell those who observe calls of a circuit that is refused, and return the answer."""
        principal, place = None, describe_place(key[0])
        with contextlib.suppress(RpcError):  # If nobody may vouch for the client, it has no name here.
            opening = _read_opening(body)
            principal = self._identify(key[0], opening)
            place = describe_place(key[0], printable(opening.remote, 100))
        self._report(principal, place, error)
        return _pack_refusal(key[1], error)

    def _grant(self, key: _Key, body: bytes) -> bytes:
        opening = _read_opening(body)
        if not is_same_process(opening.to_epoch, self._directory.epoch):
            raise Unavailable("the node has been started anew: look for it again", executed="no")
        self._check_room()
        principal = self._identify(key[0], opening)
        line = self._add(key, opening.epoch, FIRST_FRAME_BYTES)
        try:
            acceptance = self._admit(line, principal, opening)
        except BaseException:
            self._lines.pop(key, None)
            raise
        self.accepted_count += 1
        return pack(Kind.ACCEPT, key[1], body=msgspec.msgpack.encode(acceptance))

    def _identify(self, source: int, opening: Opening) -> Principal:
        member = self._directory.member(source)
        return identify(self.gateways, f"{source:016x}", "" if member is None else member.name, opening.principal)

    # --- what happens to others --------------------------------------------------------------------------------

    def _note_absence(self, source: int) -> None:
        for (node, _), attempt in list(self._attempts.items()):
            if node != source:
                continue
            if attempt.again is not None and not attempt.again.cancelled():
                attempt.again.cancel()
                attempt.again = None
                asyncio.get_running_loop().call_later(ABSENCE_S, self._ask, source, attempt)
            else:
                attempt.fail(Unavailable("the node does not listen any more: it is gone", executed="no"))

    def note_change(self, member: Member) -> None:
        """Take note of what the roster says of a node. If its life is over, every circuit with it ends at once.

        Parameters:
            member: the node.
        """
        if not self._lines:
            return
        number = parse_id(member.id)
        state = _ENDS.get(member.state)
        reason = f"the node {member.name} {state or 'has been started anew'}"
        for key, line in list(self._lines.items()):
            is_later = member.epoch > line.epoch and not is_same_process(member.epoch, line.epoch)
            if key[0] == number and (is_later or (state is not None and member.epoch >= line.epoch)):
                attempt = self._attempts.get(key)
                if attempt is not None:
                    attempt.fail(Unavailable(reason, executed="no"))
                line.note_gone(reason)

    async def drain(self, reason: str, grace_s: float, patience_s: float) -> None:
        """Have the other nodes end the connections of this node's clients in order, because this node is about to stop:
        they take no new calls, and let those end that run. Return when that is done, or the time is over.

        Parameters:
            reason: the reason, for a person.
            grace_s: how long running calls may take to end, in seconds.
            patience_s: how long they may take to end once they are cancelled, in seconds.
        """
        for attempt in self._attempts.values():
            attempt.fail(Unavailable(reason, executed="no"))
        for key in self._own - self._attempts.keys():
            self._lines[key].ask_to_drain(grace_s, reason)
        if self._own:
            self._drain_end = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s + patience_s):
                    await self._drain_end.wait()

    async def close(self, reason: str) -> None:
        """Drop all circuits, because the node is about to leave. Those that lead here end with their connections.

        Parameters:
            reason: the reason, for a person.
        """
        for attempt in self._attempts.values():
            attempt.fail(Unavailable(reason, executed="no"))
        for line in list(self._lines.values()):
            line.abort(reason)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
        await asyncio.sleep(0)  # What the lines have to say is posted.

    # --- within ------------------------------------------------------------------------------------------------

    def _post(self, target: int, data: bytes) -> None:
        if self._broker is not None:
            self._broker.post(target, KIND, data)

    def _forget(self, line: Line) -> None:
        key, circuit = (line.other, line.circuit.number), line.circuit
        if self._lines.pop(key, None) is None:
            return
        if line.user is not None:  # Otherwise it was never granted.
            self.ends[(Cause.CLOSED if circuit.end is None else circuit.end.cause).value] += 1
        direction = "out" if key in self._own else "in"
        sent_bytes, received_bytes = self._old_bytes[direction]
        self._old_bytes[direction] = sent_bytes + circuit.sent_bytes, received_bytes + circuit.received_bytes
        self._acceptances.pop(key, None)
        self._own.discard(key)
        if self._drain_end is not None and not self._own:
            self._drain_end.set()

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(TICK_S, self._tick) if self._lines else None
        now, starts, epoch = loop.time(), self._broker.starts if self._broker is not None else 0, self._directory.epoch
        # What was sent while there was no connection is lost. Whoever took this node for dead has ended its circuits.
        is_doubtful = starts != self._starts or epoch != self._epoch
        self._starts, self._epoch = starts, epoch
        for line in list(self._lines.values()):
            if is_doubtful:
                line.probe(now)
            elif now >= line.circuit.wake_at:
                line.tick(now)


def _read_opening(body: bytes) -> Opening:
    try:
        return msgspec.msgpack.decode(body, type=Opening)
    except UNREADABLE as exc:
        raise InvalidRequest(f"opening: {exc}", executed="no") from None


def _pack_refusal(number: int, error: RpcError) -> bytes:
    return pack(Kind.REFUSE, number, body=msgspec.msgpack.encode(error.to_wire()))


def _read_refusal(body: bytes) -> RpcError:
    try:
        if has_colliding_keys(body):
            raise msgspec.DecodeError
        refusal = msgspec.msgpack.decode(body, type=_Refusal)
    except UNREADABLE:
        return RemoteProtocolError("the node has refused, and said nothing that this version knows")
    error = from_wire(refusal.code, printable(refusal.message, 1000), refusal.data)
    error.executed = "no"
    return error
