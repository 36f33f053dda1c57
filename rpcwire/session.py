"""The protocol, without I/O: frames in, events out; calls in, frames out. Both ends use this same class.

A session pairs answers with calls, collects the answers of batches, counts the credit of streams, and reports what the
other side does (:mod:`rpcwire.events`). It uses no socket, no event loop and no clock: a driver passes it each frame
that arrives (:meth:`Session.receive`), and sends the frames that it has ready (:meth:`Session.frames`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from .accounts import COPIES, SMALL_BYTES, Account
from .codec import UNREADABLE, Codec, Decoded, Malformed, is_unicode
from .errors import (
    Busy,
    InternalError,
    InvalidParams,
    InvalidRequest,
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
    RpcError,
    TooLarge,
    Unavailable,
)
from .events import (
    Batch,
    CancelReceived,
    ErrorReceived,
    Event,
    IncomingCall,
    ItemsReceived,
    NotificationReceived,
    ProgressReceived,
    ResultReceived,
    Violation,
)
from .limits import SessionLimits
from .logs import printable
from .messages import (
    CallContext,
    CancelParams,
    CreditParams,
    EndParams,
    Envelope,
    ErrorObject,
    Failure,
    ItemParams,
    MessageId,
    Notification,
    ProgressParams,
    Request,
    StreamParams,
    Success,
)
from .quotas import Quota
from .sending import UNSENDABLE, check_message, encode_error, hold_for_batch
from .states import SessionState, SessionStep, next_session
from .streams import OutgoingStream
from .streamtable import StreamTable

CONTROL = frozenset({
    "rpc.cancel", "rpc.progress", "rpc.stream.item", "rpc.stream.end", "rpc.stream.credit", "rpc.stream.cancel",
})  # fmt: skip
"""The reserved methods, which the session handles itself."""


NO_LIMIT = 1 << 62
"""More calls than ever come."""

_ControlHandler = Callable[[Any, list[Event]], ProtocolError | InvalidParams | None]
"""Handles a reserved notification; returns an error if it breaks a rule."""


def _unwrap(codec: Codec, limit: int, frame: bytes) -> Decoded:
    """Read a frame that its codec has wrapped."""
    try:
        return codec.decode(codec.unwrap(frame, limit))
    except (ProtocolError, TooLarge) as exc:
        return Decoded((Malformed(exc),))


def _size(message: IncomingCall | NotificationReceived) -> int:
    """Return the bytes of a message that lies in one frame with others."""
    size = len(message.method) + (0 if message.params is None else len(memoryview(message.params)))
    if isinstance(message, IncomingCall):
        texts = (message.id,) if message.ctx is None else (message.id, *msgspec.structs.astuple(message.ctx))
        size += sum(len(text) for text in texts if isinstance(text, str))
    return size


class Session:
    """One side of a connection.

    Parameters:
        codec: the form of the wire.
        limits: what this side accepts from the other side, and the size of the largest message that it sends.
        stream_prefix: the beginning of the ids of the streams that this side produces.
        state: READY if the connection itself proves who the other side is.

    Attributes:
        arrived_ns: the time of arrival that calls and notifications get (:class:`~rpcwire.events.IncomingCall`).
            The driver sets it for each frame.
    """

    __slots__ = (
        "_calls_left", "_coalesce_bytes", "_decode", "_incoming", "_last_id", "_most_running", "_outbox", "_outgoing",
        "_quota", "_unchecked_bytes", "_unsent", "_wrap", "arrived_ns", "codec", "limits", "state", "streams",
    )  # fmt: skip

    def __init__(
        self,
        codec: Codec,
        *,
        limits: SessionLimits | None = None,
        stream_prefix: str = "s",
        state: SessionState = SessionState.READY,
    ) -> None:
        self.codec = codec
        self.limits = limits or SessionLimits()
        self._wrap = codec.wrap if codec.wraps else None
        self._decode = partial(_unwrap, codec, self.limits.unwrapped_bytes) if codec.wraps else codec.decode
        self.state = state
        self.arrived_ns: int | None = None
        self._last_id = 0
        self._quota: Quota | None = None
        self._most_running = self.limits.calls_in_flight
        self._calls_left = NO_LIMIT
        self._outbox: list[bytes] = []
        self._unsent: list[int] = []
        self._incoming: dict[MessageId, IncomingCall] = {}
        self._outgoing: dict[int, None] = {}  # An empty set takes three times the memory.
        self._coalesce_bytes = self.limits.coalesce_bytes
        self._unchecked_bytes = self.limits.unchecked_bytes
        self.streams = StreamTable(codec, self.limits, stream_prefix, self._outbox)

    # --- questions of the driver --------------------------------------------------------------------------------

    @property
    def account(self) -> Account | None:
        """The account of large messages of the other side, and of answers that wait for their batch; ``None`` if nobody
        counts them."""
        return self.streams.account

    @account.setter
    def account(self, account: Account | None) -> None:
        self.streams.account = account

    @property
    def calls_running(self) -> int:
        """The number of the other side's calls that have no answer yet."""
        return len(self._incoming)

    def set_quota(self, quota: Quota) -> None:
        """Let a quota decide how many calls and streams of the other side there may be, in place of the limits.

        Parameters:
            quota: is asked from time to time, first at the next call and the next stream.
        """
        self._quota = quota
        self._most_running = self._calls_left = 0
        self.streams.set_quota(quota)

    def set_limits(self, limits: SessionLimits) -> None:
        """Put other limits in the place of those of the session.

        Parameters:
            limits: they may differ only in the number of calls and streams: both sides have agreed on the rest.
        """
        self.limits = limits
        self.streams.set_limits(limits)

    def narrow(self, limits: SessionLimits) -> None:
        """Send smaller messages from now on, because the other side of the connection is another one from now on.

        Parameters:
            limits: the limits. What this side accepts stays as it was.
        """
        self.limits = limits
        self.streams.narrow(limits)
        self._coalesce_bytes = limits.coalesce_bytes
        self._unchecked_bytes = limits.unchecked_bytes

    def shrink(self, most_running: int, most_streams: int) -> None:
        """Note that the quota has taken places back."""
        self._most_running = most_running
        self.streams.most = most_streams

    @property
    def has_output(self) -> bool:
        """Whether :meth:`frames` would return a frame."""
        return bool(self._outbox or self.streams.with_items)

    @property
    def messages_waiting(self) -> int:
        """The number of messages that :meth:`frames` would return, without items of streams."""
        return len(self._outbox)

    def move(self, step: SessionStep) -> None:
        """Go through one step of the life of a session (:mod:`rpcwire.states`).

        Raises:
            LocalProtocolError: the table does not allow this step in the present state.
        """
        self.state = next_session(self.state, step)

    def frames(self) -> list[bytes]:
        """Return everything that waits to be sent as whole frames, oldest first. Afterwards it counts as sent."""
        if self.streams.with_items:
            self.streams.flush()
        messages = self._outbox.copy()
        self._outbox.clear()
        self._unsent.clear()
        frames = messages if len(messages) == 1 or not self.codec.coalesces else self._join(messages)
        return frames if self._wrap is None else [self._wrap(frame) for frame in frames]

    def _join(self, messages: list[bytes]) -> list[bytes]:
        frames: list[bytes] = []
        start = size = 0
        for index, message in enumerate(messages):
            if size and size + len(message) > self._coalesce_bytes:
                frames.append(self.codec.join(messages[start:index]))
                start, size = index, 0
            size += len(message) + 1  # The separator.
        if start < len(messages):
            frames.append(self.codec.join(messages[start:]))
        return frames

    def close(self) -> tuple[list[int], list[int]]:
        """Close the session, because its connection has ended.

        Returns:
            The ids of our calls that were never sent, and of those that were sent but have no answer.
        """
        self.move(SessionStep.CLOSE)
        unsent = [call for call in self._unsent if call in self._outgoing]
        answerless = sorted(self._outgoing.keys() - unsent)
        self.streams.clear()
        self.account = None  # What runs on gives back what it holds; nobody takes more.
        for call in self._incoming.values():
            if call.batch is not None and call.batch.loan is not None:
                call.batch.loan.give_back()
        for collection in (self._outgoing, self._incoming, self._outbox):
            collection.clear()
        return unsent, answerless

    # --- our calls ----------------------------------------------------------------------------------------------

    def call(self, method: str, params: bytes | None = None, ctx: CallContext | None = None) -> int:
        """Call a method of the other side.

        Parameters:
            method: the method's full name.
            params: the parameters, encoded by this session's codec.
            ctx: the context of the call; the plain form has no place for it, and does not send it.

        Returns:
            The call's id, which comes back in its events.

        Raises:
            LocalProtocolError: the session is closed.
            TooLarge: the message has more bytes or values than the limits allow; nothing was sent.
            InvalidRequest: the method's name or a text in ``ctx`` is not valid Unicode; nothing was sent.
        """
        data, call_id = self._request(method, params, ctx)
        self._outbox.append(data)
        self._outgoing[call_id] = None
        self._unsent.append(call_id)
        return call_id

    def batch(self, calls: list[tuple[str, bytes | None, bool]], ctx: CallContext | None = None) -> list[int | None]:
        """Send several calls and notifications as one frame. The plain form makes a JSON-RPC batch of them (section 6),
        or several batches if there are more entries than the other side accepts in one.

        Parameters:
            calls: for each entry the method, the parameters, and whether it is a call (otherwise a notification).
            ctx: the context of each call.

        Returns:
            For each entry the id of the call, or ``None`` for a notification.

        Raises:
            LocalProtocolError: the session is closed, or ``calls`` is empty.
            TooLarge: a message or the whole batch has more bytes or values than the limits allow; nothing was sent.
            InvalidParams: the whole batch nests too deeply; nothing was sent.
            InvalidRequest: the name of a method or a text in ``ctx`` is not valid Unicode; nothing was sent.
        """
        if not calls:
            raise LocalProtocolError("an empty batch: add at least one call")
        messages: list[bytes] = []
        ids: list[int | None] = []
        for method, params, wants_answer in calls:
            if wants_answer:
                data, call_id = self._request(method, params, ctx)
                ids.append(call_id)
            else:
                data = self._notification(method, params)
                ids.append(None)
            messages.append(data)
        if self.codec.batches:
            most = self.limits.batch_items
            messages = [self._batch_frame(messages[start : start + most]) for start in range(0, len(messages), most)]
        self._outbox += messages
        calls_made = [call_id for call_id in ids if call_id is not None]
        self._outgoing |= dict.fromkeys(calls_made)
        self._unsent += calls_made
        return ids

    def _batch_frame(self, messages: list[bytes]) -> bytes:
        frame = self.codec.join(messages) if len(messages) > 1 else b"[" + messages[0] + b"]"
        try:
            self.codec.check(frame, 0, names=False)
        except ValueError as exc:
            raise InvalidParams(f"the array of a batch adds a level around its calls: {exc}") from None
        return check_message(frame, self.limits, self.codec)

    def _request(self, method: str, params: bytes | None, ctx: CallContext | None) -> tuple[bytes, int]:
        if self.state is SessionState.CLOSED:
            raise LocalProtocolError("the session is closed")
        call_id = self._last_id + 1
        message = Request(
            method,
            call_id,
            UNSET if params is None else Raw(params),
            UNSET if ctx is None or self.codec.batches else ctx,
        )
        data = self._encode(message)
        self._last_id = call_id
        return data, call_id

    def notify(self, method: str, params: bytes | None = None) -> None:
        """Send a notification.

        Raises:
            LocalProtocolError: the session is closed.
            TooLarge: the message has more bytes or values than the limits allow; nothing was sent.
            InvalidRequest: the method's name is not valid Unicode; nothing was sent.
        """
        self._outbox.append(self._notification(method, params))

    def _notification(self, method: str, params: bytes | None) -> bytes:
        if self.state is SessionState.CLOSED:
            raise LocalProtocolError("the session is closed")
        return self._encode(Notification(method, UNSET if params is None else Raw(params)))

    def _encode(self, message: Request | Notification) -> bytes:
        try:
            data = self.codec.encode(message)
        except UNSENDABLE as exc:
            place = "ctx" if is_unicode(message.method) else "method"
            details = [{"loc": [place], "msg": str(exc), "type": "unsendable"}]
            raise InvalidRequest(f"{place}: cannot be sent: {exc}", errors=details) from None
        if len(data) <= self._unchecked_bytes:
            return data
        return check_message(data, self.limits, self.codec)

    def cancel(self, call_id: int) -> None:
        """Ask the other side to end a call of ours. It still answers the call."""
        if call_id in self._outgoing:
            self._control("rpc.cancel", CancelParams(call_id))

    def forget(self, call_id: int) -> None:
        """Drop the answer of a call of ours when it arrives, since nobody waits for it any more."""
        self._outgoing.pop(call_id, None)

    # --- answers to the other side ------------------------------------------------------------------------------

    def reply(self, call: IncomingCall, result: bytes) -> RpcError | None:
        """Answer a call with its encoded result. If the answer, or its batch with it, is larger than the limit, the
        call gets a TooLarge error instead.

        Returns:
            The error that was sent instead of the result, or ``None``.
        """
        data = self.codec.encode(Success(call.id, Raw(result)))
        if call.batch is None and len(data) <= self.limits.message_bytes:
            if self._incoming.pop(call.id, None) is None:
                self._check_closed(call)
            else:
                self._outbox.append(data)
            return None
        if call.batch is not None:
            try:
                self.codec.check(result, 2, names=False)
            except ValueError as exc:
                text = f"the answer cannot be sent in a batch, which is one array more around it: {exc}"
                unsendable = InternalError(text, executed="yes")
                self.reply_error(call, unsendable)
                return unsendable
        size = len(data) if call.batch is None else len(data) + call.batch.size + len(b"[]")
        if size > self.limits.message_bytes:
            what = "answer has" if call.batch is None else "batch's answers have"
            text = f"the {what} {size} bytes, and the limit is {self.limits.message_bytes}: ask for less at once, "
            too_large = TooLarge(text + "or use a method that streams", executed="yes")
            self.reply_error(call, too_large)
            return too_large
        if call.batch is not None and call.batch.waiting > 1:
            try:
                hold_for_batch(self.account, call.batch, len(data))
            except Busy as exc:
                self.reply_error(call, exc)
                return exc
        self._answer(call, data)
        return None

    def reply_stream(self, call: IncomingCall) -> OutgoingStream | None:
        """Answer a call with a new stream.

        Returns:
            The stream; ``None`` if too many streams are open: then the call was answered with Busy.
        """
        if self.streams.is_full:
            self.reply_error(call, self.streams.too_many_error())
            return None
        stream = self.streams.open()
        stream.batch = call.batch
        self._answer(call, self.codec.encode(Success(call.id, Raw(self.codec.encode(StreamParams(stream.id))))))
        return stream

    def reply_error(self, call: IncomingCall, error: RpcError) -> None:
        """Answer a call with an error. Its details are left out if they cannot be sent or are too large."""
        self._answer(call, self._failure(call.id, error, call.batch))

    def _failure(self, call_id: MessageId, error: RpcError, batch: Batch | None) -> bytes:
        limit = self.limits.message_bytes - (0 if batch is None else batch.size + len(b"[]"))
        return encode_error(
            error, lambda wire_error: self.codec.encode(Failure(call_id, wire_error)), self.codec, limit
        )

    def progress(self, call: IncomingCall, done: float, total: float | None, message: str | None) -> None:
        """Tell the caller how far its call has come. The text is left out if it makes the message too large."""
        if call.id in self._incoming:
            data = self.codec.encode(Notification("rpc.progress", ProgressParams(call.id, done, total, message)))
            if len(data) > self.limits.message_bytes:
                data = self.codec.encode(Notification("rpc.progress", ProgressParams(call.id, done, total)))
            self._outbox.append(data)

    def _answer(self, call: IncomingCall, data: bytes) -> None:
        if self._incoming.pop(call.id, None) is None:
            self._check_closed(call)
        elif call.batch is None:
            self._outbox.append(data)
        else:
            self._emit(data, call.batch)

    def _check_closed(self, call: IncomingCall) -> None:
        """Make sure that a call has no answer yet because the connection ended before the handler did."""
        if self.state is not SessionState.CLOSED:
            raise LocalProtocolError(f"the call {call.id!r} has its answer already")

    def _emit(self, data: bytes, batch: Batch | None) -> None:
        if batch is None:
            self._outbox.append(data)
            return
        batch.replies.append(data)
        batch.size += len(data) + 1
        batch.waiting -= 1
        if batch.waiting == 0:
            self._send_batch(batch)

    def _send_batch(self, batch: Batch) -> None:
        self._outbox.append(b"[" + b",".join(batch.replies) + b"]")
        if batch.loan is not None:
            batch.loan.give_back()
        self._outbox += batch.after

    def _control(self, method: str, params: msgspec.Struct) -> None:
        self._outbox.append(self.codec.encode(Notification(method, params)))

    # --- messages of the other side -----------------------------------------------------------------------------

    def receive(self, frame: bytes) -> Iterator[Event]:
        """Read one frame. Handle each event before you ask for the next: a frame may contain a call and the items of
        a stream that the call names.

        Yields:
            What the other side did, in order. This method answers malformed messages as the protocol says, and reports
            each as a :class:`~rpcwire.events.Violation`; it raises nothing.
        """
        events: list[Event] = []
        content = self._decode(frame)
        is_large = len(frame) > SMALL_BYTES
        batch = None
        if content.batch:
            batch = Batch(0, [])
            batch.waiting = 1 + sum(self._gets_answer(message) for message in content.messages)
        for message in content.messages:
            if self.state is SessionState.CLOSED:
                return
            if type(message) is Envelope:
                self._on_message(message, batch, events)
                if is_large and events:
                    self._count(events, 0 if len(content.messages) > 1 else len(frame), len(frame), batch)
            else:
                assert isinstance(message, Malformed)
                if message.is_answer:
                    self._on_unreadable_answer(message, events)
                else:
                    self._refuse(message.id, message.error, batch, events)
            yield from events
            events.clear()
        if batch is not None:
            # The 1 added above: without it, a batch whose calls are all answered at once would go as several.
            batch.waiting -= 1
            if batch.waiting == 0 and batch.replies:
                self._send_batch(batch)

    def _count(self, events: list[Event], alone_bytes: int, frame_bytes: int, batch: Batch | None) -> None:
        """Note the size of what a message in a large frame has brought, count its bytes, and refuse it if there is no
        room.

        Parameters:
            events: what the message has brought.
            alone_bytes: the size of the message if it is alone in its frame; otherwise 0.
            frame_bytes: the size of the frame.
            batch: the batch of the message.
        """
        event = events[0]
        if isinstance(event, ItemsReceived):
            if self.account is None:
                return
            event.is_large = True
            if 2 * sum(len(memoryview(item)) for item in event.items) < frame_bytes:
                event.items = [item.copy() for item in event.items]  # Otherwise they keep the whole frame.
        elif isinstance(event, (IncomingCall, NotificationReceived)):
            size = alone_bytes or _size(event)
            if size <= SMALL_BYTES:
                return
            event.large_bytes = size
            if self.account is None:
                return
            try:
                event.loan = self.account.take(COPIES * size)
            except Busy as exc:
                events.clear()
                if isinstance(event, IncomingCall):
                    del self._incoming[event.id]
                    self._refuse(event.id, exc, batch, events, event)
                else:
                    events.append(Violation(exc))

    def _gets_answer(self, message: Envelope | Malformed) -> bool:
        if isinstance(message, Malformed):
            return not message.is_answer
        if message.method is not UNSET:
            return message.id is not UNSET or (
                message.params is not UNSET and not self.codec.is_structured(message.params)
            )
        return message.result is UNSET and message.error is UNSET

    def _refuse(
        self,
        message_id: MessageId,
        error: RpcError,
        batch: Batch | None,
        events: list[Event],
        call: IncomingCall | None = None,
    ) -> None:
        self._emit(self._failure(message_id, error, batch), batch)
        events.append(Violation(error, call))

    def _on_unreadable_answer(self, message: Malformed, events: list[Event]) -> None:
        """Fail the call whose answer cannot be read, so that its caller does not wait until the deadline."""
        call_id, text = message.id, f"the other side's answer cannot be read: {message.error.message}"
        if isinstance(call_id, int) and call_id in self._outgoing:
            self._outgoing.pop(call_id, None)
            events.append(ErrorReceived(call_id, InternalError.code, text, {"executed": "yes"}))
        events.append(Violation(RemoteProtocolError(text)))

    def _on_message(self, message: Envelope, batch: Batch | None, events: list[Event]) -> None:
        method = message.method
        if method is UNSET:
            self._on_answer(message, batch, events)
            return
        params = message.params
        if params is UNSET:
            body = None
        elif self.codec.is_structured(params):
            body = params
        else:
            text = "params: neither an array nor an object (JSON-RPC 2.0, section 4.2)"
            error = InvalidRequest(text, errors=[{"loc": ["params"], "msg": "must be an array or an object"}])
            self._refuse(None if message.id is UNSET else message.id, error, batch, events)
            return
        if method in CONTROL:
            self._on_control(message, body, batch, events)
        elif message.id is UNSET:
            self._calls_left -= 1
            busy = self._ask_quota() if self._calls_left < 0 else None
            events.append(Violation(busy) if busy is not None else NotificationReceived(method, body, self.arrived_ns))
        else:
            call_id, incoming = message.id, self._incoming
            ctx = None if message.ctx is UNSET else message.ctx
            call = IncomingCall(call_id, method, body, ctx, batch, self.arrived_ns)
            self._calls_left -= 1
            if (
                self._calls_left < 0
                or len(incoming) >= self._most_running
                or call_id in incoming
                or call_id != call_id  # noqa: PLR0124 - only NaN differs from itself
                or self.state is SessionState.DRAINING
            ) and (refusal := self._refusal(call)) is not None:
                self._refuse(call_id, refusal, batch, events, call)
            else:
                incoming[call_id] = call
                events.append(call)

    def _refusal(self, call: IncomingCall) -> RpcError | None:
        """Say why this call, which has been counted, must be refused whatever its method is; ``None`` if it need not
        be."""
        if call.id != call.id:
            return InvalidRequest("id: NaN is no id", errors=[{"loc": ["id"], "msg": "must not be NaN"}])
        if call.id in self._incoming:
            return InvalidRequest(
                f"id: {printable(str(call.id))!r} belongs to a call that is still running; use another",
                errors=[{"loc": ["id"], "msg": "in use"}],
            )
        if self._calls_left < 0 or len(self._incoming) >= self._most_running:
            refusal = self._ask_quota()
            if refusal is not None:
                return refusal
        if self.state is SessionState.DRAINING:
            return Unavailable("the server is stopping: call again on a new connection")
        return None

    def _ask_quota(self) -> Busy | None:
        """Ask for more calls; return the error if there are none."""
        if self._quota is None:
            return Busy(f"{self._most_running} calls are in flight on this connection: wait for some to end")
        try:
            self._most_running, self._calls_left = self._quota.renew(len(self._incoming), self._calls_left)
        except Busy as exc:
            return exc
        return None

    def _on_answer(self, message: Envelope, batch: Batch | None, events: list[Event]) -> None:
        has_result, has_error = message.result is not UNSET, message.error is not UNSET
        if not has_result and not has_error:
            text = "not a JSON-RPC 2.0 message: it has neither method nor result nor error"
            refusal = InvalidRequest(text, errors=[{"loc": ["method"], "msg": "missing"}])
            self._refuse(None if message.id is UNSET else message.id, refusal, batch, events)
            return
        call_id = message.id
        if isinstance(call_id, int) and call_id in self._outgoing:
            self._outgoing.pop(call_id, None)
            if message.result is not UNSET and not has_error:
                events.append(ResultReceived(call_id, message.result))
                return
            # The call is over even if its answer is malformed: its caller must not wait for ever.
            error = self._error_of(message)
            events.append(ErrorReceived(call_id, error.code, error.message, error.data))
            return
        # A wrong answer is only reported: to answer it could go on for ever. An answer to a call that nobody waits for
        # any more breaks no rule.
        if not isinstance(call_id, int) or isinstance(call_id, bool) or not 0 < call_id <= self._last_id:
            events.append(Violation(RemoteProtocolError(self._describe_stray_answer(message))))

    def _error_of(self, message: Envelope) -> ErrorObject:
        """Read the error object of an answer to a call of ours."""
        assert message.error is not UNSET
        if message.result is not UNSET:
            return ErrorObject(-32603, "the other side's answer is malformed: it has both result and error")
        try:
            return self.codec.read(message.error, ErrorObject)
        except UNREADABLE as exc:
            return ErrorObject(-32603, f"the other side's error object is malformed: {exc}")

    def _describe_stray_answer(self, message: Envelope) -> str:
        if message.error is not UNSET and message.id in (None, UNSET):
            try:
                error = self.codec.read(message.error, ErrorObject)
            except UNREADABLE:
                return "an unreadable error that belongs to no call"
            return f"the other side could not read a message of ours: {error.code} {error.message[:200]}"
        return f"an answer to a call that was never made: id {str(message.id)[:64]}"

    # --- reserved notifications ---------------------------------------------------------------------------------

    def _on_control(self, message: Envelope, body: Raw | None, batch: Batch | None, events: list[Event]) -> None:
        assert message.method is not UNSET
        kind, handler = self._controls[message.method]
        error: ProtocolError | InvalidParams | None = None
        try:
            params = self.codec.read(Raw(b"") if body is None else body, kind)
        except UNREADABLE as exc:
            error = InvalidParams(f"{message.method}: {printable(str(exc).replace('`', ''))}")
        else:
            error = handler(self)(params, events)
        if message.id is not UNSET:
            # A caller may send a reserved notification as a call, to learn that it has arrived.
            if error is None:
                self._emit(self.codec.encode(Success(message.id, self._null)), batch)
            else:
                self._refuse(message.id, error, batch, events)
        elif error is not None:
            events.append(Violation(error))

    @property
    def _null(self) -> Raw:
        return Raw(b"\xc0" if self.codec.packed else b"null")

    def _on_cancel(self, params: CancelParams, events: list[Event]) -> None:
        call = self._incoming.get(params.id)
        if call is not None:  # Otherwise the answer was sent before the cancellation arrived.
            events.append(CancelReceived(call))

    def _on_progress(self, params: ProgressParams, events: list[Event]) -> None:
        if isinstance(params.id, int) and params.id in self._outgoing:
            events.append(ProgressReceived(params.id, params.done, params.total, params.message))

    _controls: Mapping[str, tuple[type[msgspec.Struct], Callable[[Session], _ControlHandler]]] = {
        "rpc.cancel": (CancelParams, attrgetter("_on_cancel")),
        "rpc.progress": (ProgressParams, attrgetter("_on_progress")),
        "rpc.stream.item": (ItemParams, attrgetter("streams.on_items")),
        "rpc.stream.end": (EndParams, attrgetter("streams.on_end")),
        "rpc.stream.credit": (CreditParams, attrgetter("streams.on_credit")),
        "rpc.stream.cancel": (StreamParams, attrgetter("streams.on_cancel")),
    }
