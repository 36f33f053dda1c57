"""Runs the handlers of incoming calls in threads, and stops those that nobody waits for any more.
:mod:`rpcwire.dispatch` finds the method, decides whether it may run, and turns its end into an answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextvars import Context as Variables
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, get_origin

from rpcwire.context import Connection, Context, time_left_s
from rpcwire.dispatch import Dispatch, Upload, cancel_error, late_error, suspension_error
from rpcwire.errors import Cancelled, RpcError, Unavailable
from rpcwire.events import IncomingCall, NotificationReceived
from rpcwire.pool import take_place
from rpcwire.registry import Mode, Offer, mode_of
from rpcwire.service import Service, SlowPolicy
from rpcwire.session import Session
from rpcwire.states import SessionState
from rpcwire.streams import OutgoingStream, interruption_error

from .inbox import Inbox, StreamReader
from .workers import Workers

_T = TypeVar("_T")


class Host(Protocol):
    """What handlers need of the peer whose call they run.

    Attributes:
        session: the protocol.
        connection: the connection as handlers see it.
    """

    session: Session
    connection: Connection

    def exclusively(self, act: Callable[..., _T], *args: Any) -> _T:
        """Run ``act`` under the connection's lock, and send the session's output."""
        ...

    def answer(self, act: Callable[..., _T], *args: Any) -> _T | None:
        """Run ``act`` under the connection's lock, unless the connection has ended: then ``act`` has no use."""
        ...

    def produce(
        self,
        source: Iterable[Any],
        stream: OutgoingStream,
        dump: Callable[[Any], bytes],
        *,
        policy: SlowPolicy = ...,
        buffer_items: int = ...,
        to_error: Callable[[BaseException], RpcError],
        on_end: Callable[[RpcError | None], None] | None = ...,
    ) -> object:
        """Send all items of ``source`` over a stream of ours, in a separate thread."""
        ...

    def read_stream(self, stream_id: str) -> Inbox:
        """Begin to read a stream that the other side has named. The lock must be held."""
        ...


def check_offer(service: Service[Any]) -> None:
    """Make sure that threads can run a service.

    Raises:
        TypeError: a method of the service needs an event loop.
    """
    for spec in service.methods():
        mode = mode_of(spec.function)
        asynchronous = mode in (Mode.TASK, Mode.STREAM) or any(
            isinstance(origin := get_origin(p.annotation), type) and hasattr(origin, "__aiter__")
            for p in spec.contract.parameters
        )
        if asynchronous:
            raise TypeError(
                f"{spec.full_name}: needs an event loop, and Client has none: use AsyncClient, or write a plain def"
            )


class HandlerContext(Context):
    """The context of a call that runs in a thread."""

    __slots__ = ()

    @property
    def cancelled(self) -> bool:
        return self._is_cancelled or time.monotonic() >= self.deadline


@dataclass(slots=True, eq=False)
class Running:
    """A handler, from the arrival of its call until its answer.

    Attributes:
        peer: the peer of the call's connection.
        offer: its method.
        message: the call or the notification that it handles.
        ctx: its context.
        owner: an object that must not become garbage while the handler runs.
        inboxes: the readers of the streams among its parameters.
        reason: the error with which it was told to stop; ``None`` if it was not.
    """

    peer: Host
    offer: Offer
    message: IncomingCall | NotificationReceived
    ctx: Context
    owner: object
    inboxes: list[tuple[Upload, Inbox]] = field(default_factory=list)
    reason: RpcError | None = None

    def stop(self, reason: RpcError) -> None:
        """Tell the handler to end, and why."""
        if self.reason is None:
            self.reason = reason
            self.ctx.cancel()


