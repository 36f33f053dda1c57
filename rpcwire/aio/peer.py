"""Drives one side of a connection with asyncio: sends calls, starts handlers, carries streams."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextvars import Context, copy_context
from itertools import chain
from typing import Any

import msgspec

from rpcwire.codec import UNREADABLE
from rpcwire.context import Connection
from rpcwire.dispatch import Dispatch
from rpcwire.errors import (
    ConnectionLost,
    DeadlineExceeded,
    NotSent,
    RemoteProtocolError,
    RpcError,
    WireError,
    from_wire,
)
from rpcwire.events import (
    CancelReceived,
    CreditReceived,
    ErrorReceived,
    Event,
    IncomingCall,
    ItemsReceived,
    NotificationReceived,
    ProgressHook,
    ProgressReceived,
    ResultReceived,
    StreamCancelled,
    StreamEnded,
    Violation,
)
from rpcwire.limits import GRACE_S, TURN_EVENTS, WHOLE_TURN
from rpcwire.logs import printable
from rpcwire.messages import CallContext, StreamParams
from rpcwire.pool import current_place, waiting
from rpcwire.session import Session
from rpcwire.states import SessionState, SessionStep
from rpcwire.streams import IncomingStream, OutgoingStream, SlowPolicy, interruption_error, unread_error
from rpcwire.values.wiretypes import LARGE_BYTES
from rpcwire.violations import TOO_MANY, Violations, breaks_rule

from .cancelling import cancel_begun, give_way
from .deadlines import Deadlines
from .handlers import CANCEL_TIMEOUT_S, Handlers
from .link import GoOn, Link
from .streams import Inbox, Outbox, lost_error, pump

FLUSH_EVERY = 16
"""The number of calls of one frame after which their answers are sent. So the caller works on these answers while this
side works on the other calls; otherwise the two sides would take turns."""

CONNECTION_OVER = "the connection has ended"


class Pending(msgspec.Struct, eq=False):
    """A call of ours that has no outcome yet. Each call makes one, and to make a structure takes a third of the time
    of a dataclass.

    Attributes:
        future: gets the encoded result, or the :class:`Inbox` of a stream.
        is_stream: whether the answer is a stream.
        window: the number of items that the producer of that stream may send ahead; ``None`` for the session's own.
        latest: whether the reader wants only the newest item of that stream.
        progress: called when the other side reports how far the call has come.
        uploads: the tasks that send the streams among the call's parameters.
        is_abandoned: whether nobody waits for the call any more.
        context: the context variables of the caller, in which ``progress`` runs.
    """

    future: asyncio.Future[Any]
    is_stream: bool = False
    window: int | None = None
    progress: ProgressHook | None = None
    latest: bool = False
    uploads: tuple[asyncio.Task[None], ...] = ()
    is_abandoned: bool = False
    context: Context | None = None


class Peer:
    """Drives a session over a link. All methods belong to the event loop's thread.

    Parameters:
        session: the protocol.
        link: the way to the other side.
        dispatch: finds the method of each incoming call, and decides whether it may run.
        connection: the connection as handlers see it.
        executor: runs handlers that are plain functions.
        logger: gets a line for each rule that the other side breaks.

    Attributes:
        began_s: when the connection began, on the clock of :func:`time.monotonic`.
        has_received: whether a frame has arrived.
        is_writable: whether the connection accepts more output.
    """

    __slots__ = (
        "__weakref__", "_deadlines", "_dispatch", "_inboxes", "_is_flush_due", "_is_receiving", "_next_event",
        "_outboxes", "_pending", "_room", "_violations", "began_s", "closed", "connection", "handlers", "has_received",
        "is_writable", "link", "logger", "loop", "session",
    )  # fmt: skip

    def __init__(
        self,
        session: Session,
        link: Link,
        dispatch: Dispatch,
        connection: Connection,
        *,
        executor: Executor | None = None,
        logger: logging.Logger,
    ) -> None:
        self.session = session
        self.link = link
        self.connection = connection
        self.logger = logger
        self.loop = asyncio.get_running_loop()
        self.handlers = Handlers(self, dispatch, executor)
        self._dispatch = dispatch
        self.closed: asyncio.Future[str] = self.loop.create_future()
        self.began_s = time.monotonic()
        self.has_received = False
        self._pending: dict[int, Pending] = {}
        self._deadlines: Deadlines[int] | None = None  # Of calls to the other side: most peers of a server make none.
        self._inboxes: dict[str, Inbox] = {}
        self._outboxes: dict[str, Outbox] = {}
        self._violations: Violations | None = None
        self._is_flush_due = False
        self._is_receiving = False
        self._next_event: Event | None = None
        self.is_writable = True
        self._room: asyncio.Event | None = None  # Exists while output waits: an idle connection must be small.

    # --- sending ------------------------------------------------------------------------------------------------

    def flush_soon(self) -> None:
        """Send the session's output before the loop's next turn: everything of this turn goes in one frame."""
        if not self._is_flush_due and not self._is_receiving:
            self._is_flush_due = True
            self.loop.call_soon(self._flush)

    def flush(self) -> None:
        """Send the session's output at once, because this turn adds nothing to it."""
        if not self._is_receiving:
            self._flush()

    def _flush(self) -> None:
        self._is_flush_due = False
        if self.session.has_output:
            self.link.send(self.session.frames())

    async def wait_writable(self, timeout_s: float | None = None) -> None:
        """Wait until the connection accepts more output.

        Parameters:
            timeout_s: the longest wait, in seconds; ``None`` for no limit.

        Raises:
            DeadlineExceeded: the connection accepted no output in this time.
        """
        if self._room is None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._room.wait()
        except TimeoutError:
            raise DeadlineExceeded("the other side takes nothing", executed="no") from None

    async def breathe(self) -> None:
        """Let other tasks run if many messages wait, because only then does the loop send them."""
        if self.session.messages_waiting >= FLUSH_EVERY:
            await give_way()

    # --- our calls ----------------------------------------------------------------------------------------------

    def begin(
        self,
        method: str,
        params: bytes | None,
        *,
        ctx: CallContext | None = None,
        timeout_s: float | None = None,
        pending: Pending,
    ) -> int:
        """Start a call.

        Parameters:
            method: the method's full name.
            params: the encoded parameters.
            ctx: the context of the call.
            timeout_s: how long to wait for the answer, in seconds.
            pending: gets the outcome.

        Returns:
            The call's id.

        Raises:
            RpcError: the call could not be sent.
        """
        session = self.session
        if session.state is SessionState.CLOSED or not self.link.is_open:  # As ``is_open`` says, without a call.
            raise NotSent(CONNECTION_OVER)
        call_id = session.call(method, params, ctx)
        self.track(call_id, pending, timeout_s)
        return call_id

    def track(self, call_id: int, pending: Pending, timeout_s: float | None) -> None:
        """Record a call that the session has queued, and send it soon."""
        self._pending[call_id] = pending
        if pending.progress is not None:
            pending.context = copy_context()
        if timeout_s is not None:
            if self._deadlines is None:
                self._deadlines = Deadlines(self.loop, self._on_deadline)
            self._deadlines.set(call_id, self.loop.time() + timeout_s + GRACE_S)
        if not self._is_flush_due:
            self.flush_soon()

    @property
    def dispatch(self) -> Dispatch:
        """Decides on every incoming call, and tells observers the outcome of every call."""
        return self._dispatch

    @property
    def is_open(self) -> bool:
        """Whether calls can still be sent. They cannot when either side has begun to close."""
        return self.link.is_open and self.session.state is not SessionState.CLOSED

    @property
    def is_waiting(self) -> bool:
        """Whether a call of ours waits for its answer."""
        return bool(self._pending)

    def check_open(self) -> None:
        """Raise an error if the connection has ended.

        Raises:
            NotSent: the connection has ended.
        """
        if not self.is_open:
            raise NotSent(CONNECTION_OVER)

    async def outcome(self, call_id: int, pending: Pending) -> Any:
        """Wait for a call's result. Cancelling the waiting task cancels the call on the other side.

        Raises:
            RpcError: the call failed.
        """
        try:
            if current_place() is None:
                return await pending.future
            with waiting():
                return await pending.future
        except asyncio.CancelledError:
            self.abandon(call_id)
            if (future := pending.future).done() and not future.cancelled() and future.exception() is None:
                # The answer came in the same turn. If it is a stream, nobody would ever close it.
                answer = future.result()
                if isinstance(answer, Inbox):
                    answer.drop()
            raise

    def abandon(self, call_id: int) -> None:
        """Cancel a call on the other side because nobody waits for it any more, and drop its answer when it comes."""
        pending = self._pending.get(call_id)
        if pending is not None:
            pending.is_abandoned = True
            if self._deadlines is not None:
                self._deadlines.clear(call_id)
            self._end_uploads(pending)
            self.session.cancel(call_id)
            self.flush_soon()

    def notify(self, method: str, params: bytes | None) -> None:
        """Send a notification.

        Raises:
            RpcError: the notification could not be sent.
        """
        self.check_open()
        self.session.notify(method, params)
        self.flush_soon()

    def _on_deadline(self, call_id: int) -> None:
        pending = self._pending.get(call_id)
        if pending is not None and not pending.future.done():
            self.abandon(call_id)
            pending.future.set_exception(DeadlineExceeded("the answer did not come in time; the call was cancelled"))

    def _end_uploads(self, pending: Pending) -> None:
        for task in pending.uploads:
            cancel_begun(task)

    # --- streams ------------------------------------------------------------------------------------------------

    def produce(
        self,
        source: AsyncIterator[Any],
        stream: OutgoingStream,
        dump: Callable[[Any], bytes],
        *,
        policy: SlowPolicy = SlowPolicy.BLOCK,
        buffer_items: int = 1024,
        to_error: Callable[[BaseException], RpcError],
        on_end: Callable[[RpcError | None], None] | None = None,
    ) -> asyncio.Task[None]:
        """Send all items of ``source`` over a stream of ours, in a separate task.

        Parameters:
            source: the items.
            stream: the stream, which the session has opened.
            dump: encodes an item.
            policy: what to do when the reader is slow.
            buffer_items: the number of items that may wait for a slow reader.
            to_error: turns an exception of the source into the error that the reader gets.
            on_end: called at the end, with the error if the stream ended before its source.
        """
        outbox = Outbox(self, stream, policy, buffer_items)
        self._outboxes[stream.id] = outbox

        async def run() -> None:
            error: RpcError | None = None
            interruption: RpcError | None = None
            try:
                await pump(source, outbox, dump)
            except asyncio.CancelledError:
                if stream.reason is not None:
                    error = stream.reason
                elif not stream.is_cancelled:
                    interruption = interruption_error()
                    raise
            except (Exception, SystemExit) as exc:  # As in a handler: sys.exit() must not end the program.
                error = to_error(exc)
            finally:
                self._outboxes.pop(stream.id, None)
                if stream.is_cancelled:
                    interruption = unread_error()
                if self.session.state is not SessionState.CLOSED:
                    self.session.streams.end(stream, error)
                    self.flush_soon()
                if on_end is not None:
                    on_end(error or interruption)

        task = self.loop.create_task(run())
        outbox.task = task
        return task

    def read_stream(self, stream_id: str, window: int | None = None, *, latest: bool = False) -> Inbox:
        """Begin to read a stream that the other side has named.

        Raises:
            RpcError: the stream cannot be read.
        """
        session = self.session
        inbox = Inbox(self, session.streams.accept(stream_id, window), latest=latest, account=session.account)
        self._inboxes[stream_id] = inbox
        self.flush_soon()
        return inbox

    def note_consumed(self, stream: IncomingStream) -> None:
        """Note that the reader has consumed an item."""
        self.session.streams.consume(stream)
        if self.session.has_output:
            self.flush_soon()

    def cancel_stream(self, stream: IncomingStream) -> None:
        """Tell the producer of a stream that the reader wants no more items."""
        self._inboxes.pop(stream.id, None)
        if self.session.state is not SessionState.CLOSED:
            self.session.streams.cancel(stream.id)
            self.flush_soon()

    def send_item(self, stream: OutgoingStream, item: bytes) -> None:
        """Send an item. The stream must have credit for it."""
        if self.session.state is not SessionState.CLOSED:
            self.session.streams.send(stream, item)
            self.flush_soon()

    # --- what arrives -------------------------------------------------------------------------------------------

    def frame_received(self, frame: bytes, events: Iterator[Event] | None = None) -> GoOn | None:
        """Handle one whole frame, or as much of it as one turn of the event loop takes.

        Parameters:
            frame: the frame.
            events: what is left of an earlier frame; then ``frame`` is not looked at.

        Returns:
            What handles the rest, one turn after the other; ``None`` if there is none.
        """
        if events is None:
            self.has_received = True
            self.session.arrived_ns = self._dispatch.arrival_ns() if self._dispatch.is_observed else None
            events = self.session.receive(frame)
            if len(frame) > LARGE_BYTES:
                return self._begin(events)
        self._is_receiving = True
        calls = share = 0
        later: Event | None = None
        try:
            for event in events:
                if share > TURN_EVENTS:
                    later = event
                    break
                if type(event) is IncomingCall:
                    share += self.handlers.start(event)
                    calls += 1
                    if calls % FLUSH_EVERY == 0:
                        self._flush()
                        self.handlers.tell_answers()
                elif type(event) is ResultReceived:
                    self._on_result(event)
                    share += 1
                elif type(event) is NotificationReceived:
                    share += self.handlers.start_notification(event)
                else:
                    self._on_event(event)
                    share += 1
        finally:
            self._is_receiving = False
        self._flush()
        if self.handlers.answers is not None:
            self.handlers.tell_answers()
        return None if later is None and share < WHOLE_TURN else self._go_on_later(later, events)

    def _begin(self, events: Iterator[Event]) -> GoOn | None:
        """Decode a large frame. If it begins with a call, handle it from the next turn of the loop on, because each may
        take long."""
        first = next(events, None)
        if type(first) is IncomingCall:
            return self._go_on_later(first, events)
        return self.frame_received(b"", iter(()) if first is None else chain((first,), events))

    def _go_on_later(self, first: Event | None, rest: Iterator[Event]) -> GoOn:
        self._next_event = first

        def go_on() -> GoOn | None:
            event, self._next_event = self._next_event, None
            return self.frame_received(b"", rest if event is None else chain((event,), rest))

        return go_on

    def _drop_rest(self) -> None:
        """Give back what the next message of a frame holds, because the connection has ended before its turn."""
        event, self._next_event = self._next_event, None
        if isinstance(event, (IncomingCall, NotificationReceived)) and event.loan is not None:
            event.loan.give_back()

    def _on_event(self, event: Event) -> None:
        match event:
            case ErrorReceived():
                self._on_error(event)
            case ItemsReceived():
                if (inbox := self._inboxes.get(event.stream)) is not None:
                    inbox.put(event.items, is_large=event.is_large)
            case StreamEnded():
                if (inbox := self._inboxes.pop(event.stream, None)) is not None:
                    error = event.error
                    inbox.end(None if error is None else from_wire(error.code, error.message, error.data))
            case CreditReceived():
                if (outbox := self._outboxes.get(event.stream)) is not None:
                    outbox.on_credit()
            case StreamCancelled():
                if (outbox := self._outboxes.get(event.stream)) is not None:
                    outbox.on_credit()
                    if outbox.task is not None:
                        cancel_begun(outbox.task)
            case CancelReceived():
                self.handlers.cancel(event.call)
            case ProgressReceived():
                self._on_progress(event)
            case Violation():
                if event.call is not None:
                    self._dispatch.report_refusal(self.connection, event.call, event.error, self.session.codec)
                self.logger.warning(
                    "%s: %s: %s",
                    self.connection.remote,
                    event.error.type,
                    printable(event.error.message),
                    extra=self.connection.log_extra,
                )
                if breaks_rule(event.error):
                    self.note_violation()

    def note_violation(self) -> None:
        """Count that the other side has broken a rule. Close the connection if it has broken too many."""
        is_opening = self.session.state is SessionState.OPENING
        if self._violations is None:
            limits = self.session.limits
            self._violations = Violations(limits.violations, limits.opening_violations)
        if self._violations.add(self.loop.time(), is_opening=is_opening):
            self._flush()  # The answers so far.
            self.link.close(1008, TOO_MANY)
            self.session.close()  # It reads nothing more, not even the rest of this frame.

    def _on_result(self, event: ResultReceived) -> None:
        pending = self._settle(event.id)
        if pending is None:
            return
        if not pending.is_stream:
            if pending.uploads:
                self._end_uploads(pending)
            if not pending.future.done():
                pending.future.set_result(event.result)
            return
        try:
            name = self.session.codec.read(event.result, StreamParams).stream
            inbox = self.read_stream(name, pending.window, latest=pending.latest)
        except UNREADABLE:
            self._fail(pending, RemoteProtocolError("the answer is no stream: use call() for this method"))
        except RpcError as exc:
            self._fail(pending, exc)
        else:
            if pending.future.done():
                inbox.drop()
            else:
                inbox.uploads = pending.uploads
                pending.future.set_result(inbox)

    def _on_error(self, event: ErrorReceived) -> None:
        pending = self._settle(event.id)
        if pending is not None:
            error = WireError(event.code, event.message, event.data)
            self._fail(pending, error)

    def _fail(self, pending: Pending, error: BaseException) -> None:
        self._end_uploads(pending)
        if not pending.future.done():
            pending.future.set_exception(error)

    def _settle(self, call_id: int) -> Pending | None:
        if self._deadlines is not None:
            self._deadlines.clear(call_id)
        return self._pending.pop(call_id, None)

    def _on_progress(self, event: ProgressReceived) -> None:
        pending = self._pending.get(event.id)
        if pending is not None and pending.progress is not None and not pending.is_abandoned:
            assert pending.context is not None
            try:
                pending.context.run(pending.progress, event.done, event.total, event.message)
            except Exception:
                self.logger.exception("the progress hook of call %s failed", event.id)

    # --- the end ------------------------------------------------------------------------------------------------

    def writing_paused(self) -> None:
        """Note that the connection accepts no more output for now."""
        self.is_writable = False
        self._room = self._room or asyncio.Event()

    def writing_resumed(self) -> None:
        """Note that the connection accepts output again."""
        self.is_writable = True
        if self._room is not None:
            self._room.set()
            self._room = None

    def end(self, code: int, reason: str) -> None:
        """Close the connection, and end everything that belongs to it at once, whatever the other side does.

        Parameters:
            code, reason: as of :meth:`~rpcwire.aio.link.Link.close`.
        """
        self._flush()
        self.link.close(code, reason, patient=False)
        self.link_lost(f"{code} {reason}")

    def link_lost(self, reason: str) -> None:
        """End everything, because the connection has ended."""
        self._drop_rest()
        unsent, _ = self.session.close()
        if self._deadlines is not None:
            self._deadlines.stop()
        pending, self._pending = self._pending, {}
        never_sent = set(unsent)
        for call_id, call in pending.items():
            self._end_uploads(call)
            if call_id in never_sent:
                self._fail(call, NotSent("the connection ended before the call was sent"))
            else:
                self._fail(call, ConnectionLost(f"the connection ended before the answer came ({reason})"))
            if call.is_abandoned and call.future.done() and not call.future.cancelled():
                call.future.exception()  # Otherwise asyncio would log that nobody has retrieved it.
        inboxes, self._inboxes = self._inboxes, {}
        for inbox in inboxes.values():
            inbox.end(lost_error())
        for outbox in list(self._outboxes.values()):
            if outbox.task is not None:
                cancel_begun(outbox.task)
        self.writing_resumed()
        self.handlers.connection_lost()
        self.connection.close()
        if not self.closed.done():
            self.closed.set_result(reason)

    async def drain(self, grace_s: float, patience_s: float = CANCEL_TIMEOUT_S) -> None:
        """Refuse new calls, let running calls end, and cancel those that take too long.

        Parameters:
            grace_s: how long running calls may take to end, in seconds.
            patience_s: how long cancelled calls may take to end, in seconds.
        """
        if self.session.state is SessionState.CLOSED:
            return
        self.session.move(SessionStep.DRAIN)
        await self.handlers.finish(grace_s, patience_s)
        self._flush()

    async def wait_closed(self) -> None:
        """Wait until the connection and all its handlers have ended."""
        await asyncio.shield(self.closed)
        await self.handlers.finish(0.0)
