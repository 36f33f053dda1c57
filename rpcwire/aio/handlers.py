"""Runs the handlers of incoming calls, in the event loop and in threads, and stops those that nobody waits for any
more. :mod:`rpcwire.dispatch` finds the method, decides whether it may run, and turns its end into an answer."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from rpcwire.context import Connection, Context, time_left_s
from rpcwire.dispatch import Dispatch, Upload, cancel_error, late_error, suspension_error
from rpcwire.errors import Cancelled, DeadlineExceeded, RpcError, Unauthenticated
from rpcwire.events import IncomingCall, NotificationReceived
from rpcwire.limits import REST_OF_TURN
from rpcwire.logs import printable
from rpcwire.outcomes import Answers
from rpcwire.pool import take_place
from rpcwire.registry import Mode, Offer
from rpcwire.service import SlowPolicy
from rpcwire.session import Session
from rpcwire.states import SessionState
from rpcwire.streams import OutgoingStream

from .cancelling import cancel_begun
from .deadlines import Deadlines
from .shared import shared_items
from .streams import Inbox, StreamReader

CANCEL_TIMEOUT_S = 5.0
"""How long a cancelled handler may take to end when the connection or the server ends, in seconds."""

_UNKNOWN_SHARE = 8
"""What a call of an unknown method takes of a turn of the loop: to find the names that are like its name takes long."""

_EAGER = sys.version_info >= (3, 12)


class Host(Protocol):
    """What handlers need of their peer.

    Attributes:
        session: the protocol.
        connection: the connection as handlers see it.
        loop: the event loop in which they run.
        logger: gets a line for each call that is refused.
    """

    session: Session
    connection: Connection
    loop: asyncio.AbstractEventLoop
    logger: logging.Logger

    def flush(self) -> None:
        """Send the session's output at once, because this turn adds nothing to it."""
        ...

    def flush_soon(self) -> None:
        """Send the session's output before the loop's next turn."""
        ...

    def note_violation(self) -> None:
        """Count that the other side has broken a rule. Close the connection if it has broken too many."""
        ...

    def produce(
        self,
        source: AsyncIterator[Any],
        stream: OutgoingStream,
        dump: Callable[[Any], bytes],
        *,
        policy: SlowPolicy = ...,
        buffer_items: int = ...,
        to_error: Callable[[BaseException], RpcError],
        on_end: Callable[[RpcError | None], None] | None = ...,
    ) -> asyncio.Task[None]:
        """Send all items of ``source`` over a stream of ours, in a separate task."""
        ...

    def read_stream(self, stream_id: str) -> Inbox:
        """Begin to read a stream that the other side has named."""
        ...


@dataclass(slots=True, eq=False)
class Running:
    """A handler that has not ended.

    Attributes:
        message: the call or the notification that it handles.
        offer: its method.
        owner: an object that must not become garbage while the handler runs.
        task: the task in which it runs.
        ctx: its context, if it has a parameter for one.
        inboxes: the readers of the streams among its parameters.
        reason: the error with which it was told to stop; ``None`` if it was not.
    """

    message: IncomingCall | NotificationReceived
    offer: Offer
    owner: object
    task: asyncio.Task[Any] | None = None
    ctx: Context | None = None
    inboxes: list[tuple[Upload, Inbox]] = field(default_factory=list)
    reason: RpcError | None = None

    def stop(self, reason: RpcError) -> None:
        """Tell the handler to end, and why."""
        if self.reason is None:
            self.reason = reason
            if self.ctx is not None:
                self.ctx.cancel()
            if self.task is not None and self.offer.mode is not Mode.THREAD:
                cancel_begun(self.task)


@dataclass(frozen=True, slots=True)
class Run:
    """What is told of a handler that has not ended.

    Attributes:
        kind: ``call``, ``notification``, or ``stream`` for what answers a call.
        method: the method's full name.
        arrived_ns: when its call arrived, on the clock of :func:`time.monotonic_ns`; ``None`` if nobody observes calls.
            A stream has it always: when nobody observes calls, it is the time of the answer that has opened the stream.
        items: the number of items that a stream has sent; ``None`` for others.
    """

    kind: str
    method: str
    arrived_ns: int | None
    items: int | None = None


_NO_TASKS: frozenset[asyncio.Task[Any]] = frozenset()


