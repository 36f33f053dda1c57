"""Runs what the other side calls, each call in a thread of a pool, and stops what is not wanted any more. Which method
it is, whether it may run, and what its end means, :mod:`rpcwire.dispatch` decides."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextvars import copy_context
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
    """What handlers need of the peer where a call came from.

    Attributes:
        session: the protocol.
        connection: the connection as handlers see it.
    """

    session: Session
    connection: Connection

    def exclusively(self, act: Callable[..., _T], *args: Any) -> _T:
        """Run ``act`` under the connection's lock, and send what comes of it."""
        ...

    def answer(self, act: Callable[..., _T], *args: Any) -> _T | None:
        """Do something for the other side that is pointless once the connection has ended."""
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
        """Send all items of ``source`` over a stream of ours, from a thread of its own."""
        ...

    def read_stream(self, stream_id: str) -> Inbox:
        """Begin to read a stream that the other side has named. The lock must be held."""
        ...


def check_offer(service: Service[Any]) -> None:
    """Make sure that threads can run a service.

    Raises:
        TypeError: a method needs an event loop.
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
        return self._cancelled or time.monotonic() >= self.deadline


@dataclass(slots=True, eq=False)
class Running:
    """A handler, from the arrival of its call until its answer.

    Attributes:
        peer: where the call came from.
        offer: which method it is.
        message: the call that it answers, or the notification.
        ctx: its context.
        needed: what must not become garbage meanwhile.
        inboxes: what reads the streams among its parameters.
        reason: why it was told to stop, if it was.
    """

    peer: Host
    offer: Offer
    message: IncomingCall | NotificationReceived
    ctx: Context
    needed: object
    inboxes: list[tuple[Upload, Inbox]] = field(default_factory=list)
    reason: RpcError | None = None

    def stop(self, reason: RpcError) -> None:
        """Tell the handler to end, for this reason."""
        if self.reason is None:
            self.reason = reason
            self.ctx.cancel()


class Handlers:
    """The handlers of a client, over all its connections. They see the context variables of whoever made the client.

    Parameters:
        dispatch: decides on each call.
    """

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._variables = copy_context()
        self._lock = threading.Lock()
        self._workers: Workers | None = None
        self._running: dict[int, Running] = {}
        self._closed = False

    # --- in the reader's thread ---------------------------------------------------------------------------------

    def start(self, peer: Host, call: IncomingCall) -> None:
        """Have the handler of a call run, and see to its answer."""
        dispatch = self._dispatch
        try:
            offer, args, kwargs = dispatch.admit(peer.connection, call, peer.session.codec)
            running = Running(peer, offer, call, self._context(peer, offer, call), dispatch.offers.needed())
            self._attach_streams(running, kwargs)
        except RpcError as exc:
            self._reply_error(peer, call, exc)
            return
        self._submit(running, args, kwargs)

    def refused(self, peer: Host, call: IncomingCall, error: RpcError) -> None:
        """The session has refused a call."""
        self._dispatch.report_refusal(peer.connection, call, error)

    def start_notification(self, peer: Host, event: NotificationReceived) -> None:
        """Have the handler of a notification run. Whatever goes wrong is only logged: nobody waits for an answer."""
        dispatch, session = self._dispatch, peer.session
        try:
            offer, args, kwargs = dispatch.admit_notification(
                peer.connection, event, session.codec, running=len(self._running), most=session.limits.calls_in_flight
            )
        except RpcError as exc:
            dispatch.report_refused_notification(peer.connection, event, exc)
            return
        running = Running(peer, offer, event, self._context(peer, offer, None), dispatch.offers.needed())
        self._submit(running, args, kwargs)

    def cancel(self, call: IncomingCall) -> None:
        """The caller wants the call to end. It is answered once its handler has."""
        running = self._running.get(id(call))
        if running is not None:
            running.stop(cancel_error(call))

    def connection_lost(self, peer: Host) -> None:
        """Stop everything that came over this connection: there is nobody left to answer."""
        for running in list(self._running.values()):
            if running.peer is peer:
                running.stop(Cancelled("the connection ended", executed="yes"))

    def _context(self, peer: Host, offer: Offer, call: IncomingCall | None) -> Context:
        def report(done: float, total: float | None, message: str | None) -> None:
            if call is not None:
                peer.answer(peer.session.progress, call, done, total, message)

        told = None if call is None else call.ctx
        deadline = time.monotonic() + time_left_s(told, offer.spec.options.deadline_s)
        return self._dispatch.context(offer, peer.connection, told, deadline, report, HandlerContext)

    def _attach_streams(self, running: Running, kwargs: dict[str, Any]) -> None:
        """Put readers where the parameters hold references to streams. At once: their items may already follow."""
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
                closing = Unavailable("the client is closing")  # And so is the connection: nobody is answered.
                self._dispatch.report_end(running.peer.connection, running.message, closing)
                return
            if self._workers is None:
                self._workers = Workers(name="rpcclient-handler")
            self._running[key] = running
            variables, workers = self._variables.copy(), self._workers
        # Without the lock: what is refused at once is answered.
        workers.give(
            lambda: variables.run(self._run, key, running, args, kwargs), lambda exc: self._not_run(key, running, exc)
        )

    def _not_run(self, key: int, running: Running, exc: BaseException) -> None:
        """There was no thread for a handler, and never will be."""
        self._running.pop(key, None)
        self._refuse(running, self._dispatch.error(running.offer, exc))
        self._drop(running, running.inboxes)

    # --- in a thread of its own ---------------------------------------------------------------------------------

    def _run(self, key: int, running: Running, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        take_place()
        try:
            self._call(running, args, kwargs)
        except BaseException as exc:
            error = self._dispatch.error(running.offer, exc)
            self._refuse(running, running.reason or error)
        finally:
            self._running.pop(key, None)
            self._drop(running, running.inboxes)

    def _call(self, running: Running, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        offer, message, peer, dispatch = running.offer, running.message, running.peer, self._dispatch
        if running.reason is not None:
            raise running.reason  # It was cancelled before a thread was free.
        result = offer.call(*args, **kwargs)
        if offer.mode is Mode.INLINE:
            result = _finished(result, offer)
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
            gone = peer.session.state is SessionState.CLOSED
            dispatch.report_end(
                peer.connection, call, interruption_error() if gone else peer.session.streams.too_many()
            )
            close: Callable[[], None] | None = getattr(source, "close", None)
            if close is not None:
                close()
            return
        dispatch.report_end(peer.connection, call)
        # What goes up is read while the answer goes down: it is wanted until that has ended.
        inboxes, running.inboxes = running.inboxes, []

        def ended(error: RpcError | None) -> None:
            dispatch.report_stream_end(peer.connection, call, stream, error)
            self._drop(running, inboxes)
            running.needed = None

        peer.produce(
            source,
            stream,
            dispatch.item_encoder(offer, item, peer.session.codec),
            policy=offer.spec.options.slow_policy,
            buffer_items=offer.spec.options.buffer_items,
            to_error=lambda exc: dispatch.error(offer, exc),
            on_end=ended,
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

    def _drop(self, running: Running, inboxes: Iterable[tuple[Upload, Inbox]]) -> None:
        """Nobody reads these streams any more."""
        for upload, inbox in inboxes:
            inbox.drop()
            self._dispatch.report_upload_end(running.peer.connection, running.message, upload)

    # --- the end ------------------------------------------------------------------------------------------------

    def forked(self) -> None:
        """This is a child: what runs is its parent's, but for the handler that forked."""
        running, self._running = self._running, {}
        self._lock = threading.Lock()
        self._workers = None
        for one in running.values():
            one.stop(Cancelled("the process was forked: the call is the parent's", executed="yes"))

    def leave(self) -> None:
        """End the threads, none of which has anything to do. Takes no lock: garbage is collected at any moment."""
        workers = self._workers
        if workers is not None:
            workers.leave()

    def close(self, until: float) -> None:
        """Stop all handlers, and wait for them; those that do not look at ``ctx.cancelled`` are left to themselves.

        Parameters:
            until: how long to wait, on the clock of :func:`time.monotonic`.
        """
        with self._lock:
            workers, self._workers, self._closed = self._workers, None, True
        for running in list(self._running.values()):
            running.stop(Cancelled("the client is closing", executed="yes"))
        if workers is not None:
            workers.close(until)
        self._running.clear()  # Some may never have begun.


def _finished(coroutine: Generator[Any, Any, Any], offer: Offer) -> Any:
    """The result of a coroutine that awaits nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise suspension_error(offer)
