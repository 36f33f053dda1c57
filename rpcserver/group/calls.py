"""The group calls of a node, those of its clients and those that it executes for others: what comes in from the broker
and from the roster goes to whom it concerns."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakSet

import msgspec
from msgspec import UNSET, Raw

from rpcwire.accounts import Account
from rpcwire.codec import Codec
from rpcwire.context import Principal
from rpcwire.errors import Busy, Unavailable
from rpcwire.group.nodes import NoNodes
from rpcwire.group.outcomes import NodeOutcome, Policy
from rpcwire.group.selectors import Names, Selection, Selector, Target, explain_nothing, select
from rpcwire.messages import CallContext, Request
from rpcwire.values.encoded import Encoded

from .asking import Asking
from .call_link import Evidence
from .call_wire import (
    ANSWER,
    BEGUN,
    CALL_ID,
    CANCEL,
    FRAME,
    REQUEST,
    STREAM,
    Assembly,
    Order,
    codec_of,
    cut,
    pack_request,
    pack_ttl,
)
from .circuits import Delivery as CircuitDelivery
from .circuits import Directory
from .commands import Addressee
from .executing import Executing
from .gathering import Gathering
from .members import LIVE, InvalidGroupMessage, Member, State, parse_id
from .watching import Change, Snapshot

logger = logging.getLogger("rpcserver.group")

FRESH_S = 0.02
"""How long the time left that a request tells may be told again, in seconds."""
UNWANTED_S = 60.0
"""How long a node is to remember that a call is cancelled of which the time left is not known, in seconds."""
MOST_CALLS = 10_000
"""The most group calls of the clients of a node at one time."""
_GONE = frozenset({State.DIED, State.LEFT})


class Delivery(CircuitDelivery, Protocol):
    """A message of another node, as :class:`~rpcserver.group.link.Delivery` is."""

    @property
    def rest(self) -> tuple[str, ...]:
        """The words after the kind."""
        ...


class Broker(Protocol):
    """What group calls need of the connection to the broker; :class:`~rpcserver.group.link.Link` is one.

    Attributes:
        most_bytes: the largest message, in bytes.
        is_up: whether there is a connection.
        on_up: called when there is one again.
        on_down: called when the connection is lost.
    """

    most_bytes: int
    is_up: bool
    on_up: Callable[[], None]
    on_down: Callable[[], None]

    def on(self, kind: str, handler: Callable[[Any], None], /) -> None:
        """Say who takes the messages of a kind."""
        ...

    def post(self, target: int, kind: str, data: bytes, *rest: str, notes_absence: bool = False) -> None:
        """Send a message to one node soon, in order. If there is no connection, it is dropped."""
        ...

    async def drain(self) -> None:
        """Wait until what was posted is sent, or the connection is lost."""
        ...

    @property
    def has_room(self) -> bool:
        """Whether what is posted is sent soon."""
        ...

    def together(self) -> AbstractContextManager[None]:
        """Send what is posted within this context at once, at its end."""
        ...

    async def wait_for_other(self, most_s: float) -> None:
        """Wait for a connection to another broker, if one of several was lost just now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who makes a group call.

    Attributes:
        principal: who it is.
        remote: where, for a person.
        takes_bytes: the largest message that the client accepts, in bytes; ``None`` if it does not tell.
        codec: the form of the wire of the client.
        account: counts what waits for the client; ``None`` if nobody does.
        evidence: what its connection shows; ``None`` for one in memory.
    """

    principal: Principal
    remote: str
    takes_bytes: int | None
    codec: Codec
    account: Account | None
    evidence: Evidence | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRequest:
    """What is called.

    Attributes:
        target: the nodes.
        method: the method's full name.
        params: the parameters, encoded as for the client; ``None`` if there are none.
        policy: how the nodes are asked.
        ctx: what the caller has sent besides, without the time left.
        deadline_s: when the call ends at the latest, on the loop's clock.
    """

    target: Target
    method: str
    params: bytes | None
    policy: Policy
    ctx: CallContext
    deadline_s: float


class GroupCalls:
    """The group calls of a node. All methods belong to the thread of the event loop.

    Parameters:
        broker: the connection to the broker; ``None`` for a group of one.
        directory: the roster.
        executing: executes calls on this node.
        is_settled: returns whether the roster can be trusted.

    Attributes:
        executing: the parameter.
        outcomes: counts the outcomes of the calls of own clients, by state.
        count: how many group calls own clients have made.
    """

    def __init__(
        self, broker: Broker | None, directory: Directory, executing: Executing, is_settled: Callable[[], bool]
    ) -> None:
        self.executing = executing
        self.outcomes: Counter[str] = Counter()
        self.count = 0
        self._broker = broker
        self._directory = directory
        self._is_settled = is_settled
        self._calls: dict[str, _Call] = {}
        self._new: WeakSet[_Call] = WeakSet()  # Those whose answer nobody has begun to read.
        self._chunks: dict[tuple[int, str], Assembly] = {}
        self._orphans: list[tuple[str, list[Addressee], float]] = []
        self._following: asyncio.Task[None] | None = None
        if broker is not None:
            broker.on(REQUEST, self._take_request)
            broker.on(CANCEL, self._take_cancel)
            broker.on(FRAME, self._take_frame)
            broker.on(ANSWER, self._take_answer)
            on_up, on_down = broker.on_up, broker.on_down

            def note_return() -> None:
                on_up()
                self.note_link_return()

            def note_loss() -> None:
                on_down()
                self.note_link_loss()

            broker.on_up, broker.on_down = note_return, note_loss

    def __len__(self) -> int:
        return len(self._calls)

    # --- what happens to others ------------------------------------------------------------------------------------

    def start(self, events: AsyncIterator[Snapshot | Change]) -> None:
        """Follow the roster.

        Parameters:
            events: the roster as it is, and each change.
        """
        self._following = asyncio.get_running_loop().create_task(self._follow(events))

    async def _follow(self, events: AsyncIterator[Snapshot | Change]) -> None:
        async for event in events:
            for member in event.members if isinstance(event, Snapshot) else (event.member,):
                if member is not None:
                    self.note_change(member)

    def note_change(self, member: Member) -> None:
        """Take note of what the roster says of a node."""
        self.executing.note_change(member)
        for new_call in self._new:
            new_call.changes.append(member)
        for call in list(self._calls.values()):
            if member.id not in call.asking.nodes:
                continue
            if member.state in _GONE:
                call.asking.on_death(member.id, member.epoch, _why(member))
            else:
                call.asking.on_new_life(member.id, member.epoch)

    def note_link_loss(self) -> None:
        """Take note that the connection to the broker is lost: calls of clients end with what is known."""
        self._chunks.clear()
        self.executing.note_link_loss()
        now_s = asyncio.get_running_loop().time()
        self._orphans = [each for each in self._orphans if each[2] > now_s]
        for call in list(self._calls.values()):
            rest = call.asking.on_link_loss()
            if rest and len(self._orphans) < MOST_CALLS:
                self._orphans.append((call.id, rest, call.deadline_s))

    def note_link_return(self) -> None:
        """Take note that there is a connection again: what nobody waits for any more is cancelled, and answers are
        told again that may be lost."""
        self.executing.note_link_return(self._answer_to)
        orphans, self._orphans = self._orphans, []
        now_s = asyncio.get_running_loop().time()
        for number, rest, deadline_s in orphans:
            if deadline_s > now_s and self._broker is not None:
                for to in rest:
                    left = pack_ttl(deadline_s - now_s)
                    self._broker.post(parse_id(to.id), CANCEL, left, number, f"{to.epoch:016x}")

    async def close(self) -> None:
        """End all calls, because the node is about to leave."""
        self.executing.close()
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])

    # --- the calls of clients --------------------------------------------------------------------------------------

    def call(self, request: GroupRequest, caller: Caller) -> AsyncIterator[Encoded]:
        """Make a group call.

        Parameters:
            request: what is called.
            caller: who calls.

        Returns:
            What the caller gets: the start, items of streams, progress, and one outcome for each node.

        Raises:
            NoNodes: the selector has selected nobody.
            Unavailable: there is no connection to the broker.
            Busy: too many group calls are under way.
        """
        if len(self._calls) >= MOST_CALLS:
            raise Busy(f"this node has {MOST_CALLS} group calls under way: wait for some to end", executed="no")
        selection = self._select(request.target)
        has_link = self._broker is not None and self._broker.is_up
        if not has_link and not all(map(self._is_own, selection.nodes)):
            raise _no_broker()
        members = list(selection.nodes)
        if request.policy.one:
            members.sort(key=lambda member: (member.state is not State.UP, member.load, member.id))
        elif not isinstance(request.target, Names):
            members.sort(key=lambda member: (member.name, member.id))  # As rpc.nodes lists them.
        self.count += 1
        call = _Call(secrets.token_hex(8), request, caller, members, selection.unknown, self)
        self._new.add(call)
        return call.run()

    async def wait_for_broker(self, target: Target, most_s: float) -> None:
        """Before a call, wait for a connection to another broker, if one of several was lost just now.

        Parameters:
            target: the nodes of the call: for the own one nobody waits.
            most_s: how long to wait at the most, in seconds.
        """
        if self._broker is None or self._broker.is_up or all(map(self._is_own, self._select(target).nodes)):
            return
        await self._broker.wait_for_other(most_s)

    def _select(self, target: Target) -> Selection[Member]:
        members = list(self._directory.members())
        live = [member for member in members if member.state in LIVE]
        if not isinstance(target, Names):
            selection = select(target, live)
            if not selection.nodes:
                why = explain_nothing(target, live) if isinstance(target, Selector) else "there is no node"
                raise NoNodes(f"the call was made on no node: {why}", unknown=list(selection.unknown))
            return selection
        selection = select(target, live)
        # Those that have died or left lately are known: their outcome is gone.
        if not selection.unknown:
            return selection
        rest = select(Names(selection.unknown), members)
        return Selection((*selection.nodes, *rest.nodes), rest.unknown)

    def _is_own(self, member: Member) -> bool:
        return parse_id(member.id) == self._directory.own

    # --- from the broker -------------------------------------------------------------------------------------------

    def _take_request(self, delivery: Delivery) -> None:
        rest, source = delivery.rest, delivery.source
        if delivery.is_absent:
            if len(rest) >= 3 and (call := self._calls.get(rest[0])) is not None:
                call.asking.on_absence(f"{source:016x}", _read_attempt(rest[2]))
            return
        if len(rest) < 3 or (epoch := _read_epoch(rest[1])) is None:
            return
        answer = self._answer_to(source, rest[0])
        if len(rest) == 3:
            self.executing.take(source, rest[0], epoch, delivery.data, answer)
        else:
            self.executing.take_chunk(source, rest[0], epoch, rest[3], delivery.data, answer)

    def _answer_to(self, source: int, call: str) -> Callable[[bytes], None]:
        broker, directory = self._broker, self._directory
        assert broker is not None

        def answer(data: bytes) -> None:
            epoch = f"{directory.epoch:016x}"
            if len(data) <= broker.most_bytes:
                broker.post(source, ANSWER, data, call, epoch)
                return
            for words, chunk in cut(data, broker.most_bytes):
                broker.post(source, ANSWER, chunk, call, epoch, *words)

        return answer

    def _take_cancel(self, delivery: Delivery) -> None:
        rest = delivery.rest
        if len(rest) == 2 and (epoch := _read_epoch(rest[1])) is not None:
            self.executing.cancel(delivery.source, rest[0], epoch, delivery.data)

    def _take_frame(self, delivery: Delivery) -> None:
        if len(delivery.rest) == 2:
            self.executing.take_frame(delivery.source, delivery.rest[0], delivery.data)

    def _take_answer(self, delivery: Delivery) -> None:
        rest = delivery.rest
        if len(rest) not in (2, 3) or (epoch := _read_epoch(rest[1])) is None:
            return
        call, data = self._calls.get(rest[0]), delivery.data
        if data in (BEGUN, STREAM) and (call is None or call.asking.has_ended(f"{delivery.source:016x}")):
            # It runs what nobody waits for: its cancel was lost, or the node was taken for dead.
            assert self._broker is not None
            self._broker.post(delivery.source, CANCEL, pack_ttl(UNWANTED_S), rest[0], rest[1])
            return
        if call is None:
            return
        whole = data if len(rest) == 2 else self._join(delivery, call)
        if whole is not None:
            call.asking.on_answer(f"{delivery.source:016x}", epoch, whole)

    def _join(self, delivery: Delivery, call: _Call) -> bytes | None:
        """Join the chunks of an answer; return it when it is whole."""
        key = delivery.source, delivery.rest[0]
        if f"{delivery.source:016x}" not in call.asking.nodes:
            return None
        assembly = self._chunks.setdefault(key, call.new_assembly())
        try:
            call.check_room(len(delivery.data) + sum(each.size_bytes for each in self._chunks.values()))
            data = assembly.add(delivery.rest[2], delivery.data)
        except (InvalidGroupMessage, Busy) as exc:
            del self._chunks[key]
            call.asking.on_unreadable(f"{delivery.source:016x}", exc.message)
            return None
        if data is not None:
            del self._chunks[key]
        return data

    # --- for the calls ---------------------------------------------------------------------------------------------

    def add(self, call: _Call) -> None:
        """Have a call get answers."""
        self._new.discard(call)
        self._calls[call.id] = call

    def forget(self, call: _Call) -> None:
        """Drop whatever comes for a call from now on."""
        self._calls.pop(call.id, None)
        if self._chunks:
            for key in [key for key in self._chunks if key[1] == call.id]:
                del self._chunks[key]

    @property
    def broker(self) -> Broker | None:
        """The connection to the broker; ``None`` for a group of one."""
        return self._broker

    @property
    def directory(self) -> Directory:
        """The roster."""
        return self._directory

    def is_settled(self) -> bool:
        """Return whether the roster can be trusted."""
        return self._is_settled()


class _Call:
    """One call of a client: brings what :class:`.asking.Asking` says to the nodes; to this one without the broker."""

    def __init__(
        self,
        number: str,
        request: GroupRequest,
        caller: Caller,
        members: Sequence[Member],
        unknown: tuple[str, ...],
        calls: GroupCalls,
    ) -> None:
        self.id = number
        self._request = request
        self._caller = caller
        self._calls = calls
        self.changes = [member for member in members if member.state in _GONE]
        self._loop = asyncio.get_running_loop()
        self._codec = codec_of(is_packed=caller.codec.packed)
        self._order = Order(
            epoch=calls.directory.epoch,
            principal=caller.principal.name,
            is_packed=caller.codec.packed,
            remote=caller.remote,
            takes_bytes=caller.takes_bytes,
        )
        self._frame, self._data, self._data_at_s = b"", b"", -1.0
        own = f"{calls.directory.own:016x}"
        nodes = {each.id: Addressee(each.id, each.epoch, each.name, each.id == own) for each in members}
        gathering = Gathering(nodes.values(), request.deadline_s, request.policy, unknown=unknown)

        def note(outcome: NodeOutcome) -> None:
            calls.outcomes[outcome.state] += 1

        self.asking = Asking(
            gathering,
            nodes,
            unknown,
            self._codec,
            self,
            caller.account,
            note,
            is_settled=calls.is_settled(),
        )

    async def run(self) -> AsyncGenerator[Encoded]:
        """Make the call."""
        self._calls.add(self)
        deaths = [(each.id, each.epoch, _why(each)) for each in self.changes if each.state in _GONE]
        source = self.asking.run(deaths)
        try:
            async for each in source:
                yield each
        finally:
            await source.aclose()
            self._calls.forget(self)

    @property
    def deadline_s(self) -> float:
        """When the call ends at the latest, on the loop's clock."""
        return self._request.deadline_s

    def check_room(self, size_bytes: int) -> None:
        """Make sure that there is room for answers that come in chunks.

        Raises:
            Busy: there is too little.
        """
        if self._caller.account is not None:
            self._caller.account.check_room(size_bytes)

    def new_assembly(self) -> Assembly:
        """Return what joins the chunks of an answer."""
        return Assembly(self._caller.takes_bytes or 1 << 40)

    # --- for asking ------------------------------------------------------------------------------------------------

    def _fresh_data(self, now_s: float) -> bytes:
        """Return the request with the time that is left; it is the same for all that are asked at a time."""
        if now_s > self._data_at_s + FRESH_S:
            left_ms = max(round((self._request.deadline_s - now_s) * 1000), 0)
            ctx = msgspec.structs.replace(self._request.ctx, ttl_ms=left_ms)
            params = UNSET if self._request.params is None else Raw(self._request.params)
            self._frame = self._codec.encode(Request(self._request.method, CALL_ID, params, ctx))
            self._data = pack_request(msgspec.structs.replace(self._order, ttl_ms=left_ms), self._frame)
            self._data_at_s = now_s
        return self._data

    def send_request(self, to: Addressee, attempt: int) -> None:
        """Send the request to a node."""
        data = self._fresh_data(self._loop.time())
        if to.is_here:
            self._loop.call_soon(self._execute_here, to)
            return
        broker = self._calls.broker
        if broker is None or not broker.is_up:
            raise _no_broker()
        words = self.id, f"{to.epoch:016x}", str(attempt)
        target = parse_id(to.id)
        if len(data) <= broker.most_bytes:
            broker.post(target, REQUEST, data, *words, notes_absence=True)
        else:
            for more, chunk in cut(data, broker.most_bytes):
                broker.post(target, REQUEST, chunk, *words, *more, notes_absence=more[0].startswith("0-"))

    def _execute_here(self, to: Addressee) -> None:
        caller = self._caller

        def answer(data: bytes) -> None:
            # Later: the one who answers is not to be called while it does.
            self._loop.call_soon(self.asking.on_answer, to.id, self._calls.directory.epoch, data)

        deadline_s = self._request.deadline_s
        self._calls.executing.execute_here(
            self.id, caller.principal, caller.evidence, self._order, deadline_s, self._frame, answer
        )

    @property
    def has_room(self) -> bool:
        """Whether the broker takes more."""
        broker = self._calls.broker
        return broker is None or broker.has_room

    def together(self) -> AbstractContextManager[None]:
        """Send what is sent within this context at once, at its end."""
        broker = self._calls.broker
        return nullcontext() if broker is None else broker.together()

    async def wait_for_room(self) -> None:
        """Wait until the broker takes more."""
        if self._calls.broker is not None:
            await self._calls.broker.drain()

    def send_cancel(self, to: Addressee) -> None:
        """Tell a node to cancel the call."""
        left = pack_ttl(self._request.deadline_s - self._loop.time())
        if to.is_here:
            self._loop.call_soon(self._calls.executing.cancel, self._calls.directory.own, self.id, to.epoch, left)
        elif self._calls.broker is not None:
            self._calls.broker.post(parse_id(to.id), CANCEL, left, self.id, f"{to.epoch:016x}")

    def send_frame(self, to: Addressee, frame: bytes) -> None:
        """Send a frame that belongs to the call."""
        if to.is_here:
            self._loop.call_soon(self._calls.executing.take_frame, self._calls.directory.own, self.id, frame)
        elif self._calls.broker is not None:
            self._calls.broker.post(parse_id(to.id), FRAME, frame, self.id, f"{to.epoch:016x}")


def _no_broker() -> Unavailable:
    return Unavailable("there is no connection to the group's broker at the moment", executed="no")


def _why(member: Member) -> str:
    return f"the node {member.name} {'has died' if member.state is State.DIED else 'has left'}: {member.reason.words}"


def _read_attempt(word: str) -> int:
    return int(word) if len(word) == 1 and word.isdecimal() else 0


def _read_epoch(word: str) -> int | None:
    try:
        return int(word, 16)
    except ValueError:
        return None