class Handlers:
    """The handlers of one connection.

    Parameters:
        peer: the connection.
        dispatch: finds the method of each call, and decides whether it may run.
        executor: runs handlers that are plain functions.

    Attributes:
        executor: the parameter.
        answers: the calls of the present frame that were answered, and that no observer was told of; ``None`` if there
            are none.
    """

    __slots__ = (
        "_deadlines", "_dispatch", "_given_up", "_idle", "_peer", "_running", "_streams", "answers", "executor",
    )  # fmt: skip

    def __init__(self, peer: Host, dispatch: Dispatch, executor: Executor | None) -> None:
        self._peer = peer
        self._dispatch = dispatch
        self.executor = executor
        self.answers: Answers | None = None
        self._running: dict[int, Running] = {}
        self._deadlines: Deadlines[int] = Deadlines(peer.loop, self._on_deadline)
        # What each stream comes from, the stream itself if the session has opened it, and when its call has arrived, or
        # been answered if nobody observes calls.
        self._streams: dict[asyncio.Task[None], tuple[Offer, OutgoingStream | None, int]] = {}
        self._idle: asyncio.Future[None] | None = None
        self._given_up = _NO_TASKS

    def __len__(self) -> int:
        return len(self._running)

    def runs(self) -> list[Run]:
        """List the handlers and the streams that have not ended."""
        runs = [
            Run(
                "call" if isinstance(running.message, IncomingCall) else "notification",
                running.offer.name,
                running.message.arrived_ns,
            )
            for running in self._running.values()
        ]
        return runs + [
            Run("stream", offer.name, arrived_ns, None if stream is None else stream.items)
            for offer, stream, arrived_ns in self._streams.values()
        ]

    # --- a call -------------------------------------------------------------------------------------------------

    def start(self, call: IncomingCall) -> int:
        """Run the handler of a call, and answer the call.

        Returns:
            How much this took of a turn of the loop, see :data:`~rpcwire.limits.TURN_EVENTS`.
        """
        peer = self._peer
        try:
            offer, args, kwargs = self._dispatch.admit(peer.connection, call, peer.session.codec)
        except RpcError as exc:
            self._refuse(call, exc)
            return self._share_of_refused(call)
        if offer.mode is Mode.INLINE and not offer.contract.stream_parameters:
            self._run_inline(call, offer, args, kwargs)
            share = offer.contract.turn_share
        else:
            self._launch(call, offer, args, kwargs)
            share = offer.contract.turn_share + 1
        return share if not call.large_bytes else max(share, REST_OF_TURN)

    def _share_of_refused(self, message: IncomingCall | NotificationReceived) -> int:
        """Return how much of a turn a message took that was refused, perhaps after it was read."""
        offer = self._dispatch.offers.get(message.method)
        share = _UNKNOWN_SHARE if offer is None else offer.contract.turn_share
        return share if not message.large_bytes else max(share, REST_OF_TURN)

    def _refuse(self, call: IncomingCall, error: RpcError) -> None:
        self._peer.logger.info(
            "%s: %s refused: %s: %s",
            self._peer.connection.remote,
            printable(call.method, 100),
            error.type,
            printable(error.message),
            extra=self._peer.connection.log_extra,
        )
        self._reply_error(call, error)
        if isinstance(error, Unauthenticated):
            self._peer.note_violation()
        _give_back(call)
        self._peer.flush_soon()

    def _run_inline(self, call: IncomingCall, offer: Offer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Run a coroutine that awaits nothing, from beginning to end. The peer sends all answers to a frame when it has
        read the frame."""
        if offer.contract.context_name is not None:
            deadline = self._peer.loop.time() + time_left_s(call.ctx, offer.spec.options.deadline_s)
            kwargs[offer.contract.context_name] = self._context(call, offer, deadline)
        coroutine: Generator[Any, Any, Any] = offer.call(*args, **kwargs)
        try:
            # It runs in a copy of the context: later calls on this connection must not see the variables that it sets.
            contextvars.copy_context().run(coroutine.send, None)
        except StopIteration as done:
            self._answer(call, offer, done.value)
        except KeyboardInterrupt:
            raise
        except BaseException as exc:
            self._fail(call, offer, exc)
        else:
            coroutine.close()
            self._fail(call, offer, suspension_error(offer))
        if call.loan is not None:
            call.loan.give_back()

    def _launch(self, call: IncomingCall, offer: Offer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        running = Running(call, offer, self._dispatch.offers.owner())
        try:
            self._attach_streams(running, kwargs)
        except RpcError as exc:
            self._refuse(call, exc)
            return
        deadline = self._peer.loop.time() + time_left_s(call.ctx, offer.spec.options.deadline_s)
        if offer.contract.context_name is not None:
            running.ctx = kwargs[offer.contract.context_name] = self._context(call, offer, deadline)
        self._running[id(call)] = running
        self._deadlines.set(id(call), deadline)
        if call.arrived_ns is not None:
            self._dispatch.report_start(self._peer.connection, call)
        call.params = None  # They would keep their whole frame in memory, as long as the handler runs.
        self._spawn(running, self._run(running, call, args, kwargs))

    def _spawn(self, running: Running, coroutine: Any) -> None:
        if _EAGER:
            task = asyncio.Task(coroutine, loop=self._peer.loop, eager_start=True)  # type: ignore[call-arg]
            if not task.done():
                running.task = task
        else:
            running.task = self._peer.loop.create_task(coroutine)

    async def _run(self, running: Running, call: IncomingCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        offer = running.offer
        try:
            result = await self._result(offer, args, kwargs)
            if running.reason is not None and isinstance(running.reason, DeadlineExceeded):
                raise running.reason
            self._answer(call, offer, result, running)
        except asyncio.CancelledError as exc:
            if running.reason is None:
                self._fail(call, offer, exc)  # This side did not cancel it: something in the handler did.
            else:
                self._reply_error(call, running.reason)
        except (Exception, SystemExit) as exc:  # A handler that calls sys.exit() must not end the server.
            self._fail(call, offer, running.reason or exc)
        finally:
            self._forget(running)
        if self._running:
            self._peer.flush_soon()  # Other handlers may answer in the same turn.
        else:
            self._peer.flush()

    async def _result(self, offer: Offer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        match offer.mode:
            case Mode.STREAM:
                return offer.call(*args, **kwargs)
            case Mode.THREAD_STREAM:
                return _iterate_in_threads(offer.call(*args, **kwargs), self.executor, contextvars.copy_context())
            case Mode.THREAD:
                context = contextvars.copy_context()
                future = self._peer.loop.run_in_executor(
                    self.executor, lambda: context.run(_call_in_thread, offer.call, args, kwargs)
                )
                result = await _wait_for_thread(future)
                if offer.contract.item is not None and isinstance(result, Iterable):
                    return _iterate_in_threads(iter(result), self.executor, context)
                return result
            case _:
                return await offer.call(*args, **kwargs)

    # --- its answer ---------------------------------------------------------------------------------------------

    def _answer(self, call: IncomingCall, offer: Offer, result: Any, running: Running | None = None) -> None:
        if offer.contract.item is not None:
            self._answer_stream(call, offer, result, running)
            return
        peer, dispatch = self._peer, self._dispatch
        try:
            body = dispatch.encode_result(offer, result, peer.session.codec)
        except RpcError as exc:
            self._reply_error(call, exc)
            return
        error = peer.session.reply(call, body)
        if call.arrived_ns is not None:
            if running is None and error is None and peer.connection.principal is not None:
                answers = self.answers
                if answers is None:
                    answers = self.answers = []
                answers.append(offer)  # To append thrice takes less time than to add a tuple.
                answers.append(call)
                answers.append(len(body))
            else:
                dispatch.report_end(peer.connection, call, error, 0 if error is not None else len(body))

    def tell_answers(self) -> None:
        """Tell the observers which calls of the present frame were answered, now that the answers are sent. So they
        look at the clock once for all of them."""
        answers, self.answers = self.answers, None
        if answers is not None:
            self._dispatch.report_answers(self._peer.connection, answers)

    def _reply_error(self, call: IncomingCall, error: RpcError) -> None:
        self._peer.session.reply_error(call, error)
        self._dispatch.report_end(self._peer.connection, call, error)

    def _answer_stream(
        self, call: IncomingCall, offer: Offer, source: AsyncIterator[Any], running: Running | None
    ) -> None:
        peer, dispatch = self._peer, self._dispatch
        item = offer.contract.item
        assert item is not None
        stream = peer.session.reply_stream(call)
        peer.flush_soon()
        dispatch.report_end(peer.connection, call, peer.session.streams.too_many_error() if stream is None else None)
        if stream is None:
            task = peer.loop.create_task(_close(source))
        else:
            options = offer.spec.options
            task = peer.produce(
                source,
                stream,
                dispatch.item_encoder(offer, shared_items(item) if options.shared_items else item, peer.session.codec),
                policy=options.slow_policy,
                buffer_items=options.buffer_items,
                to_error=lambda exc: dispatch.error(offer, exc),
                on_end=lambda error: dispatch.report_stream_end(peer.connection, call, stream, error),
            )
        arrived_ns = call.arrived_ns
        self._streams[task] = (offer, stream, dispatch.now_ns() if arrived_ns is None else arrived_ns)
        owner = None if running is None else running.owner
        task.add_done_callback(lambda task, _=owner: self._forget_stream(task))  # type: ignore[misc]
        if call.loan is not None:  # What makes the items holds the arguments.
            task.add_done_callback(lambda _, loan=call.loan: loan.give_back())  # type: ignore[misc]
            call.loan = None
        if running is not None and running.inboxes:
            # The handler may read the caller's streams while it sends its own: they stay open until that has ended.
            inboxes, running.inboxes = running.inboxes, []
            task.add_done_callback(lambda _: self._drop_inboxes(call, inboxes))

    def _forget_stream(self, task: asyncio.Task[None]) -> None:
        self._streams.pop(task, None)
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._peer.logger.error("a stream's cleanup failed", exc_info=exc)
        self._check_idle()

    def _fail(self, call: IncomingCall, offer: Offer, exc: BaseException) -> None:
        self._reply_error(call, self._dispatch.error(offer, exc))

    def _forget(self, running: Running) -> None:
        key = id(running.message)
        self._running.pop(key, None)
        self._deadlines.clear(key)
        _give_back(running.message)
        if running.inboxes:
            self._drop_inboxes(running.message, running.inboxes)
        self._check_idle()

    def _drop_inboxes(self, message: IncomingCall | NotificationReceived, inboxes: list[tuple[Upload, Inbox]]) -> None:
        """Stop reading these streams, and tell the observers."""
        for upload, inbox in inboxes:
            inbox.drop()
            self._dispatch.report_upload_end(self._peer.connection, message, upload)

    # --- arguments of a handler ------------------------------------------------------------------------------------

    def _context(self, call: IncomingCall | None, offer: Offer, deadline: float) -> Context:
        loop, session = self._peer.loop, self._peer.session
        loop_thread = threading.get_ident()

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

        call_context = None if call is None else call.ctx
        return self._dispatch.context(offer, self._peer.connection, call_context, deadline, report)

    def _attach_streams(self, running: Running, kwargs: dict[str, Any]) -> None:
        """Replace the references to streams among the arguments with readers."""
        for upload in self._dispatch.uploads(running.offer, kwargs, self._peer.session.codec):
            inbox = self._peer.read_stream(upload.stream)
            inbox.takes_long = upload.takes_long
            running.inboxes.append((upload, inbox))
            kwargs[upload.name] = StreamReader(inbox, upload.load)

    # --- notifications ------------------------------------------------------------------------------------------

    def start_notification(self, event: NotificationReceived) -> int:
        """Run the handler of a notification. Errors are only logged, because nobody waits for an answer.

        Returns:
            How much this took of a turn of the loop, as of :meth:`start`.
        """
        peer, dispatch = self._peer, self._dispatch
        session = peer.session
        try:
            offer, args, kwargs = dispatch.admit_notification(
                peer.connection, event, session.codec, running=len(self), most=session.limits.calls_in_flight
            )
        except RpcError as exc:
            dispatch.report_refused_notification(peer.connection, event, exc)
            if isinstance(exc, Unauthenticated):
                peer.note_violation()
            _give_back(event)
            return self._share_of_refused(event)
        running = Running(event, offer, dispatch.offers.owner())
        deadline = peer.loop.time() + time_left_s(None, offer.spec.options.deadline_s)
        if offer.contract.context_name is not None:
            running.ctx = kwargs[offer.contract.context_name] = self._context(None, offer, deadline)
        self._running[id(event)] = running
        self._deadlines.set(id(event), deadline)
        dispatch.report_start(peer.connection, event)
        event.params = None
        self._spawn(running, self._run_notification(running, event, args, kwargs))
        share = offer.contract.turn_share + 1
        return share if not event.large_bytes else max(share, REST_OF_TURN)

    async def _run_notification(
        self, running: Running, event: NotificationReceived, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        offer, dispatch, connection = running.offer, self._dispatch, self._peer.connection
        try:
            await self._result(offer, args, kwargs)
            if running.reason is not None and isinstance(running.reason, DeadlineExceeded):
                raise running.reason
            dispatch.report_end(connection, event)
        except asyncio.CancelledError:
            reason = running.reason or Cancelled(f"{offer.name} was cancelled", executed="yes")
            dispatch.report_failed_notification(connection, event, offer, reason)
        except (Exception, SystemExit) as exc:
            dispatch.report_failed_notification(connection, event, offer, dispatch.error(offer, running.reason or exc))
        finally:
            self._forget(running)

    # --- the end ------------------------------------------------------------------------------------------------

    def cancel(self, call: IncomingCall) -> None:
        """Cancel a call because its caller wants that. It is answered when its handler has ended."""
        running = self._running.get(id(call))
        if running is not None:
            running.stop(cancel_error(call))

    def _on_deadline(self, key: int) -> None:
        running = self._running.get(key)
        if running is not None:
            running.stop(late_error(running.offer))

    def stop_refused(self, refuse: Callable[[Offer], RpcError | None]) -> set[asyncio.Task[Any]]:
        """Stop the handlers and the streams of methods that the caller may call no more.

        Parameters:
            refuse: returns the error for a method that the caller may not call; ``None`` for others.

        Returns:
            The tasks that will end now.
        """
        tasks: set[asyncio.Task[Any]] = set()
        for running in list(self._running.values()):
            error = refuse(running.offer)
            if error is not None:
                running.stop(error)
                if running.task is not None:
                    tasks.add(running.task)
        for task, (offer, stream, _) in list(self._streams.items()):
            error = refuse(offer)
            if error is not None:
                if stream is not None and stream.reason is None:
                    stream.reason = error
                cancel_begun(task)
                tasks.add(task)
        return tasks

    def connection_lost(self) -> None:
        """Stop all handlers, because nobody is left to answer."""
        self.tell_answers()
        for running in list(self._running.values()):
            running.stop(Cancelled("the connection ended", executed="yes"))

    async def finish(self, grace_s: float, patience_s: float = CANCEL_TIMEOUT_S) -> None:
        """Wait for all handlers to end, and cancel those that take longer.

        Parameters:
            grace_s: how long to wait before cancelling, in seconds.
            patience_s: how long to wait after cancelling, in seconds. Later calls of this method do not wait again for
                handlers that have not ended then.
        """
        if (self._running or self._streams) and grace_s > 0:
            self._idle = self._peer.loop.create_future()
            await asyncio.wait([self._idle], timeout=grace_s)
            self._idle = None
        for running in list(self._running.values()):
            running.stop(Cancelled("the server is stopping", executed="yes"))
        for task in list(self._streams):
            cancel_begun(task)
        tasks = {r.task for r in self._running.values() if r.task is not None} | self._streams.keys()
        if waiting := tasks - self._given_up:
            _, late_tasks = await asyncio.wait(waiting, timeout=patience_s)
            if late_tasks:
                self._given_up |= late_tasks
                names = sorted({running.offer.name for running in self._running.values()})
                self._peer.logger.error(
                    "%d handlers do not end although cancelled: %s", len(late_tasks), ", ".join(names)
                )

    def _check_idle(self) -> None:
        if self._idle is not None and not self._idle.done() and not self._running and not self._streams:
            self._idle.set_result(None)


def _give_back(message: IncomingCall | NotificationReceived) -> None:
    """Give back the bytes of a call or a notification, because its handler has ended."""
    if message.loan is not None:
        message.loan.give_back()


def _call_in_thread(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a plain function in a thread. A StopIteration becomes another error, because a future cannot carry it: who
    waits for the future would wait for ever."""
    take_place()
    try:
        return function(*args, **kwargs)
    except StopIteration as exc:
        raise RuntimeError("the handler raised StopIteration") from exc


async def _wait_for_thread(future: asyncio.Future[Any]) -> Any:
    """Wait for a thread. A thread cannot be stopped, so a cancelled call is answered only when the thread has ended."""
    was_cancelled = False
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            was_cancelled = True
    if was_cancelled:
        future.exception()
        raise asyncio.CancelledError
    return future.result()


_END = object()


def _next_item(source: Iterator[Any]) -> Any:
    """Take the next item of a plain iterator. This runs in a thread."""
    take_place()
    return next(source, _END)


async def _iterate_in_threads(
    source: Iterator[Any], executor: Executor | None, context: contextvars.Context
) -> AsyncIterator[Any]:
    """Yield the items of a plain iterator. Each is made in a thread, with the context variables of the handler."""
    loop, take = asyncio.get_running_loop(), partial(_next_item, source)
    try:
        while (item := await _wait_for_thread(loop.run_in_executor(executor, context.run, take))) is not _END:
            yield item
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            await loop.run_in_executor(executor, context.run, close)


async def _close(source: AsyncIterator[Any]) -> None:
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()
