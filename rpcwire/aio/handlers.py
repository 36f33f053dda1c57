"""Runs the handlers of incoming calls: the one place that looks a method up, asks the gate, validates, runs, and maps
exceptions."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from rpcwire.boundary import to_rpc_error, unsendable_answer
from rpcwire.context import Context, time_left_s
from rpcwire.contracts import StreamReference
from rpcwire.errors import Cancelled, DeadlineExceeded, LocalProtocolError, MethodNotFound, RpcError
from rpcwire.events import IncomingCall, NotificationReceived
from rpcwire.limits import ITEM_LEVELS
from rpcwire.logs import printable
from rpcwire.pool import take_place
from rpcwire.registry import Mode, Offer, Offers
from rpcwire.states import SessionState
from rpcwire.values.unsendable import Unsendable
from rpcwire.values.wiretypes import load_upload

from .cancelling import cancel_begun
from .deadlines import Deadlines
from .shared import shared_items
from .streams import Inbox, StreamReader

if TYPE_CHECKING:
    from .peer import Gate, Peer

CANCEL_TIMEOUT_S = 5.0
"""How long a cancelled handler may take to end when the connection or the server does."""

_EAGER = sys.version_info >= (3, 12)


@dataclass(slots=True, eq=False)
class Running:
    """A handler that did not end at once.

    Attributes:
        call: what it answers; ``None`` for a notification.
        offer: which method it is.
        task: in which it runs.
        ctx: its context, where it asked for one.
        inboxes: the streams among its parameters.
        reason: why it was told to stop, if it was.
        needed: what must not become garbage meanwhile.
    """

    call: IncomingCall | None
    offer: Offer
    needed: object
    task: asyncio.Task[Any] | None = None
    ctx: Context | None = None
    inboxes: list[Inbox] = field(default_factory=list)
    reason: RpcError | None = None

    def stop(self, reason: RpcError) -> None:
        """Tell the handler to end, for this reason."""
        if self.reason is None:
            self.reason = reason
            if self.ctx is not None:
                self.ctx.cancel()
            if self.task is not None and self.offer.mode is not Mode.THREAD:
                cancel_begun(self.task)


class Handlers:
    """The handlers of one connection.

    Parameters:
        peer: the connection.
        registry: what is offered.
        gate: decides on each call.
        executor: runs plain functions.
    """

    def __init__(self, peer: Peer, registry: Offers, gate: Gate, executor: Executor | None) -> None:
        self._peer = peer
        self._registry = registry
        self._gate = gate
        self._executor = executor
        self._running: dict[int, Running] = {}
        self._deadlines: Deadlines[int] = Deadlines(peer.loop, self._expired)
        self._streams: set[asyncio.Task[None]] = set()
        self._idle: asyncio.Future[None] | None = None
        self._given_up: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()

    def __len__(self) -> int:
        return len(self._running)

    # --- a call -------------------------------------------------------------------------------------------------

    def start(self, call: IncomingCall) -> None:
        """Run the handler of a call, and see to its answer."""
        try:
            offer = self._find(call.method)
            args, kwargs = offer.contract.load_params(call.params, self._peer.session.codec)
        except RpcError as exc:
            self._refused(call, exc)
            return
        except Exception as exc:  # A validator of the service's own failed.
            error = to_rpc_error(exc, method=call.method, logger=self._peer.logger)
            error.executed = "no"
            self._refused(call, error)
            return
        if offer.mode is Mode.INLINE and not offer.contract.stream_parameters:
            self._run_inline(call, offer, args, kwargs)
        else:
            self._launch(call, offer, args, kwargs)

    def _find(self, method: str) -> Offer:
        offer = self._registry.get(method)
        refusal = self._gate(self._peer.connection, method, offer)
        if refusal is not None:
            raise refusal
        if offer is None:
            near = self._registry.like(method[:100])
            meant = f"did you mean {near}? " if near else ""
            raise MethodNotFound(f"there is no method {method[:100]!r}; {meant}rpc.discover lists those there are")
        return offer

    def _refused(self, call: IncomingCall, error: RpcError) -> None:
        self._peer.logger.info(
            "%s: %s refused: %s: %s",
            self._peer.connection.remote,
            printable(call.method, 100),
            error.type,
            printable(error.message),
        )
        self._peer.session.reply_error(call, error)
        self._peer.flush_soon()

    def _run_inline(self, call: IncomingCall, offer: Offer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Run a coroutine that awaits nothing to its end, here and now."""
        if offer.contract.context_name is not None:
            kwargs[offer.contract.context_name] = self._context(call, offer)
        coroutine: Generator[Any, Any, Any] = offer.call(*args, **kwargs)
        try:
            # What it sets is its own: this is not to be seen by the calls that follow on this connection.
            contextvars.copy_context().run(coroutine.send, None)
        except StopIteration as done:
            self._answer(call, offer, done.value)
        except KeyboardInterrupt:
            raise
        except BaseException as exc:
            self._fail(call, offer, exc)
        else:
            coroutine.close()
            error = LocalProtocolError(f"{offer.name} suspended although it awaits nothing")
            self._fail(call, offer, error)
        self._peer.flush_soon()

    def _launch(self, call: IncomingCall, offer: Offer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        running = Running(call, offer, self._registry.needed())
        try:
            self._attach_streams(running, kwargs)
        except RpcError as exc:
            self._refused(call, exc)
            return
        if offer.contract.context_name is not None:
            running.ctx = kwargs[offer.contract.context_name] = self._context(call, offer)
        self._running[id(call)] = running
        self._deadlines.set(id(call), self._peer.loop.time() + time_left_s(call.ctx, offer.spec.options.deadline_s))
        self._spawn(running, self._run(running, args, kwargs))

    def _spawn(self, running: Running, coroutine: Any) -> None:
        if _EAGER:
            task = asyncio.Task(coroutine, loop=self._peer.loop, eager_start=True)  # type: ignore[call-arg]
            if not task.done():
                running.task = task
        else:
            running.task = self._peer.loop.create_task(coroutine)

    async def _run(self, running: Running, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        call, offer = running.call, running.offer
        assert call is not None
        try:
            result = await self._result(offer, args, kwargs)
            if running.reason is not None and isinstance(running.reason, DeadlineExceeded):
                raise running.reason
            self._answer(call, offer, result, running)
        except asyncio.CancelledError as exc:
            if running.reason is None:
                self._fail(call, offer, exc)  # Not by us: something in the handler was cancelled.
            else:
                self._peer.session.reply_error(call, running.reason)
        except (Exception, SystemExit) as exc:  # A handler that calls sys.exit() must not end the server.
            self._fail(call, offer, running.reason or exc)
        finally:
            self._ended(running)
        if self._running:
            self._peer.flush_soon()  # Others may answer in the same turn.
        else:
            self._peer.flush()

    async def _result(self, offer: Offer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        match offer.mode:
            case Mode.STREAM:
                return offer.call(*args, **kwargs)
            case Mode.THREAD_STREAM:
                return _in_threads(offer.call(*args, **kwargs), self._executor, contextvars.copy_context())
            case Mode.THREAD:
                context = contextvars.copy_context()
                future = self._peer.loop.run_in_executor(
                    self._executor, lambda: context.run(_called, offer.call, args, kwargs)
                )
                result = await _to_its_end(future)
                if offer.contract.item is not None and isinstance(result, Iterable):
                    return _in_threads(iter(result), self._executor, context)
                return result
            case _:
                return await offer.call(*args, **kwargs)

    # --- its answer ---------------------------------------------------------------------------------------------

    def _answer(self, call: IncomingCall, offer: Offer, result: Any, running: Running | None = None) -> None:
        session = self._peer.session
        contract = offer.contract
        if contract.item is not None:
            self._answer_stream(call, offer, result, running)
            return
        try:
            body = contract.dump_result(result, session.codec)
        except Exception as exc:
            session.reply_error(call, unsendable_answer(exc, method=offer.name, logger=offer.logger))
        else:
            session.reply(call, body)

    def _answer_stream(
        self, call: IncomingCall, offer: Offer, source: AsyncIterator[Any], running: Running | None
    ) -> None:
        peer = self._peer
        item, codec = offer.contract.item, peer.session.codec
        assert item is not None
        stream = peer.session.reply_stream(call)
        peer.flush_soon()
        if stream is None:
            task = peer.loop.create_task(_close(source))
        else:
            options = offer.spec.options
            encoder = shared_items(item) if options.shared_items else item

            def dump(value: Any) -> bytes:
                try:
                    return encoder.dump(value, codec, ITEM_LEVELS)
                except Unsendable as exc:
                    raise unsendable_answer(exc, method=offer.name, logger=offer.logger) from exc

            task = peer.produce(
                source,
                stream,
                dump,
                policy=options.slow_policy,
                buffer_items=options.buffer_items,
                failed=lambda exc: to_rpc_error(exc, method=offer.name, logger=offer.logger),
            )
        self._streams.add(task)
        needed = None if running is None else running.needed
        task.add_done_callback(lambda task, _=needed: self._stream_ended(task))  # type: ignore[misc]
        if running is not None and running.inboxes:
            # What goes up is read while the answer goes down: it is wanted until that has ended.
            inboxes, running.inboxes = running.inboxes, []
            task.add_done_callback(lambda _: _drop(inboxes))

    def _stream_ended(self, task: asyncio.Task[None]) -> None:
        self._streams.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._peer.logger.error("a stream's cleanup failed", exc_info=exc)
        self._check_idle()

    def _fail(self, call: IncomingCall, offer: Offer, exc: BaseException) -> None:
        error = to_rpc_error(exc, method=offer.name, logger=offer.logger)
        self._peer.session.reply_error(call, error)

    def _ended(self, running: Running) -> None:
        key = id(running.call if running.call is not None else running)
        self._running.pop(key, None)
        self._deadlines.clear(key)
        for inbox in running.inboxes:
            inbox.drop()
        self._check_idle()

    # --- what a handler gets ------------------------------------------------------------------------------------

    def _context(self, call: IncomingCall | None, offer: Offer) -> Context:
        loop, session = self._peer.loop, self._peer.session
        loop_thread = threading.get_ident()
        ctx = None if call is None else call.ctx
        ttl_s = time_left_s(ctx, offer.spec.options.deadline_s)

        def report(done: float, total: float | None, message: str | None) -> None:
            if call is None:
                return
            if threading.get_ident() == loop_thread:
                tell(done, total, message)
            else:
                loop.call_soon_threadsafe(tell, done, total, message)

        def tell(done: float, total: float | None, message: str | None) -> None:
            assert call is not None
            if session.state is not SessionState.CLOSED:
                session.progress(call, done, total, message)
                self._peer.flush_soon()

        return Context(
            method=offer.name,
            connection=self._peer.connection,
            logger=offer.logger,
            deadline=loop.time() + ttl_s,
            report=report,
            key=None if ctx is None or ctx.key is UNSET else ctx.key,
            traceparent=None if ctx is None or ctx.traceparent is UNSET else ctx.traceparent,
        )

    def _attach_streams(self, running: Running, kwargs: dict[str, Any]) -> None:
        """Put readers where the parameters hold references to streams."""
        contract, peer = running.offer.contract, self._peer
        for name, item in contract.stream_parameters.items():
            reference = kwargs.get(name)
            if isinstance(reference, StreamReference):
                inbox = peer.read_stream(reference.stream)
                running.inboxes.append(inbox)
                kwargs[name] = StreamReader(inbox, _loader(item, peer.session.codec, name))

    # --- notifications ------------------------------------------------------------------------------------------

    def notified(self, event: NotificationReceived) -> None:
        """Run the handler of a notification. Whatever goes wrong is only logged: nobody waits for an answer."""
        peer = self._peer
        try:
            offer = self._find(event.method)
            args, kwargs = offer.contract.load_params(event.params, peer.session.codec)
            if offer.contract.stream_parameters or offer.contract.item is not None:
                raise MethodNotFound(f"{offer.name} streams, so it must be called, not notified")
        except RpcError as exc:
            peer.logger.info(
                "%s: notification '%s': %s: %s",
                peer.connection.remote,
                printable(event.method, 100),
                exc.type,
                printable(exc.message),
            )
            return
        except Exception as exc:  # A validator of the service's own failed.
            to_rpc_error(exc, method=event.method, logger=peer.logger)
            return
        running = Running(None, offer, self._registry.needed())
        if len(self._running) >= peer.session.limits.calls_in_flight:
            peer.logger.warning(
                "%s: notification %s dropped: too many handlers run", peer.connection.remote, offer.name
            )
            return
        if offer.contract.context_name is not None:
            running.ctx = kwargs[offer.contract.context_name] = self._context(None, offer)
        self._running[id(running)] = running
        self._deadlines.set(id(running), peer.loop.time() + time_left_s(None, offer.spec.options.deadline_s))
        self._spawn(running, self._run_notified(running, args, kwargs))

    async def _run_notified(self, running: Running, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            await self._result(running.offer, args, kwargs)
        except asyncio.CancelledError:
            running.offer.logger.info("notification %s: cancelled", running.offer.name)
        except (Exception, SystemExit) as exc:
            error = to_rpc_error(exc, method=running.offer.name, logger=running.offer.logger)
            running.offer.logger.info("notification %s: %s", running.offer.name, error.message)
        finally:
            self._ended(running)

    # --- the end ------------------------------------------------------------------------------------------------

    def cancel(self, call: IncomingCall) -> None:
        """The caller wants the call to end. It is answered once its handler has."""
        running = self._running.get(id(call))
        if running is not None:
            running.stop(Cancelled(f"{call.method} was cancelled", executed="yes"))

    def _expired(self, key: int) -> None:
        running = self._running.get(key)
        if running is not None:
            running.stop(DeadlineExceeded(f"{running.offer.name} did not end in time", executed="yes"))

    def connection_lost(self) -> None:
        """Stop everything: there is nobody left to answer."""
        for running in list(self._running.values()):
            running.stop(Cancelled("the connection ended", executed="yes"))

    async def finish(self, grace_s: float, patience_s: float = CANCEL_TIMEOUT_S) -> None:
        """Wait for all handlers to end, and cancel those that take longer.

        Parameters:
            grace_s: how long to wait before that, in seconds.
            patience_s: how long to wait after it, in seconds. Those that have not ended then are not waited for again.
        """
        if (self._running or self._streams) and grace_s > 0:
            self._idle = self._peer.loop.create_future()
            await asyncio.wait([self._idle], timeout=grace_s)
            self._idle = None
        for running in list(self._running.values()):
            running.stop(Cancelled("the server is stopping", executed="yes"))
        for task in list(self._streams):
            cancel_begun(task)
        tasks = {r.task for r in self._running.values() if r.task is not None} | self._streams
        if waiting := tasks - set(self._given_up):
            _, late = await asyncio.wait(waiting, timeout=patience_s)
            if late:
                self._given_up.update(late)
                names = sorted({running.offer.name for running in self._running.values()})
                self._peer.logger.error("%d handlers do not end although cancelled: %s", len(late), ", ".join(names))

    def _check_idle(self) -> None:
        if self._idle is not None and not self._idle.done() and not self._running and not self._streams:
            self._idle.set_result(None)


def _called(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a plain function in a thread. A future cannot carry a StopIteration: its waiter would wait for ever."""
    take_place()
    try:
        return function(*args, **kwargs)
    except StopIteration as exc:
        raise RuntimeError("the handler raised StopIteration") from exc


def _drop(inboxes: Iterable[Inbox]) -> None:
    for inbox in inboxes:
        inbox.drop()


def _loader(item: Any, codec: Any, name: str) -> Any:
    return lambda raw: load_upload(item, raw, codec, name)


async def _to_its_end(future: asyncio.Future[Any]) -> Any:
    """Wait for a thread. It cannot be stopped, so a cancelled call is answered only when the thread has ended."""
    cancelled = False
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        future.exception()
        raise asyncio.CancelledError
    return future.result()


_END = object()


def _next_item(source: Iterator[Any]) -> Any:
    """The next item of a plain iterator, made in a thread."""
    take_place()
    return next(source, _END)


async def _in_threads(
    source: Iterator[Any], executor: Executor | None, context: contextvars.Context
) -> AsyncIterator[Any]:
    """The items of a plain iterator, each made in a thread, with the context variables of its handler."""
    loop, take = asyncio.get_running_loop(), partial(_next_item, source)
    try:
        while (item := await _to_its_end(loop.run_in_executor(executor, context.run, take))) is not _END:
            yield item
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            await loop.run_in_executor(executor, context.run, close)


async def _close(source: AsyncIterator[Any]) -> None:
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()
