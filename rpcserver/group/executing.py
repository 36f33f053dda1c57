"""The group calls that other nodes, or clients of this one, have this node execute: each as a connection of its own."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from rpcwire.aio.deadlines import Deadlines
from rpcwire.codec import Subprotocol
from rpcwire.context import Principal
from rpcwire.errors import (
    Busy,
    Cancelled,
    ConnectionLost,
    InternalError,
    InvalidRequest,
    RpcError,
    TooLarge,
    Unavailable,
)
from rpcwire.logs import about, printable
from rpcwire.messages import EndParams, ErrorObject, Failure, Notification

from .call_link import CallLink, Evidence
from .call_wire import CALL_ID, STREAM_ID, Assembly, Order, codec_of, read_request, read_ttl_s, subprotocol_of
from .circuits import Directory
from .members import InvalidGroupMessage, Member, State, is_same_process, parse_id
from .receiving import Decision, Receiving
from .reporting import Reporter, describe_place
from .vouching import Gateways, identify

logger = logging.getLogger("rpcserver.group")

TELL_LATE_S = 0.02
"""After this time without an answer the caller is told that a method has begun which only reads, in seconds. Most have
answered by then, and of one that reads it matters little."""
GRACE_S = 1.0
"""How long after its deadline a call may take to answer that it is over, in seconds, before it is dropped."""
UNSURE_S = 3.0
"""How long the loss of a connection may go unnoticed, in seconds: answers of that time before it may be lost."""
MOST_ANSWERS = 1000
"""The most answers that are kept for that."""
KEPT_BYTES = 4096
"""The largest answer that is kept."""
IDLE_S = 10.0
"""How long a connection is kept for the next call of its caller, in seconds."""
MOST_IDLE = 64
"""The most connections that are kept so."""
REPEAT_S = 10.0
"""How long a call is remembered at least, in seconds, so that it runs once: :mod:`.receiving` adds to it."""
JOIN_S = 60.0
"""How long the chunks of a request may take to come, in seconds."""
MOST_REQUESTS = 4
"""How many of the largest requests may be joined at one time."""
HEAD_BYTES = 64 * 1024
"""What a request may have besides the call."""
_GONE = frozenset({State.DIED, State.LEFT})


class Adopt(Protocol):
    """Makes a connection of a link, at the asked node."""

    def __call__(self, link: CallLink, subprotocol: Subprotocol) -> None:
        """Make the connection.

        Raises:
            RpcError: it cannot be made.
        """
        ...


_Kind = tuple[int, Principal, str, bool, int | None]
"""Whose connection it is: the id of the caller's node, the caller, where it is, whether values are MessagePack, and the
largest message that it accepts."""

Answer = Callable[[bytes], None]
"""Sends an answer to the node of the caller."""


class Executing:
    """The group calls that this node executes. All methods belong to the thread of the event loop.

    Parameters:
        directory: the roster.
        gateways: returns which nodes may vouch for clients.
        adopt: makes connections of calls.
        most_bytes: returns the largest request, in bytes.
        reporter: is told of calls that are refused before they begin.

    Attributes:
        is_leaving: whether this node takes no calls any more.
    """

    def __init__(
        self,
        directory: Directory,
        gateways: Callable[[], Gateways],
        adopt: Adopt,
        most_bytes: Callable[[], int],
        reporter: Reporter,
    ) -> None:
        self.is_leaving = False
        self._directory = directory
        self._gateways = gateways
        self._adopt = adopt
        self._most_bytes = most_bytes
        self._reporter = reporter
        self._receiving: Receiving | None = None
        self._links: dict[tuple[int, str], CallLink] = {}
        self._waiting: dict[tuple[int, str], Assembly] = {}
        self._deadlines: Deadlines[tuple[int, str]] | None = None
        self._late: deque[tuple[float, CallLink, int]] = deque()
        self._answers: deque[tuple[float, tuple[int, str], bytes]] = deque()
        self._idle: dict[_Kind, deque[tuple[float, CallLink]]] = {}
        self._idle_count = 0
        self._epoch = 0
        self._doubt_s = float("inf")
        self._names: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._links)

    # --- for callers of other nodes ----------------------------------------------------------------------------------

    def take(self, source: int, call: str, epoch: int, data: bytes, answer: Answer) -> None:
        """Take a request of another node.

        Parameters:
            source: the id of the node.
            call: the id of the call.
            epoch: the life of this node for which it is.
            data: the request.
            answer: sends an answer to that node.
        """
        try:
            order, frame = read_request(data)
        except InvalidGroupMessage as exc:
            _warn(source, f"has sent a request that cannot be read: {exc.message}")
            return
        now_s = asyncio.get_running_loop().time()
        deadline_s = now_s + order.ttl_ms / 1000
        principal: Principal | None = None
        try:
            # Calls of nodes that may make none are not remembered: they would take the room of others.
            principal = identify(self._gateways(), f"{source:016x}", self._name_of(source), order.principal)
            decision = self._decide(source, call, epoch, deadline_s, now_s)
            if decision == "repeated":
                return
            if decision != "begin":
                raise _refusal(decision)
            if len(frame) > self._most_bytes():
                raise TooLarge(f"the request has {len(frame)} bytes, and the node takes {self._most_bytes()}")
            self._begin((source, call), principal, _place(order, principal), order, deadline_s, frame, answer, None)
        except RpcError as exc:
            self._refuse(source, principal, order, frame, exc, answer)
        except Exception:
            extra = about(f"the node {source:016x}", is_known=False)
            logger.exception("a group call of %016x could not begin", source, extra=extra)
            self._refuse(source, principal, order, frame, InternalError("the call could not begin"), answer)

    def _refuse(
        self, source: int, principal: Principal | None, order: Order, frame: bytes, error: RpcError, answer: Answer
    ) -> None:
        """Answer a call that does not begin, and tell those who observe calls.

        Parameters:
            source: the id of the node of the caller.
            principal: the caller; ``None`` if nobody may vouch for it.
            order: what is said of the call.
            frame: the frame with the call, of which the end may be missing.
            error: the reason.
            answer: sends the answer.
        """
        answer(pack_error(error, is_packed=order.is_packed))
        place = describe_place(source) if principal is None else _place(order, principal)
        self._reporter.report_call(principal, place, frame, error, is_packed=order.is_packed)

    def take_chunk(self, source: int, call: str, epoch: int, word: str, data: bytes, answer: Answer) -> None:
        """Take a part of a request; the parameters are those of :meth:`take`, and the word that numbers the chunk."""
        key = source, call
        assembly = self._waiting.get(key)
        if assembly is None:
            if not word.startswith("0-") or not self._may_join(source, data, answer):
                return
            assembly = self._waiting[key] = Assembly(self._most_bytes() + HEAD_BYTES)
        try:
            request = assembly.add(word, data)
        except InvalidGroupMessage as exc:
            del self._waiting[key]
            _warn(source, f"has sent an incomplete request: {exc.message}")
            return
        if request is not None:
            del self._waiting[key]
            self.take(source, call, epoch, request, answer)

    def _may_join(self, source: int, data: bytes, answer: Answer) -> bool:
        """Return whether there is room for a request that comes in chunks, of a node that may make calls here. If not,
        it is refused.

        Parameters:
            source, answer: as of :meth:`take`.
            data: its first chunk.
        """
        now_s = asyncio.get_running_loop().time()
        for key in [key for key, each in self._waiting.items() if each.begin_s <= now_s - JOIN_S]:
            del self._waiting[key]  # The rest of it was lost.
        try:
            order, frame = read_request(data)
        except InvalidGroupMessage:
            return False
        principal: Principal | None = None
        try:
            principal = identify(self._gateways(), f"{source:016x}", self._name_of(source), order.principal)
            if sum(each.size_bytes for each in self._waiting.values()) > MOST_REQUESTS * self._most_bytes():
                raise Busy("too many large requests arrive at the node at this moment", executed="no")
        except RpcError as exc:
            self._refuse(source, principal, order, frame, exc, answer)
            return False
        return True

    def cancel(self, source: int, call: str, epoch: int, data: bytes) -> None:
        """Cancel a call, whether or not its request has come.

        Parameters:
            source, call, epoch: as of :meth:`take`.
            data: the time that is left of the call.
        """
        try:
            ttl_s = read_ttl_s(data)
        except InvalidGroupMessage as exc:
            _warn(source, f"has sent a wrong cancel: {exc.message}")
            return
        self._waiting.pop((source, call), None)
        if (
            source == self._directory.own
            or self._gateways().name_of(f"{source:016x}", self._name_of(source)) is not None
        ):
            now_s = asyncio.get_running_loop().time()
            self._memory().on_cancel(f"{source:016x}{call}", epoch, now_s + min(ttl_s, REPEAT_S), now_s)
        link = self._links.get((source, call))
        if link is not None:
            link.cancel()

    def take_frame(self, source: int, call: str, frame: bytes) -> None:
        """Take a frame for a call that runs."""
        link = self._links.get((source, call))
        if link is not None:
            link.receive(frame)

    # --- for clients of this node ------------------------------------------------------------------------------------

    def execute_here(
        self,
        call: str,
        principal: Principal,
        evidence: Evidence | None,
        order: Order,
        deadline_s: float,
        frame: bytes,
        answer: Answer,
    ) -> None:
        """Execute a call for a client of this node, of whom this node's own roles decide.

        Parameters:
            call: the id of the call.
            principal: the client.
            evidence: what its connection shows; ``None`` for one in memory.
            order: what is said of the call.
            deadline_s: when it ends at the latest, on the loop's clock.
            frame: the frame with the call.
            answer: takes each answer.
        """
        try:
            if self.is_leaving:
                raise _refusal("declined")
            key = self._directory.own, call
            self._begin(key, principal, order.remote, order, deadline_s, frame, answer, evidence)
        except RpcError as exc:
            answer(pack_error(exc, is_packed=order.is_packed))
            self._reporter.report_call(principal, order.remote, frame, exc, is_packed=order.is_packed)

    # --- what happens to others --------------------------------------------------------------------------------------

    def note_change(self, member: Member) -> None:
        """Take note of what the roster says of a node: if it is gone, nobody waits for its calls any more."""
        number = parse_id(member.id)
        self._names.pop(number, None)
        epoch, self._epoch = self._epoch, self._directory.epoch
        if epoch != self._epoch:
            self._ask_whether_wanted()  # Those who took this node for dead have given its calls up.
        if not self._links:
            return
        for (source, _), link in list(self._links.items()):
            if source == number and source != self._directory.own and _is_over(member, link.epoch):
                link.cancel()  # It is answered: the node may have been taken for dead without being so.

    def note_link_loss(self) -> None:
        """Take note that the connection to the broker is lost: callers may have missed answers since a while."""
        now_s = asyncio.get_running_loop().time()
        self._doubt_s = min(self._doubt_s, now_s - UNSURE_S)

    def note_link_return(self, answer_to: Callable[[int, str], Answer]) -> None:
        """Take note that there is a connection again: tell callers once more what they may have missed. Streams of
        which items may be lost end.

        Parameters:
            answer_to: returns what sends an answer to a node, for a call of it.
        """
        since_s, self._doubt_s = self._doubt_s, float("inf")
        for (source, _), link in list(self._links.items()):
            if source != self._directory.own and link.is_stream:
                link.drop("items may be lost, since the connection to the group's broker was lost")
        self._ask_whether_wanted()
        answers, self._answers = self._answers, deque()
        for at_s, (source, call), frame in answers:
            if at_s >= since_s:
                answer_to(source, call)(frame)

    def _ask_whether_wanted(self) -> None:
        """Tell callers once more that their calls run: a node that does not wait for one any more cancels it."""
        for (source, _), link in list(self._links.items()):
            if source != self._directory.own:
                link.tell_begin(link.number)

    def close(self) -> None:
        """End all calls at once, because the node is about to leave."""
        for link in [*self._links.values(), *(link for links in self._idle.values() for _, link in links)]:
            link.drop("the node is stopping")
        self._idle.clear()
        self._idle_count = 0

    def _on_deadline(self, key: tuple[int, str]) -> None:
        link = self._links.get(key)
        if link is not None:
            link.drop("the deadline of the group call has passed")

    def _tell_late(self, link: CallLink) -> None:
        loop = asyncio.get_running_loop()
        self._late.append((loop.time() + TELL_LATE_S, link, link.number))
        if len(self._late) == 1:
            loop.call_later(TELL_LATE_S, self._tell_begins)

    def _tell_begins(self) -> None:
        """Tell callers that methods run which have not answered soon. One timer serves all."""
        loop = asyncio.get_running_loop()
        while self._late and self._late[0][0] <= loop.time():
            _, link, number = self._late.popleft()
            link.tell_begin(number)
        while self._late and not self._late[0][1].runs(self._late[0][2]):
            self._late.popleft()
        if self._late:
            loop.call_at(self._late[0][0], self._tell_begins)

    # --- the inside --------------------------------------------------------------------------------------------------

    def _name_of(self, source: int) -> str:
        """Return the name that a node tells."""
        name = self._names.get(source)
        if name is None:
            member = self._directory.member(source)
            if member is None:
                return ""
            name = self._names[source] = member.name
        return name

    def _memory(self) -> Receiving:
        epoch = self._directory.epoch
        if self._receiving is None or not is_same_process(epoch, self._receiving.epoch):
            self._receiving = Receiving(epoch)
        return self._receiving

    def _decide(self, source: int, call: str, epoch: int, deadline_s: float, now_s: float) -> Decision:
        # A request can come again for a moment only, however long its call may take.
        until_s = min(deadline_s, now_s + REPEAT_S)
        return self._memory().on_request(f"{source:016x}{call}", epoch, until_s, now_s, is_welcome=not self.is_leaving)

    def _begin(
        self,
        key: tuple[int, str],
        principal: Principal,
        remote: str,
        order: Order,
        deadline_s: float,
        frame: bytes,
        answer: Answer,
        evidence: Evidence | None,
    ) -> None:
        kind = key[0], principal, remote, order.is_packed, order.takes_bytes
        if self._deadlines is None:
            self._deadlines = Deadlines(asyncio.get_running_loop(), self._on_deadline)
        deadlines = self._deadlines

        def end(link: CallLink) -> None:
            if self._links.pop(key, None) is not None:
                deadlines.clear(key)
                if evidence is None and key[0] != self._directory.own:
                    self._remember(key, order, link)
                self._put_aside(kind, link)

        link = self._take_idle(kind, evidence)
        if link is None:
            link = CallLink(principal, remote, order.takes_bytes, self._tell_late, evidence)
            self._adopt(link, subprotocol_of(is_packed=order.is_packed))
        self._links[key] = link
        deadlines.set(key, deadline_s + GRACE_S)
        link.begin(order.epoch, answer, end)
        link.receive(frame)

    def _remember(self, key: tuple[int, str], order: Order, link: CallLink) -> None:
        """Keep what a call was answered, for as long as the loss of the connection may go unnoticed."""
        now_s = asyncio.get_running_loop().time()
        while self._answers and (self._answers[0][0] <= now_s - UNSURE_S or len(self._answers) >= MOST_ANSWERS):
            self._answers.popleft()
        frame = link.last_frame
        if link.is_stream or len(frame) > KEPT_BYTES:
            # Whether all of it has arrived, nobody knows; if it has, this is dropped there.
            frame = _pack_end(order, is_stream=link.is_stream)
        self._answers.append((now_s, key, frame))

    def _take_idle(self, kind: _Kind, evidence: Evidence | None) -> CallLink | None:
        """Return a connection of the same caller on which no call runs; ``None`` if there is none."""
        links = self._idle.get(kind)
        while links:
            _, link = links.pop()
            self._idle_count -= 1
            if link.evidence is evidence and link.is_reusable:
                return link
            link.drop("it is not needed any more")
        return None

    def _put_aside(self, kind: _Kind, link: CallLink) -> None:
        """Keep a connection for the next call of its caller, for a while, if nothing is bound to it."""
        if self.is_leaving or not link.is_reusable or self._idle_count >= MOST_IDLE:
            link.drop("the group call is over")
            return
        loop = asyncio.get_running_loop()
        if not self._idle_count:
            loop.call_later(IDLE_S, self._drop_idle)
        self._idle.setdefault(kind, deque()).append((loop.time(), link))
        self._idle_count += 1

    def _drop_idle(self) -> None:
        """End the connections that nobody has used for a while."""
        loop = asyncio.get_running_loop()
        before_s = loop.time() - IDLE_S
        for kind, links in list(self._idle.items()):
            while links and links[0][0] <= before_s:
                links.popleft()[1].drop("it is not needed any more")
                self._idle_count -= 1
            if not links:
                del self._idle[kind]
        if self._idle_count:
            loop.call_later(IDLE_S, self._drop_idle)


def _place(order: Order, principal: Principal) -> str:
    """Return where a client of another node is, for a person."""
    return f"{printable(order.remote, 100)} via the node {principal.via}"


def _warn(source: int, text: str) -> None:
    """Log what is wrong with a message of a node, which may send any number of such."""
    node = f"the node {source:016x}"
    logger.warning("%s %s", node, printable(text, 500), extra=about(node, is_known=False))


def _is_over(member: Member, epoch: int) -> bool:
    """Return whether a life of a node is over."""
    if member.state in _GONE:
        return member.epoch >= epoch
    return member.epoch > epoch and not is_same_process(member.epoch, epoch)


def pack_error(error: RpcError, *, is_packed: bool) -> bytes:
    """Return the frame with which a call is refused.

    Parameters:
        error: the reason.
        is_packed: whether values are MessagePack; otherwise they are JSON.
    """
    error.executed = "no"
    return codec_of(is_packed=is_packed).encode(Failure(CALL_ID, error.to_wire()))


def _pack_end(order: Order, *, is_stream: bool) -> bytes:
    """Return the frame that says of a call that it has ended, and that its answer may be lost."""
    wire = ConnectionLost(
        "the node has executed the call, and its connection to the group's broker was lost then", executed="yes"
    ).to_wire()
    encode = codec_of(is_packed=order.is_packed).encode
    if is_stream:
        return encode(Notification("rpc.stream.end", EndParams(STREAM_ID, ErrorObject(**wire))))
    return encode(Failure(CALL_ID, wire))


def _refusal(decision: Decision) -> RpcError:
    match decision:
        case "declined":
            return Unavailable("the node is leaving, and takes no new calls", executed="no")
        case "cancelled":
            return Cancelled("the call was cancelled before it came", executed="no")
        case "full":
            return Busy("the node remembers too many group calls: call less often", executed="no")
        case "other process":
            return Unavailable("the node has been started anew: look for it again", executed="no")
        case _:
            return InvalidRequest("the call cannot begin", executed="no")
