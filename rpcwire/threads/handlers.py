"""Runs what the other side calls: each call in a thread of a pool."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_origin

from msgspec import UNSET

from rpcwire.boundary import to_rpc_error, unsendable_answer
from rpcwire.context import Context, time_left_s
from rpcwire.contracts import StreamReference
from rpcwire.errors import Cancelled, DeadlineExceeded, InternalError, MethodNotFound, RpcError
from rpcwire.events import IncomingCall, NotificationReceived
from rpcwire.limits import ITEM_LEVELS
from rpcwire.logs import printable
from rpcwire.pool import take_place
from rpcwire.registry import Mode, Offer, Offers, mode_of
from rpcwire.service import Service
from rpcwire.values.unsendable import Unsendable
from rpcwire.values.wiretypes import WireType, load_upload

from .inbox import Inbox, StreamReader
from .workers import Workers

if TYPE_CHECKING:
    from .peer import Peer

logger = logging.getLogger("rpcclient")


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
        call: what it answers; ``None`` for a notification.
        ctx: its context.
        needed: what must not become garbage meanwhile.
        inboxes: the streams among its parameters.
        reason: why it was told to stop, if it was.
    """

    peer: Peer
    offer: Offer
    call: IncomingCall | None
    ctx: Context
    needed: object
    inboxes: list[Inbox] = field(default_factory=list)
    reason: RpcError | None = None

    def stop(self, reason: RpcError) -> None:
        """Tell the handler to end, for this reason."""
        if self.reason is None:
            self.reason = reason
            self.ctx.cancel()


