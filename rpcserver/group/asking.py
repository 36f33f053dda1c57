"""One group call at the node of its caller: drives :mod:`.gathering`, and makes the stream that the caller gets.

There is one of it for each call, and no task or subscription for each asked node. What a node answers is decoded as far
as its envelope, and passed on as it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, Raw

from rpcwire.accounts import Account, Loan
from rpcwire.codec import UNREADABLE, Codec
from rpcwire.errors import (
    Busy,
    Cancelled,
    RemoteProtocolError,
    RpcError,
    forget_origin,
)
from rpcwire.group.outcomes import NodeOutcome, error_from_wire
from rpcwire.limits import INITIAL_CREDIT
from rpcwire.messages import (
    CreditParams,
    EndParams,
    Envelope,
    ErrorObject,
    ItemParams,
    Notification,
    ProgressParams,
    StreamParams,
)
from rpcwire.skimming import check_body
from rpcwire.values.encoded import Encoded

from .call_wire import BEGUN, CALL_ID, STREAM, STREAM_ID
from .commands import Addressee, Cancel, Item, Output, Send, Wake
from .gathering import Gathering

logger = logging.getLogger("rpcserver.group")

TURN_SENDS = 100
"""How many requests to send in one turn of the loop."""
COUNTED_BYTES = 64 * 1024
"""If more than this waits for the caller, it is counted."""


class Carrier(Protocol):
    """Brings what a call says to nodes."""

    def send_request(self, to: Addressee, attempt: int) -> None:
        """Send the request to a node.

        Raises:
            RpcError: it cannot be sent.
        """
        ...

    @property
    def has_room(self) -> bool:
        """Whether what is sent now leaves soon."""
        ...

    def together(self) -> AbstractContextManager[None]:
        """Send what is sent within this context at once, at its end."""
        ...

    async def wait_for_room(self) -> None:
        """Wait until it does."""
        ...

    def send_cancel(self, to: Addressee) -> None:
        """Tell a node to cancel the call."""
        ...

    def send_frame(self, to: Addressee, frame: bytes) -> None:
        """Send a frame that belongs to the call."""
        ...


@dataclass(slots=True)
class _Flow:
    """The stream of one asked node.

    Attributes:
        to: the node.
        count: the number of items that have come.
        debt: the number of items that the caller has taken since credit was granted.
        is_over: whether no more items come, or none is wanted.
    """

    to: Addressee
    count: int = 0
    debt: int = 0
    is_over: bool = False


class Asking:
    """One group call.

    Parameters:
        gathering: decides.
        nodes: the asked nodes, by id.
        unknown: names that no node has.
        is_settled: whether the roster could be trusted at the start.
        codec: the form of the wire, between nodes.
        carrier: brings what is said to nodes.
        account: counts what waits for the caller; ``None`` if nobody does.
        note: called with each outcome.
    """

    def __init__(
        self,
        gathering: Gathering,
        nodes: Mapping[str, Addressee],
        unknown: tuple[str, ...],
        codec: Codec,
        carrier: Carrier,
        account: Account | None,
        note: Callable[[NodeOutcome], None],
        *,
        is_settled: bool,
    ) -> None:
        self._gathering = gathering
        self._nodes = nodes
        self._unknown = unknown
        self._is_settled = is_settled
        self._codec = codec
        self._carrier = carrier
        self._account = account
        self._loan: Loan | None = None
        self._note = note
        # Times are those of `monotonic`. uvloop's clock is the same, but stands still for a turn, and a millisecond.
        self._loop = asyncio.get_running_loop()
        self._encode: Callable[[Any], bytes] = msgspec.msgpack.encode if codec.packed else msgspec.json.encode
        self._sends: deque[Send] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._flows: dict[str, _Flow] = {}
        self._queue: deque[tuple[bytes, str]] = deque()  # What the caller gets, and whose item of a stream it is.
        self._waiting_bytes = 0
        self._progress: dict[str, ProgressParams] = {}
        self._cancels: set[str] = set()
        self._ends: set[str] = set()
        self._news = asyncio.Event()
        self._is_over = self._is_sending = False

    @property
    def nodes(self) -> Mapping[str, Addressee]:
        """The asked nodes, by id."""
        return self._nodes

    def has_ended(self, node: str) -> bool:
        """Return whether a node has its outcome."""
        return node in self._ends

    # --- for the caller ------------------------------------------------------------------------------------------

    async def run(self, deaths: Sequence[tuple[str, int, str]] = ()) -> AsyncGenerator[Encoded]:
        """Make the call, and yield what the caller gets. To close the generator cancels the call.

        Parameters:
            deaths: the nodes of which it is known that they are not there: id, life, and the reason.
        """
        nodes = [{"name": to.name, "id": to.id, "epoch": f"{to.epoch:016x}"} for to in self._nodes.values()]
        yield Encoded(
            self._encode({"kind": "start", "nodes": nodes, "unknown": self._unknown, "is_settled": self._is_settled})
        )
        try:
            out = self._gathering.start(monotonic())
            for node, epoch, reason in deaths:
                out += self._gathering.on_death(node, epoch, reason, monotonic())
            self._obey(out)
            while True:
                while self._queue:
                    yield self._take()
                while self._progress:
                    node, report = self._progress.popitem()
                    yield Encoded(self._encode(_show_progress(node, report)))
                if self._queue or self._progress:
                    continue
                if self._gathering.is_finished:
                    return
                self._news.clear()
                await self._news.wait()
        finally:
            self._end()

    def _take(self) -> Encoded:
        data, node = self._queue.popleft()
        self._waiting_bytes -= len(data)
        if self._loan is not None:
            self._loan.resize(min(self._loan.held_bytes, self._waiting_bytes))
        flow = self._flows.get(node)
        if flow is not None and not flow.is_over:
            flow.debt += 1
            if 2 * flow.debt >= INITIAL_CREDIT:
                credit = CreditParams(STREAM_ID, flow.debt)
                flow.debt = 0
                self._carrier.send_frame(flow.to, self._codec.encode(Notification("rpc.stream.credit", credit)))
        return Encoded(data)

    def _end(self) -> None:
        """Cancel what has not ended, since nobody waits for it any more."""
        if not self._gathering.is_finished:
            self._obey(self._gathering.cancel(monotonic()))
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._sender is not None:
            self._sender.cancel()
        if self._loan is not None:
            self._loan.give_back()
        self._queue.clear()

    # --- what the gathering wants ----------------------------------------------------------------------------------

    def _obey(self, out: list[Output]) -> None:
        for each in out:
            match each:
                case Send():
                    self._sends.append(each)
                case NodeOutcome():
                    self._tell(each)
                case Item(origin, item, lost):
                    self._tell_item(origin, item, lost)
                case Cancel(to):
                    self._cancels.add(to.id)
                    self._carrier.send_cancel(to)
                case Wake(at_s):
                    if self._timer is not None:
                        self._timer.cancel()
                    self._timer = self._loop.call_at(at_s, self._wake)
        if self._sends and self._sender is None and not self._is_sending and not self._is_over:
            self._send_some()
        if self._gathering.is_finished and self._timer is not None:
            self._timer.cancel()
        self._news.set()

    def _wake(self) -> None:
        self._obey(self._gathering.on_time(monotonic()))

    def _send_some(self) -> None:
        """Send some requests at once, and others later: the loop has more to do, and the broker may be slow."""
        if not self._send_turn():
            self._sender = self._loop.create_task(self._send_rest())

    def _send_turn(self) -> bool:
        """Send requests, at most as many as one turn of the loop has room for; return whether all were sent."""
        now_s, gathering = monotonic(), self._gathering
        self._is_sending = True  # What cannot be sent may let others be sent.
        with self._carrier.together():
            for _ in range(TURN_SENDS):
                if not self._sends or not self._carrier.has_room:
                    break
                to, attempt = self._sends[0].to, self._sends.popleft().attempt
                if gathering.may_send(to.id, attempt, now_s):
                    try:
                        self._carrier.send_request(to, attempt)
                    except RpcError as exc:
                        self._obey(gathering.on_failed_send(to.id, attempt, exc, now_s))
        self._is_sending = False
        return not self._sends

    async def _send_rest(self) -> None:
        try:
            while True:
                await self._carrier.wait_for_room()
                if self._send_turn():
                    return
                await asyncio.sleep(0)
        finally:
            self._sender = None

    # --- what nodes answer -----------------------------------------------------------------------------------------

    def on_absence(self, node: str, attempt: int) -> None:
        """Take note that the broker says that nobody got a request."""
        self._obey(self._gathering.on_absence(node, attempt, monotonic()))

    def on_death(self, node: str, epoch: int, reason: str) -> None:
        """Take note that a node has died or left."""
        self._obey(self._gathering.on_death(node, epoch, reason, monotonic()))

    def on_new_life(self, node: str, epoch: int) -> None:
        """Take note that a node lives, in this life."""
        self._obey(self._gathering.on_new_life(node, epoch, monotonic()))

    def on_link_loss(self) -> list[Addressee]:
        """Take note that the connection to the broker is lost.

        Returns:
            The nodes that may still execute the call, although nobody waits for them any more.
        """
        rest = [to for node, to in self._nodes.items() if node not in self._ends and not to.is_here]
        self._obey(self._gathering.on_link_loss(monotonic()))
        return rest

    def on_unreadable(self, node: str, problem: str) -> None:
        """Take note that an answer of a node did not arrive as a whole."""
        if node in self._nodes:
            self._fail(node, self._nodes[node].epoch, f"its answer cannot be read: {problem}", monotonic())

    def on_answer(self, node: str, epoch: int, data: bytes) -> None:
        """Take an answer of a node.

        Parameters:
            node, epoch: who it is of.
            data: a frame, or what says that it has begun.
        """
        now_s = monotonic()
        if data in (BEGUN, STREAM):
            if data == STREAM and node in self._nodes:
                self._flows.setdefault(node, _Flow(self._nodes[node]))
            self._obey(self._gathering.on_begin(node, epoch, now_s))
            return
        for message in self._codec.decode(data).messages:
            try:
                if not isinstance(message, Envelope):
                    raise message.error
                self._on_message(node, epoch, message, now_s)
            except (*UNREADABLE, ValueError) as exc:
                self._fail(node, epoch, f"its answer cannot be read: {exc}", now_s)
            except RpcError as exc:
                self._fail(node, epoch, f"its answer cannot be read: {exc.message}", now_s)

    def _fail(self, node: str, epoch: int, text: str, now_s: float) -> None:
        error = RemoteProtocolError(text, executed="unknown")
        self._obey(self._gathering.on_error(node, epoch, error, now_s))

    def _on_message(self, node: str, epoch: int, message: Envelope, now_s: float) -> None:
        method, gathering = message.method, self._gathering
        if method is UNSET:
            if message.error is not UNSET:
                self._check(message.error)
                error = self._codec.read(message.error, ErrorObject)
                self._on_error(node, epoch, error, now_s)
            elif message.result is UNSET:
                raise RemoteProtocolError("it has neither method nor result nor error")
            elif node not in self._flows:
                self._check(message.result)
                self._on_result(node, epoch, message.result, now_s)
            return
        params = message.params
        if params is UNSET:
            return
        if method == "rpc.progress":
            report = self._codec.read(params, ProgressParams)
            if node in self._nodes and report.id == CALL_ID:
                self._progress[node] = report
                self._news.set()
            return
        flow = self._flows.get(node)
        if flow is None:
            return
        if method == "rpc.stream.item":
            for item in self._codec.read(params, ItemParams).items:
                self._check(item)
                number, flow.count = flow.count, flow.count + 1
                self._obey(gathering.on_item(node, epoch, number, item, now_s))
        elif method == "rpc.stream.end":
            flow.is_over = True
            self._check(params)
            end = self._codec.read(params, EndParams)
            if end.error is not None:
                self._on_error(node, epoch, end.error, now_s, flow.count)
            elif node in self._cancels:
                error_of_end = Cancelled("the call was cancelled", executed="yes")
                self._obey(gathering.on_error(node, epoch, error_of_end, now_s, flow.count))
            else:
                self._obey(gathering.on_result(node, epoch, None, now_s, flow.count))

    def _check(self, body: Raw) -> None:
        """Check that a body nests no deeper than anybody accepts: it goes on to the caller, unread. Of JSON the codec
        has looked at it.

        Raises:
            ValueError: it does.
        """
        if self._codec.packed:
            check_body(bytes(body))

    def _on_result(self, node: str, epoch: int, result: Raw, now_s: float) -> None:
        size = self._waiting_bytes + len(memoryview(result))
        if self._account is not None and size > COUNTED_BYTES and not self._account.has_room(size):
            error = Busy("the results came faster than they were read, and there is no room for more", executed="yes")
            self._obey(self._gathering.on_error(node, epoch, error, now_s))
        else:
            self._obey(self._gathering.on_result(node, epoch, result, now_s))

    def _on_error(self, node: str, epoch: int, wire: ErrorObject, now_s: float, items: int = 0) -> None:
        error = error_from_wire({"code": wire.code, "message": wire.message, "data": wire.data})
        forget_origin(error)
        self._obey(self._gathering.on_error(node, epoch, error, now_s, items))

    # --- what the caller gets --------------------------------------------------------------------------------------

    def _tell(self, outcome: NodeOutcome) -> None:
        self._note(outcome)
        self._ends.add(outcome.id)
        flow = self._flows.get(outcome.id)
        if flow is not None:
            flow.is_over = True
        self._put(self._encode({"kind": "outcome", **outcome.to_wire()}), "")

    def _tell_item(self, origin: Addressee, item: Raw, lost: int) -> None:
        data = self._encode({"kind": "item", "node": origin.id, "item": item, "lost": lost})
        try:
            self._put(data, origin.id)
        except Busy as exc:
            flow = self._flows[origin.id]
            flow.is_over = True
            text = f"items came faster than they were read: {exc.message}"
            stop = self._codec.encode(Notification("rpc.stream.cancel", StreamParams(STREAM_ID)))
            self._carrier.send_frame(origin, stop)
            error = Busy(text, executed="yes", retry_after_ms=exc.retry_after_ms)
            self._obey(self._gathering.on_error(origin.id, origin.epoch, error, monotonic()))

    def _put(self, data: bytes, node: str) -> None:
        """Queue something for the caller.

        Raises:
            Busy: too much waits already.
        """
        if self._account is not None and self._waiting_bytes + len(data) > COUNTED_BYTES:
            if self._loan is None:
                self._loan = Loan(self._account)
            try:
                self._loan.resize(self._waiting_bytes + len(data))
            except Busy:
                if node:  # An outcome must be told; the room for its result was looked for.
                    raise
        self._waiting_bytes += len(data)
        self._queue.append((data, node))


def _show_progress(node: str, report: ProgressParams) -> dict[str, Any]:
    line: dict[str, Any] = {"kind": "progress", "node": node, "done": report.done}
    if report.total is not None:
        line["total"] = report.total
    if report.message is not None:
        line["message"] = report.message
    return line