class Handlers:
    """The handlers of a client, over all its connections.

    Parameters:
        dispatch: finds the method of each call, and decides whether it may run.
        variables: the context variables that they see: those of the code that made the client.
    """

    def __init__(self, dispatch: Dispatch, variables: Variables) -> None:
        self._dispatch = dispatch
        self._variables = variables
        self._lock = threading.Lock()
        self._workers: Workers | None = None
        self._running: dict[int, Running] = {}
        self._closed = False

    # --- in the reader's thread ---------------------------------------------------------------------------------

    def start(self, peer: Host, call: IncomingCall) -> None:
        """Have a thread run the handler of a call and answer the call."""
        dispatch = self._dispatch
        try:
            offer, args, kwargs = dispatch.admit(peer.connection, call, peer.session.codec)
            running = Running(peer, offer, call, self._context(peer, offer, call), dispatch.offers.owner())
            self._attach_streams(running, kwargs)
        except RpcError as exc:
            self._reply_error(peer, call, exc)
            return
        dispatch.report_start(peer.connection, call)
        call.params = None  # They would keep their whole frame in memory, as long as the handler runs.
        self._submit(running, args, kwargs)

    def arrival_ns(self) -> int | None:
        """The time, for the arrival of all calls of a frame; ``None`` if nobody observes them."""
        return self._dispatch.arrival_ns()

    def report_refusal(self, peer: Host, call: IncomingCall, error: RpcError) -> None:
        """Tell the observers that the session has refused a call."""
        self._dispatch.report_refusal(peer.connection, call, error, peer.session.codec)

    def start_notification(self, peer: Host, event: NotificationReceived) -> None:
        """Have a thread run the handler of a notification. Errors are only logged, because nobody waits for an
        answer."""
        dispatch, session = self._dispatch, peer.session
        try:
            offer, args, kwargs = dispatch.admit_notification(
                peer.connection, event, session.codec, running=len(self._running), most=session.limits.calls_in_flight
            )
        except RpcError as exc:
            dispatch.report_refused_notification(peer.connection, event, exc)
            return
        running = Running(peer, offer, event, self._context(peer, offer, None), dispatch.offers.owner())
        dispatch.report_start(peer.connection, event)
        event.params = None
        self._submit(running, args, kwargs)

    def cancel(self, call: IncomingCall) -> None:
        """Cancel a call because its caller wants that. It is answered when its handler has ended."""
        running = self._running.get(id(call))
        if running is not None:
            running.stop(cancel_error(call))

    def connection_lost(self, peer: Host) -> None:
        """Stop all handlers of this connection, because nobody is left to answer."""
        for running in list(self._running.values()):
            if running.peer is peer:
                running.stop(Cancelled("the connection ended", executed="yes"))

    def _context(self, peer: Host, offer: Offer, call: IncomingCall | None) -> Context:
        def report(done: float, total: float | None, message: str | None) -> None:
            if call is not None:
                peer.answer(peer.session.progress, call, done, total, message)

        call_context = None if call is None else call.ctx
        deadline = time.monotonic() + time_left_s(call_context, offer.spec.options.deadline_s)
        return self._dispatch.context(offer, peer.connection, call_context, deadline, report, HandlerContext)

    def _attach_streams(self, running: Running, kwargs: dict[str, Any]) -> None:
        """Replace the references to streams among the arguments with readers, at once: the items may follow already."""
        peer = running.peer
        for upload in self._dispatch.uploads(running.offer, kwargs, peer.session.codec):
            inbox = peer.exclusively(peer.read_stream, upload.stream)
            running.inboxes.append((upload, inbox))
            kwargs[upload.name] = StreamReader(inbox, upload.load)

    def _submit(self, running: Running, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if running.offer.contract.context_name is not None:
            kwargs[running.offer.contract.context_name] = running.ctx
        key = id(running.message)
        with self._lock:
            if self._closed:
                # The connection is closing as well, so there is nobody to answer.
                refusal = Unavailable("the client is closing")
                self._dispatch.report_end(running.peer.connection, running.message, refusal)
                return
            if self._workers is None:
                self._workers = Workers(name="rpcclient-handler")
            self._running[key] = running
            variables, workers = self._variables.copy(), self._workers
        # This runs without the lock: if there is no thread, the call is answered at once.
        workers.give(
            lambda: variables.run(self._run, key, running, args, kwargs),
            lambda exc: self._answer_unrun(key, running, exc),
        )

    def _answer_unrun(self, key: int, running: Running, exc: BaseException) -> None:
        """Answer a call that will never get a thread."""
        self._running.pop(key, None)
        self._refuse(running, self._dispatch.error(running.offer, exc))
        self._drop_inboxes(running, running.inboxes)

    # --- in the handler's thread ---------------------------------------------------------------------------------

    def _run(self, key: int, running: Running, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        take_place()
        try:
            self._call(running, args, kwargs)
        except BaseException as exc:
            error = self._dispatch.error(running.offer, exc)
            self._refuse(running, running.reason or error)
        finally:
            self._running.pop(key, None)
            self._drop_inboxes(running, running.inboxes)

    def _call(self, running: Running, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        offer, message, peer, dispatch = running.offer, running.message, running.peer, self._dispatch
        if running.reason is not None:
            raise running.reason  # The call was cancelled before a thread was free.
        result = offer.call(*args, **kwargs)
        if offer.mode is Mode.INLINE:
            result = _run_to_end(result, offer)
        if time.monotonic() >= running.ctx.deadline:
            raise late_error(offer)
        if isinstance(message, NotificationReceived):
            dispatch.report_end(peer.connection, message)
        elif offer.contract.item is not None:
            self._answer_stream(running, message, result)
        else:
            body = dispatch.encode_result(offer, result, peer.session.codec)
            error = peer.answer(peer.session.reply, message, body)
            dispatch.report_end(peer.connection, message, error, 0 if error is not None else len(body))

    def _answer_stream(self, running: Running, call: IncomingCall, source: Iterable[Any]) -> None:
        offer, peer, dispatch = running.offer, running.peer, self._dispatch
        item = offer.contract.item
        assert item is not None
        stream = peer.answer(peer.session.reply_stream, call)
        if stream is None:
            is_closed = peer.session.state is SessionState.CLOSED
            dispatch.report_end(
                peer.connection, call, interruption_error() if is_closed else peer.session.streams.too_many_error()
            )
            close: Callable[[], None] | None = getattr(source, "close", None)
            if close is not None:
                close()
            return
        dispatch.report_end(peer.connection, call)
        # The handler may read the caller's streams while it sends its own: they stay open until that has ended.
        inboxes, running.inboxes = running.inboxes, []

        def on_end(error: RpcError | None) -> None:
            dispatch.report_stream_end(peer.connection, call, stream, error)
            self._drop_inboxes(running, inboxes)
            running.owner = None

        peer.produce(
            source,
            stream,
            dispatch.item_encoder(offer, item, peer.session.codec),
            policy=offer.spec.options.slow_policy,
            buffer_items=offer.spec.options.buffer_items,
            to_error=lambda exc: dispatch.error(offer, exc),
            on_end=on_end,
        )

    def _refuse(self, running: Running, error: RpcError) -> None:
        message, peer = running.message, running.peer
        if isinstance(message, NotificationReceived):
            self._dispatch.report_failed_notification(peer.connection, message, running.offer, error)
        else:
            self._reply_error(peer, message, error)

    def _reply_error(self, peer: Host, call: IncomingCall, error: RpcError) -> None:
        peer.answer(peer.session.reply_error, call, error)
        self._dispatch.report_end(peer.connection, call, error)

    def _drop_inboxes(self, running: Running, inboxes: Iterable[tuple[Upload, Inbox]]) -> None:
        """Stop reading these streams, and tell the observers."""
        for upload, inbox in inboxes:
            inbox.drop()
            self._dispatch.report_upload_end(running.peer.connection, running.message, upload)

    # --- the end ------------------------------------------------------------------------------------------------

    def on_fork(self) -> None:
        """Forget all handlers after a fork: they run in the parent, except the handler that has forked."""
        running, self._running = self._running, {}
        self._lock = threading.Lock()
        self._workers = None
        for handler in running.values():
            handler.stop(Cancelled("the process was forked: the call is the parent's", executed="yes"))

    def leave(self) -> None:
        """End the idle threads. Takes no lock, because the garbage collector may call it at any moment."""
        workers = self._workers
        if workers is not None:
            workers.leave()

    def close(self, until: float) -> None:
        """Stop all handlers and wait for them, but not for those that ignore ``ctx.cancelled``.

        Parameters:
            until: the end of the wait, on the clock of :func:`time.monotonic`.
        """
        with self._lock:
            workers, self._workers, self._closed = self._workers, None, True
        for running in list(self._running.values()):
            running.stop(Cancelled("the client is closing", executed="yes"))
        if workers is not None:
            workers.close(until)
        self._running.clear()  # Some handlers may never have begun.


def _run_to_end(coroutine: Generator[Any, Any, Any], offer: Offer) -> Any:
    """Run a coroutine that awaits nothing, and return its result."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise suspension_error(offer)
