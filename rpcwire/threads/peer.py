"""Drives one side of a connection with threads: any thread may call, and the link's thread handles the frames that
arrive."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from rpcwire.codec import UNREADABLE
from rpcwire.context import Connection
from rpcwire.elsewhere import parent_call_error
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
    ProgressReceived,
    ResultReceived,
    StreamCancelled,
    StreamEnded,
    Violation,
)
from rpcwire.limits import GRACE_S
from rpcwire.logs import printable
from rpcwire.messages import CallContext, StreamParams
from rpcwire.pool import leave_place
from rpcwire.session import Session
from rpcwire.states import SessionState
from rpcwire.streams import IncomingStream, OutgoingStream, SlowPolicy
from rpcwire.violations import TOO_MANY, Violations, breaks_rule

from .inbox import Inbox
from .interrupts import Flag
from .link import Link
from .outbox import Outbox, pump
from .pending import Pending

if TYPE_CHECKING:
    from .handlers import Host

_T = TypeVar("_T")


CONNECTION_OVER = "the connection has ended"


class Answerer(Protocol):
    """What runs the calls of the other side, as :class:`rpcwire.threads.handlers.Handlers` does."""

    def start(self, peer: Host, call: IncomingCall) -> None:
        """Have a thread run the handler of a call and answer the call."""
        ...

    def start_notification(self, peer: Host, event: NotificationReceived) -> None:
        """Have a thread run the handler of a notification."""
        ...

    def arrival_ns(self) -> int | None:
        """The time, for the arrival of all calls of a frame; ``None`` if nobody observes them."""
        ...

    def report_refusal(self, peer: Host, call: IncomingCall, error: RpcError) -> None:
        """Tell the observers that the session has refused a call."""
        ...

    def cancel(self, call: IncomingCall) -> None:
        """Cancel a call because its caller wants that."""
        ...

    def connection_lost(self, peer: Host) -> None:
        """Stop all handlers of this connection, because nobody is left to answer."""
        ...


class Peer:
    """Drives a session over a link. Its methods may be called by any thread.

    Parameters:
        session: the protocol.
        link: the way to the other side.
        handlers: run the calls of the other side.
        connection: the connection as handlers see it.
        on_loss: called when the connection has ended, before any call that waits gets its error.
        logger: gets a line for each rule that the other side breaks.

    Attributes:
        closed: set when the connection has ended.
        has_received: whether a frame has arrived.
    """

    def __init__(
        self,
        session: Session,
        link: Link,
        handlers: Answerer,
        connection: Connection,
        *,
        on_loss: Callable[[Peer, str], None],
        logger: logging.Logger,
    ) -> None:
        self.session = session
        self.link = link
        self.connection = connection
        self.logger = logger
        self.closed = Flag()
        self.has_received = False
        self._handlers = handlers
        self._on_loss = on_loss
        self._lock = link.lock
        self._pending: dict[int, Pending] = {}
        self._inboxes: dict[str, Inbox] = {}
        self._outboxes: dict[str, Outbox] = {}
        self._later: deque[Callable[[], object]] = deque()
        self._violations = Violations(session.limits.violations, session.limits.opening_violations)

    def exclusively(self, act: Callable[..., _T], *args: Any) -> _T:
        """Run ``act`` under the connection's lock, and send the session's output.

        An interruption may come at any moment (Ctrl-C). If it comes in the middle, the state of the session is unknown
        and a frame may be sent by half, so the connection is dropped. After the output is handed over it does no harm.
        """
        with self._lock:
            self.link.whole = False
            try:
                result = act(*args)
                if self.session.has_output:
                    self.link.send(self.session.frames())
                return result
            except RpcError:
                raise
            except BaseException:
                if not self.link.whole:
                    self.link.abort()
                raise

    # --- our calls ----------------------------------------------------------------------------------------------

    def begin(self, method: str, params: bytes | None, ctx: CallContext | None, pending: Pending, until: float) -> None:
        """Start a call.

        Parameters:
            method: the method's full name.
            params: the encoded parameters.
            ctx: the context of the call.
            pending: gets the outcome.
            until: the end of the wait if the other side accepts no output, on the clock of :func:`time.monotonic`.

        Raises:
            RpcError: the call could not be sent.
        """
        self.wait_for_room(until)
        self.exclusively(self._begin, method, params, ctx, pending)

    def _begin(self, method: str, params: bytes | None, ctx: CallContext | None, pending: Pending) -> None:
        session = self.session
        if session.state is SessionState.CLOSED or not self.link.is_open:  # The same as ``is_open``, without a call.
            raise NotSent(CONNECTION_OVER)
        pending.id = session.call(method, params, ctx)
        self._pending[pending.id] = pending

    def begin_batch(
        self,
        calls: list[tuple[str, bytes | None, bool]],
        ctx: CallContext | None,
        pendings: Sequence[Pending | None],
        until: float,
    ) -> None:
        """Start several calls in one frame.

        Parameters:
            calls: see :meth:`rpcwire.session.Session.batch`.
            ctx: the context of each call.
            pendings: for each entry the object that gets its outcome; ``None`` for a notification.
            until: see :meth:`begin`.

        Raises:
            RpcError: the calls could not be sent.
        """
        self.wait_for_room(until)
        self.exclusively(self._begin_batch, calls, ctx, pendings)

    def _begin_batch(
        self, calls: list[tuple[str, bytes | None, bool]], ctx: CallContext | None, pendings: Sequence[Pending | None]
    ) -> None:
        self._check_open()
        for call_id, pending in zip(self.session.batch(calls, ctx), pendings, strict=True):
            if call_id is not None and pending is not None:
                pending.id = call_id
                self._pending[call_id] = pending

    def outcome(self, pending: Pending, until: float) -> Any:
        """Wait for a call's result.

        Parameters:
            pending: the call.
            until: the call's deadline, on the clock of :func:`time.monotonic`.

        Raises:
            RpcError: the call failed.
        """
        if not pending.wait(until + GRACE_S):
            self.abandon(pending)
            raise DeadlineExceeded("the answer did not come in time; the call was cancelled")
        if pending.error is not None:
            raise pending.error
        return pending.value

    def abandon(self, pending: Pending) -> None:
        """Cancel a call on the other side because nobody waits for it any more, and drop its answer when it comes."""
        self.exclusively(self._abandon, pending)
        self.stop_uploads(pending)
        if pending.done and isinstance(pending.value, Inbox):
            pending.value.drop()

    def _abandon(self, pending: Pending) -> None:
        if not pending.is_abandoned and pending.id in self._pending:
            self.session.cancel(pending.id)
        pending.abandon()

    def notify(self, method: str, params: bytes | None, until: float) -> None:
        """Send a notification.

        Parameters:
            method: the method's full name.
            params: the encoded parameters.
            until: see :meth:`begin`.

        Raises:
            RpcError: the notification could not be sent.
        """
        self.wait_for_room(until)
        self.exclusively(self._notify, method, params)

    def _notify(self, method: str, params: bytes | None) -> None:
        self._check_open()
        self.session.notify(method, params)

    @property
    def is_open(self) -> bool:
        """Whether calls can still be sent. They cannot when either side has begun to close."""
        return self.link.is_open and self.session.state is not SessionState.CLOSED

    @property
    def is_waiting(self) -> bool:
        """Whether a call of ours waits for its answer."""
        return bool(self._pending)

    def _check_open(self) -> None:
        if not self.is_open:
            raise NotSent(CONNECTION_OVER)

    def wait_for_room(self, until: float = math.inf) -> None:
        """Wait until the connection accepts more output.

        Parameters:
            until: the end of the wait, on the clock of :func:`time.monotonic`.

        Raises:
            DeadlineExceeded: the connection accepted no output in this time.
        """
        room = self.link.room
        if not room.is_set() and not room.wait(until - time.monotonic()):
            raise DeadlineExceeded("the other side takes nothing", executed="no")

    # --- answers to the other side ------------------------------------------------------------------------------

    def answer(self, act: Callable[..., _T], *args: Any) -> _T | None:
        """Run ``act`` under the connection's lock, unless the connection has ended: then ``act`` has no use."""
        return self.exclusively(partial(self._if_open, act), *args)

    def _if_open(self, act: Callable[..., _T], *args: Any) -> _T | None:
        return None if self.session.state is SessionState.CLOSED else act(*args)

    # --- streams ------------------------------------------------------------------------------------------------

    def produce(
        self,
        source: Iterable[Any],
        stream: OutgoingStream,
        dump: Callable[[Any], bytes],
        *,
        policy: SlowPolicy = SlowPolicy.BLOCK,
        buffer_items: int = 1024,
        to_error: Callable[[BaseException], RpcError],
        on_end: Callable[[RpcError | None], None] | None = None,
    ) -> Outbox:
        """Send all items of ``source`` over a stream of ours, in a separate thread.

        Parameters:
            source: the items.
            stream: the stream, which the session has opened.
            dump: encodes an item.
            policy: what to do when the reader is slow.
            buffer_items: the number of items that may wait for a slow reader.
            to_error: turns an exception of the source into the error that the reader gets.
            on_end: called at the end, in that thread, with the error if the stream ended before its source.
        """
        outbox = Outbox(self, stream, policy, buffer_items)
        with self._lock:
            self._outboxes[stream.id] = outbox
        if self.session.state is SessionState.CLOSED:
            outbox.stop()
        # The source sees the context variables of the code that called this.
        variables = copy_context()
        variables.run(leave_place)  # If a handler called this, it goes on and keeps its place.
        work = partial(pump, self, outbox, source, dump, to_error, on_end)
        thread = threading.Thread(target=variables.run, args=(work,), name=f"rpcclient-{stream.id}", daemon=True)
        outbox.thread = thread
        thread.start()
        return outbox

    def send_item(self, stream: OutgoingStream, item: bytes) -> None:
        """Send an item. The stream must have credit for it, and the lock must be held."""
        if self.session.state is not SessionState.CLOSED and not stream.is_cancelled:
            self.session.streams.send(stream, item)

    def end_stream(self, outbox: Outbox, error: RpcError | None) -> None:
        """Send the end of a stream."""
        self._outboxes.pop(outbox.stream.id, None)
        self.answer(self.session.streams.end, outbox.stream, error)

    def withdraw(self, streams: Iterable[OutgoingStream]) -> None:
        """Forget streams whose call was never sent."""
        for stream in streams:
            self.answer(self.session.streams.withdraw, stream)

    def read_stream(self, stream_id: str, window: int | None = None, *, latest: bool = False) -> Inbox:
        """Begin to read a stream that the other side has named. The lock must be held.

        Raises:
            RpcError: the stream cannot be read.
        """
        stream = self.session.streams.accept(stream_id, window)
        inbox = self._inboxes[stream_id] = Inbox(self, stream, latest=latest)
        return inbox

    def note_consumed(self, stream: IncomingStream, items: int) -> None:
        """Note that the reader has consumed items."""
        self.answer(self.session.streams.consume, stream, items)

    def cancel_stream(self, stream: IncomingStream) -> None:
        """Tell the producer of a stream that the reader wants no more items."""
        self._inboxes.pop(stream.id, None)
        self.answer(self.session.streams.cancel, stream.id)

    def drop_later(self, inbox: Inbox) -> None:
        """Have the link's thread drop an inbox. Takes no lock."""
        self.later(inbox.drop)

    def later(self, act: Callable[[], object]) -> None:
        """Have the link's thread run ``act``. Takes no lock, because the garbage collector may call it at any moment.

        Parameters:
            act: the function. An RpcError that it raises is ignored: the connection has ended then.
        """
        self._later.append(act)
        self.link.wake()

    def add_upload(self, pending: Pending, outbox: Outbox) -> None:
        """Add the outbox of a stream among a call's parameters. The lock must be held."""
        pending.uploads = (*pending.uploads, outbox)
        if isinstance(pending.value, Inbox):
            pending.value.own_uploads(pending.uploads)
        elif pending.done:  # The answer has come already.
            outbox.stop()

    def stop_uploads(self, pending: Pending) -> None:
        """Stop the streams among a call's parameters, because the call has ended."""
        for outbox in pending.uploads:
            outbox.stop()

    # --- what arrives -------------------------------------------------------------------------------------------

    def frame_received(self, frame: bytes) -> None:
        """Handle one whole frame."""
        self.has_received = True
        later: list[Event] = []
        with self._lock:
            self.session.arrived_ns = self._handlers.arrival_ns()
            for event in self.session.receive(frame):
                if type(event) is ResultReceived:
                    self._on_result(event)
                elif not self._on_event(event):
                    later.append(event)
            if self.session.has_output:
                self.link.send(self.session.frames())
        for event in later:
            self._on_event_unlocked(event)

    def woken(self) -> None:
        """Run the functions that were given to :meth:`later`."""
        while self._later:
            act = self._later.popleft()
            with contextlib.suppress(RpcError):
                act()

    def _on_event(self, event: Event) -> bool:
        """Handle an event that needs only the session. Return ``False`` if it must be handled without the lock."""
        match event:
            case ErrorReceived():
                if (pending := self._pending.pop(event.id, None)) is not None:
                    self.stop_uploads(pending)
                    pending.settle(None, WireError(event.code, event.message, event.data))
            case ItemsReceived():
                if (inbox := self._inboxes.get(event.stream)) is not None and (replacements := inbox.put(event.items)):
                    self.session.streams.consume(inbox.stream, replacements)
            case StreamEnded():
                if (inbox := self._inboxes.pop(event.stream, None)) is not None:
                    error = event.error
                    inbox.end(None if error is None else from_wire(error.code, error.message, error.data))
            case CreditReceived() | StreamCancelled():
                if (outbox := self._outboxes.get(event.stream)) is not None:
                    outbox.on_credit()
            case ProgressReceived():
                if (pending := self._pending.get(event.id)) is not None and not pending.is_abandoned:
                    pending.mailbox.report(event.done, event.total, event.message)
            case _:
                return False
        return True

    def _on_result(self, event: ResultReceived) -> None:
        pending = self._pending.pop(event.id, None)
        if pending is None:
            return
        if not pending.is_stream:
            self.stop_uploads(pending)
            pending.settle(event.result, None)
            return
        try:
            name = self.session.codec.read(event.result, StreamParams).stream
            inbox = self.read_stream(name, pending.window, latest=pending.latest)
        except UNREADABLE:
            self.stop_uploads(pending)
            pending.settle(None, RemoteProtocolError("the answer is no stream: use call() for this method"))
        except RpcError as exc:
            self.stop_uploads(pending)
            pending.settle(None, exc)
        else:
            inbox.own_uploads(pending.uploads)
            if pending.is_abandoned:
                self.drop_later(inbox)
            pending.settle(inbox, None)

    def _on_event_unlocked(self, event: Event) -> None:
        match event:
            case IncomingCall():
                self._handlers.start(self, event)
            case NotificationReceived():
                self._handlers.start_notification(self, event)
            case CancelReceived():
                self._handlers.cancel(event.call)
            case Violation():
                if event.call is not None:
                    self._handlers.report_refusal(self, event.call, event.error)
                self.logger.warning(
                    "%s: %s: %s",
                    self.connection.remote,
                    event.error.type,
                    printable(event.error.message),
                    extra=self.connection.log_extra,
                )
                if breaks_rule(event.error):
                    self._note_violation()

    def _note_violation(self) -> None:
        """Count that the other side has broken a rule. Close the connection if it has broken too many."""
        is_opening = self.session.state is SessionState.OPENING
        if self._violations.add(time.monotonic(), is_opening=is_opening):
            self.link.close(1008, TOO_MANY)

    # --- the end ------------------------------------------------------------------------------------------------

    def link_lost(self, reason: str) -> None:
        """End everything, because the connection has ended."""
        self._on_loss(self, reason)
        with self._lock:
            never_sent = set(self.session.close()[0])
            pending, self._pending = self._pending, {}
            inboxes, self._inboxes = self._inboxes, {}
            outboxes = list(self._outboxes.values())
        for call_id, call in pending.items():
            self.stop_uploads(call)
            if call_id in never_sent:
                call.settle(None, NotSent("the connection ended before the call was sent"))
            else:
                call.settle(None, ConnectionLost(f"the connection ended before the answer came ({reason})"))
        for inbox in inboxes.values():
            inbox.end(ConnectionLost("the connection broke while the stream was being read", executed="yes"))
        for outbox in outboxes:
            outbox.stop()
        self._handlers.connection_lost(self)
        self.connection.close()
        self.closed.set()

    def on_fork(self) -> None:
        """End everything after a fork: the connection and its calls belong to the parent."""
        self.link.on_fork()
        self._lock = self.link.lock
        self.closed = Flag()
        self.closed.set()
        self.session.close()
        self.connection.leave()
        pending, self._pending = self._pending, {}
        inboxes, self._inboxes = self._inboxes, {}
        outboxes, self._outboxes = self._outboxes, {}
        for outbox in outboxes.values():
            outbox.on_fork()
        for inbox in inboxes.values():
            inbox.on_fork()
        for call in pending.values():
            call.settle(None, parent_call_error())

    def wait_closed(self, until: float) -> None:
        """Wait until the connection has ended.

        Parameters:
            until: the end of the wait, on the clock of :func:`time.monotonic`.
        """
        self.closed.wait(until - time.monotonic())

    def join_uploads(self, until: float) -> None:
        """Wait until the threads that feed streams have ended.

        Parameters:
            until: the end of the wait for threads whose source yields nothing, on the clock of :func:`time.monotonic`.
        """
        for outbox in list(self._outboxes.values()):
            thread = outbox.thread
            # A thread whose start was interrupted has no identity, and there is nothing to wait for.
            if thread is not None and thread.ident is not None and thread is not threading.current_thread():
                thread.join(max(until - time.monotonic(), 0.0))
