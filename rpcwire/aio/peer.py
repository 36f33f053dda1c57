"""One side of a connection, driven by asyncio: calls go out, handlers run, streams flow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextvars import Context, copy_context
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
from rpcwire.limits import GRACE_S
from rpcwire.logs import printable
from rpcwire.messages import CallContext, StreamParams
from rpcwire.pool import current_place, waiting
from rpcwire.service import SlowPolicy
from rpcwire.session import Session
from rpcwire.states import SessionState, SessionStep
from rpcwire.streams import IncomingStream, OutgoingStream, interrupted, unread

from .cancelling import cancel_begun, give_way
from .deadlines import Deadlines
from .handlers import CANCEL_TIMEOUT_S, Handlers
from .link import Link
from .streams import Inbox, Outbox, lost, pump

FLUSH_EVERY = 16
"""Calls of one frame after which their answers leave, so that the caller works on those while this side works on the
rest. Without it the two sides would take turns."""

ENDED = "the connection has ended"


class Pending(msgspec.Struct, eq=False):
    """A call of ours under way. One is made for each call, and a structure is made in a third of a dataclass's time.

    Attributes:
        future: gets the encoded result, or for a stream its :class:`Inbox`.
        streams: whether the answer is a stream.
        window: items to let that stream's producer send ahead; ``None`` for the session's own.
        latest: of that stream, only the newest item is wanted.
        progress: told how far the call has come.
        uploads: the tasks that send the call's own streams.
        abandoned: nobody waits any more.
        context: the context variables of whoever called, for ``progress``: what arrives is handled in the connection's.
    """

    future: asyncio.Future[Any]
    streams: bool = False
    window: int | None = None
    progress: ProgressHook | None = None
    latest: bool = False
    uploads: tuple[asyncio.Task[None], ...] = ()
    abandoned: bool = False
    context: Context | None = None


class Peer:
    """Drives a session over a link. All methods belong to the event loop's thread.

    Parameters:
        session: the protocol.
        link: the way to the other side.
        dispatch: decides on each incoming call.
        connection: the connection as handlers see it.
        executor: runs handlers that are plain functions.
        logger: gets one line for each broken rule.

    Attributes:
        heard: whether anything has arrived.
        is_writable: whether the connection takes more.
    """

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
        self.heard = False
        self._pending: dict[int, Pending] = {}
        self._deadlines: Deadlines[int] = Deadlines(self.loop, self._expired)
        self._inboxes: dict[str, Inbox] = {}
        self._outboxes: dict[str, Outbox] = {}
        self._flushing = False
        self._receiving = False
        self.is_writable = True
        self._writable = asyncio.Event()
        self._writable.set()

    # --- sending ------------------------------------------------------------------------------------------------

    def flush_soon(self) -> None:
        """Send what the session has to say before the loop's next turn: everything of this turn in one frame."""
        if not self._flushing and not self._receiving:
            self._flushing = True
            self.loop.call_soon(self._flush)

    def flush(self) -> None:
        """Send what the session has to say at once: nothing else will be said in this turn."""
        if not self._receiving:
            self._flush()

    def _flush(self) -> None:
        self._flushing = False
        if self.session.has_output:
            self.link.send(self.session.frames())

    async def writable(self, timeout_s: float | None = None) -> None:
        """Wait until the connection takes more.

        Parameters:
            timeout_s: how long at most, in seconds; without end where not given.

        Raises:
            DeadlineExceeded: it did not.
        """
        if self.is_writable:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._writable.wait()
        except TimeoutError:
            raise DeadlineExceeded("the other side takes nothing", executed="no") from None

    async def breathe(self) -> None:
        """Let others run where much waits to be sent: it leaves only then."""
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
            method: the full name.
            params: encoded.
            ctx: goes with the call.
            timeout_s: when to give it up, in seconds.
            pending: what will hold its outcome.

        Returns:
            The call's id.

        Raises:
            RpcError: it could not be sent.
        """
        session = self.session
        if session.state is SessionState.CLOSED or not self.link.is_open:  # As ``is_open`` says, without a call.
            raise NotSent(ENDED)
        call_id = session.call(method, params, ctx)
        self.track(call_id, pending, timeout_s)
        return call_id

    def track(self, call_id: int, pending: Pending, timeout_s: float | None) -> None:
        """Take note of a call that the session has queued, and have it sent."""
        self._pending[call_id] = pending
        if pending.progress is not None:
            pending.context = copy_context()
        if timeout_s is not None:
            self._deadlines.set(call_id, self.loop.time() + timeout_s + GRACE_S)
        if not self._flushing:
            self.flush_soon()

    @property
    def is_open(self) -> bool:
        """Whether calls still go out: not once either side has begun to close."""
        return self.link.is_open and self.session.state is not SessionState.CLOSED

    @property
    def is_waiting(self) -> bool:
        """Whether a call of ours waits for its answer."""
        return bool(self._pending)

    def check_open(self) -> None:
        """Raise where the connection has ended.

        Raises:
            NotSent: it has.
        """
        if not self.is_open:
            raise NotSent(ENDED)

    async def outcome(self, call_id: int, pending: Pending) -> Any:
        """Wait for a call's result. Cancelling the waiting task cancels the call over there.

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
                # Its answer came in the same turn. A stream that nobody knows of would stay open.
                answer = future.result()
                if isinstance(answer, Inbox):
                    answer.drop()
            raise

    def abandon(self, call_id: int) -> None:
        """Nobody waits for this call any more: cancel it over there, and drop its answer when it comes."""
        pending = self._pending.get(call_id)
        if pending is not None:
            pending.abandoned = True
            self._deadlines.clear(call_id)
            self._end_uploads(pending)
            self.session.cancel(call_id)
            self.flush_soon()

    def notify(self, method: str, params: bytes | None) -> None:
        """Send a notification.

        Raises:
            RpcError: it could not be sent.
        """
        self.check_open()
        self.session.notify(method, params)
        self.flush_soon()

    def _expired(self, call_id: int) -> None:
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
        failed: Callable[[BaseException], RpcError],
        ended: Callable[[RpcError | None], None] | None = None,
    ) -> asyncio.Task[None]:
        """Send all items of ``source`` over a stream of ours, in a task of its own.

        Parameters:
            source: an async iterator.
            stream: opened by the session.
            dump: encodes an item.
            policy, buffer_items: for a reader that is slow.
            failed: what to say over there when the source raises.
            ended: called at the end, with the reason where it was not the source's own end.
        """
        outbox = Outbox(self, stream, policy, buffer_items)
        self._outboxes[stream.id] = outbox

        async def run() -> None:
            error: RpcError | None = None
            interruption: RpcError | None = None
            try:
                await pump(source, outbox, dump)
            except asyncio.CancelledError:
                if not stream.cancelled:
                    interruption = interrupted()
                    raise
            except (Exception, SystemExit) as exc:  # As in a handler: sys.exit() must not end the program.
                error = failed(exc)
            finally:
                self._outboxes.pop(stream.id, None)
                if stream.cancelled:
                    interruption = unread()
                if self.session.state is not SessionState.CLOSED:
                    self.session.streams.end(stream, error)
                    self.flush_soon()
                if ended is not None:
                    ended(error or interruption)

        task = self.loop.create_task(run())
        outbox.task = task
        return task

    def read_stream(self, stream_id: str, window: int | None = None, *, latest: bool = False) -> Inbox:
        """Begin to read a stream that the other side has named.

        Raises:
            RpcError: it cannot be read.
        """
        inbox = Inbox(self, self.session.streams.accept(stream_id, window), latest=latest)
        self._inboxes[stream_id] = inbox
        self.flush_soon()
        return inbox

    def stream_consumed(self, stream: IncomingStream) -> None:
        """The reader took an item out."""
        self.session.streams.consumed(stream)
        if self.session.has_output:
            self.flush_soon()

    def stream_dropped(self, stream: IncomingStream) -> None:
        """The reader wants no more."""
        self._inboxes.pop(stream.id, None)
        if self.session.state is not SessionState.CLOSED:
            self.session.streams.cancel(stream.id)
            self.flush_soon()

    def send_item(self, stream: OutgoingStream, item: bytes) -> None:
        """Send an item, for which there is credit."""
        if self.session.state is not SessionState.CLOSED:
            self.session.streams.send(stream, item)
            self.flush_soon()

    # --- what arrives -------------------------------------------------------------------------------------------

    def frame_received(self, frame: bytes) -> None:
        """One whole frame has come."""
        self.heard = True
        self._receiving = True
        started = 0
        try:
            for event in self.session.receive(frame):
                if type(event) is IncomingCall:
                    self.handlers.start(event)
                    started += 1
                    if started % FLUSH_EVERY == 0:
                        self._flush()
                elif type(event) is ResultReceived:
                    self._on_result(event)
                else:
                    self._on_event(event)
        finally:
            self._receiving = False
        self._flush()

    def _on_event(self, event: Event) -> None:
        match event:
            case ErrorReceived():
                self._on_error(event)
            case ItemsReceived():
                if (inbox := self._inboxes.get(event.stream)) is not None:
                    inbox.put(event.items)
            case StreamEnded():
                if (inbox := self._inboxes.pop(event.stream, None)) is not None:
                    told = event.error
                    inbox.end(None if told is None else from_wire(told.code, told.message, told.data))
            case CreditReceived():
                if (outbox := self._outboxes.get(event.stream)) is not None:
                    outbox.granted()
            case StreamCancelled():
                if (outbox := self._outboxes.get(event.stream)) is not None:
                    outbox.granted()
                    if outbox.task is not None:
                        cancel_begun(outbox.task)
            case CancelReceived():
                self.handlers.cancel(event.call)
            case NotificationReceived():
                self.handlers.notified(event)
            case ProgressReceived():
                self._on_progress(event)
            case Violation():
                if event.call is not None:
                    self._dispatch.refused(self.connection, event.call, event.error)
                self.logger.warning(
                    "%s: %s: %s", self.connection.remote, event.error.type, printable(event.error.message)
                )

    def _on_result(self, event: ResultReceived) -> None:
        pending = self._settle(event.id)
        if pending is None:
            return
        if not pending.streams:
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
        self._deadlines.clear(call_id)
        return self._pending.pop(call_id, None)

    def _on_progress(self, event: ProgressReceived) -> None:
        pending = self._pending.get(event.id)
        if pending is not None and pending.progress is not None and not pending.abandoned:
            assert pending.context is not None
            try:
                pending.context.run(pending.progress, event.done, event.total, event.message)
            except Exception:
                self.logger.exception("the progress hook of call %s failed", event.id)

    # --- the end ------------------------------------------------------------------------------------------------

    def writing_paused(self) -> None:
        """The other side does not take what was sent."""
        self.is_writable = False
        self._writable.clear()

    def writing_resumed(self) -> None:
        """It does again."""
        self.is_writable = True
        self._writable.set()

    def link_lost(self, reason: str) -> None:
        """The connection has ended."""
        unsent, _ = self.session.lost()
        self._deadlines.stop()
        pending, self._pending = self._pending, {}
        never_left = set(unsent)
        for call_id, call in pending.items():
            self._end_uploads(call)
            if call_id in never_left:
                self._fail(call, NotSent("the connection ended before the call was sent"))
            else:
                self._fail(call, ConnectionLost(f"the connection ended before the answer came ({reason})"))
            if call.abandoned and call.future.done() and not call.future.cancelled():
                call.future.exception()  # Nobody will: without this asyncio would log it as never retrieved.
        inboxes, self._inboxes = self._inboxes, {}
        for inbox in inboxes.values():
            inbox.end(lost())
        for outbox in list(self._outboxes.values()):
            if outbox.task is not None:
                cancel_begun(outbox.task)
        self.is_writable = True
        self._writable.set()
        self.handlers.connection_lost()
        self.connection.close()
        if not self.closed.done():
            self.closed.set_result(reason)

    async def drain(self, grace_s: float, patience_s: float = CANCEL_TIMEOUT_S) -> None:
        """Refuse new calls, and give those that run some time to end; what remains is cancelled.

        Parameters:
            grace_s: how much time, in seconds.
            patience_s: how long those that are cancelled may take, in seconds.
        """
        if self.session.state is SessionState.CLOSED:
            return
        self.session.move(SessionStep.DRAIN)
        await self.handlers.finish(grace_s, patience_s)
        self._flush()

    async def wait_closed(self) -> None:
        """Wait until the connection has ended and every handler of it, too."""
        await asyncio.shield(self.closed)
        await self.handlers.finish(0.0)