class Handlers:
    """The handlers of a client, over all its connections. They see the context variables of whoever made the client.

    Parameters:
        offers: what is offered.
    """

    def __init__(self, offers: Offers) -> None:
        self._offers = offers
        self._variables = copy_context()
        self._lock = threading.Lock()
        self._workers: Workers | None = None
        self._running: dict[int, Running] = {}
        self._closed = False

    # --- in the reader's thread ---------------------------------------------------------------------------------

    def start(self, peer: Peer, call: IncomingCall) -> None:
        """Have the handler of a call run, and see to its answer."""
        try:
            offer = self._find(call.method)
            args, kwargs = offer.contract.load_params(call.params, peer.session.codec)
            running = Running(peer, offer, call, self._context(peer, offer, call), self._offers.needed())
            self._attach_streams(running, args, kwargs)
        except RpcError as exc:
            peer.answer(peer.session.reply_error, call, exc)
            return
        except Exception as exc:  # A validator of the service's own failed.
            error = to_rpc_error(exc, method=call.method, logger=peer.logger)
            error.executed = "no"
            peer.answer(peer.session.reply_error, call, error)
            return
        self._submit(id(call), running, args, kwargs)

    def notified(self, peer: Peer, event: NotificationReceived) -> None:
        """Have the handler of a notification run. Whatever goes wrong is only logged: nobody waits for an answer."""
        try:
            offer = self._find(event.method)
            args, kwargs = offer.contract.load_params(event.params, peer.session.codec)
            if offer.contract.stream_parameters or offer.contract.item is not None:
                raise MethodNotFound(f"{offer.name} streams, so it must be called, not notified")
            if len(self._running) >= peer.session.limits.calls_in_flight:
                raise MethodNotFound(f"{offer.name} was dropped: too many handlers run")
        except RpcError as exc:
            logger.info("notification '%s': %s: %s", printable(event.method, 100), exc.type, printable(exc.message))
            return
        except Exception as exc:  # As in a call.
            to_rpc_error(exc, method=event.method, logger=peer.logger)
            return
        running = Running(peer, offer, None, self._context(peer, offer, None), self._offers.needed())
        self._submit(id(running), running, args, kwargs)

    def cancel(self, call: IncomingCall) -> None:
        """The caller wants the call to end. It is answered once its handler has."""
        running = self._running.get(id(call))
        if running is not None:
            running.stop(Cancelled(f"{call.method} was cancelled", executed="yes"))

    def connection_lost(self, peer: Peer) -> None:
        """Stop everything that came over this connection: there is nobody left to answer."""
        for running in list(self._running.values()):
            if running.peer is peer:
                running.stop(Cancelled("the connection ended", executed="yes"))

    def _find(self, method: str) -> Offer:
        offer = self._offers.get(method)
        if offer is None:
            raise MethodNotFound(f"this client offers no method {method[:100]!r}")
        return offer

    def _context(self, peer: Peer, offer: Offer, call: IncomingCall | None) -> Context:
        told = None if call is None else call.ctx

        def report(done: float, total: float | None, message: str | None) -> None:
            if call is not None:
                peer.answer(peer.session.progress, call, done, total, message)

        return HandlerContext(
            method=offer.name,
            connection=peer.connection,
            logger=offer.logger,
            deadline=time.monotonic() + time_left_s(told, offer.spec.options.deadline_s),
            report=report,
            key=None if told is None or told.key is UNSET else told.key,
            traceparent=None if told is None or told.traceparent is UNSET else told.traceparent,
        )

    def _attach_streams(self, running: Running, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Put readers where the parameters hold references to streams. At once: their items may already follow."""
        contract, peer = running.offer.contract, running.peer
        if not contract.stream_parameters:
            return
        for parameter, value in zip(contract.parameters, args, strict=False):
            kwargs[parameter.name] = value
        for name, item in contract.stream_parameters.items():
            reference = kwargs.get(name)
            if isinstance(reference, StreamReference):
                inbox = peer.exclusively(peer.read_stream, reference.stream)
                running.inboxes.append(inbox)
                kwargs[name] = StreamReader(inbox, _loader(item, peer, name))

    def _submit(self, key: int, running: Running, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if running.offer.contract.context_name is not None:
            kwargs[running.offer.contract.context_name] = running.ctx
        if running.offer.contract.stream_parameters:
            args = ()
        with self._lock:
            if self._closed:
                return  # The connection is closing, too.
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
        self._refuse(running, to_rpc_error(exc, method=running.offer.name, logger=running.offer.logger))
        _drop(running.inboxes)

    # --- in a thread of its own ---------------------------------------------------------------------------------

    def _run(self, key: int, running: Running, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        take_place()
        try:
            self._call(running, args, kwargs)
        except BaseException as exc:
            error = to_rpc_error(exc, method=running.offer.name, logger=running.offer.logger)
            self._refuse(running, running.reason or error)
        finally:
            self._running.pop(key, None)
            _drop(running.inboxes)

    def _call(self, running: Running, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        offer, call, peer = running.offer, running.call, running.peer
        if running.reason is not None:
            raise running.reason  # It was cancelled before a thread was free.
        result = offer.call(*args, **kwargs)
        if offer.mode is Mode.INLINE:
            result = _finished(result)
        if time.monotonic() >= running.ctx.deadline:
            raise DeadlineExceeded(f"{offer.name} did not end in time", executed="yes")
        if call is None:
            return
        if offer.contract.item is not None:
            self._answer_stream(running, call, result)
            return
        try:
            body = offer.contract.dump_result(result, peer.session.codec)
        except Exception as exc:
            raise unsendable_answer(exc, method=offer.name, logger=offer.logger) from None
        peer.answer(peer.session.reply, call, body)

    def _answer_stream(self, running: Running, call: IncomingCall, source: Iterable[Any]) -> None:
        offer, peer = running.offer, running.peer
        item, codec = offer.contract.item, peer.session.codec
        assert item is not None
        stream = peer.answer(peer.session.reply_stream, call)
        if stream is None:
            close: Callable[[], None] | None = getattr(source, "close", None)
            if close is not None:
                close()
            return

        def dump(value: Any) -> bytes:
            try:
                return item.dump(value, codec, ITEM_LEVELS)
            except Unsendable as exc:
                raise unsendable_answer(exc, method=offer.name, logger=offer.logger) from exc

        # What goes up is read while the answer goes down: it is wanted until that has ended.
        inboxes, running.inboxes = running.inboxes, []

        def ended() -> None:
            _drop(inboxes)
            running.needed = None

        peer.produce(
            source,
            stream,
            dump,
            policy=offer.spec.options.slow_policy,
            buffer_items=offer.spec.options.buffer_items,
            failed=lambda exc: to_rpc_error(exc, method=offer.name, logger=offer.logger),
            ended=ended,
        )

    def _refuse(self, running: Running, error: RpcError) -> None:
        if running.call is None:
            running.offer.logger.info("notification %s: %s", running.offer.name, error.message)
        else:
            running.peer.answer(running.peer.session.reply_error, running.call, error)

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


def _drop(inboxes: Iterable[Inbox]) -> None:
    for inbox in inboxes:
        inbox.drop()


def _finished(coroutine: Generator[Any, Any, Any]) -> Any:
    """The result of a coroutine that awaits nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise InternalError("the method suspended although it awaits nothing", executed="yes")


def _loader(item: WireType, peer: Peer, name: str) -> Callable[[Any], Any]:
    return lambda raw: load_upload(item, raw, peer.session.codec, name)
