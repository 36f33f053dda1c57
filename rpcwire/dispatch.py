"""The way of a call on the side that answers it, without I/O: finds the method, asks the gate, validates the
parameters, builds the context, turns the result or the exception into an answer, and tells observers the outcome.

Both drivers (:mod:`rpcwire.aio.handlers`, :mod:`rpcwire.threads.handlers`) use it. They add how to run a handler, how
to wait for it, and how to stop it.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Iterable
from time import monotonic_ns
from typing import Any, Literal, Protocol, TypeAlias

from msgspec import UNSET, Raw

from rpcwire.values.wiretypes import LARGE_BYTES, WireType, load_upload

from .boundary import to_rpc_error, unsendable_answer
from .codec import Codec
from .context import Connection, Context
from .contracts import StreamReference
from .errors import Busy, Cancelled, DeadlineExceeded, InternalError, InvalidRequest, MethodNotFound, RpcError, TooLarge
from .events import IncomingCall, NotificationReceived
from .limits import ITEM_LEVELS
from .logs import printable
from .messages import CallContext, MessageId
from .outcomes import ANSWER_FIELDS, METHOD_CHARACTERS, Answers, CloseObserver, Meter, Observer, Outcome, Subject
from .registry import Offer, Offers
from .streams import OutgoingStream
from .values.unsendable import Unsendable

Gate = Callable[[Connection, str, Offer | None], RpcError | None]
"""Decides whether a call may run, by its connection, the name called, and the method of that name (``None`` if there is
none). It is asked before the parameters are read, unless the method is in :attr:`Connection.allowed
<rpcwire.context.Connection.allowed>`. It returns the error of a refusal, or ``None`` to let the call run."""

Incoming: TypeAlias = IncomingCall | NotificationReceived
"""A message that makes a handler run."""

Admission: TypeAlias = tuple[Offer, tuple[Any, ...], dict[str, Any]]
"""A method, and the arguments to call it with, by position and by name."""


def open_gate(_connection: Connection, _method: str, _offer: Offer | None) -> RpcError | None:
    """Let every call run."""
    return None


class Encoder(Protocol):
    """Encodes the items of a stream."""

    def dump(self, value: Any, codec: Codec, around: int = ...) -> bytes:
        """Encode an item.

        Raises:
            ValueError: the item is not of the declared type.
        """
        ...


class Upload:
    """A stream among the parameters of a call.

    Parameters:
        name: the parameter's name.
        stream: the stream's id.
        item: the type of its items.
        codec: the form of the wire.

    Attributes:
        items: the number of items that the handler has read.
        bytes: the size of these items.
    """

    __slots__ = ("_codec", "_item", "bytes", "items", "name", "stream")

    def __init__(self, name: str, stream: str, item: WireType, codec: Codec) -> None:
        self.name = name
        self.stream = stream
        self.items = 0
        self.bytes = 0
        self._item = item
        self._codec = codec

    @property
    def takes_long(self) -> bool:
        """Whether even a small item may take long to decode."""
        return self._item.is_bounded

    def load(self, raw: Raw) -> Any:
        """Decode an item that the handler reads.

        Raises:
            InvalidParams: the item is not of the declared type.
        """
        self.items += 1
        self.bytes += len(memoryview(raw))
        return load_upload(self._item, raw, self._codec, self.name)


class Dispatch:
    """Decides on every call that one side answers, over all its connections.

    Parameters:
        offers: the methods that this side offers.
        gate: decides whether a call may run.
        observers: called with the outcome of each call.
        logger: gets refused notifications, and failures of observers, gates and validators.

    Raises:
        TypeError: an observer is not a plain function.

    Attributes:
        offers: the methods that this side offers.
        is_observed: whether somebody observes the calls that arrive now.
    """

    def __init__(
        self, offers: Offers, gate: Gate = open_gate, observers: Iterable[Observer] = (), *, logger: logging.Logger
    ) -> None:
        self.offers = offers
        self._find = offers.get
        self._gate = gate
        self._gates_before = 0
        self._logger = logger
        self._observers: list[Observer] = []
        self._close_observer: CloseObserver | None = None
        self._meter: Meter | None = None
        self._notes_params_early = False
        self.is_observed = False
        for observer in observers:
            self.observe(observer)

    def observe(self, observer: Observer) -> None:
        """Call one more observer with the outcome of each call that arrives from now on.

        Parameters:
            observer: takes an :class:`~rpcwire.outcomes.Outcome`.

        Raises:
            TypeError: the observer is not a plain function.
        """
        is_async = inspect.iscoroutinefunction
        if not callable(observer) or is_async(observer) or is_async(type(observer).__call__):
            raise TypeError(f"observers: {observer!r}: must be a plain function that takes an Outcome, not a coroutine")
        self._observers.append(observer)
        self.is_observed = self._notes_params_early = True

    def stop_observing(self, observer: Observer) -> None:
        """Call an observer no more; nothing happens if it is none."""
        if observer in self._observers:
            self._observers.remove(observer)
        closely = self._close_observer
        self.is_observed = bool(self._observers) or closely is not None or self._meter is not None
        self._notes_params_early = bool(self._observers) or (closely is not None and closely.needs_codec)

    def observe_closely(self, observer: CloseObserver) -> None:
        """Have each call that arrives from now on observed closely. There is room for one such observer. Call this
        again if it needs the codec from now on, or no longer."""
        self._close_observer = observer
        self.is_observed = True
        self._notes_params_early = bool(self._observers) or observer.needs_codec

    def measure(self, meter: Meter) -> None:
        """Have each call counted. There is room for one meter, which must come before the first call."""
        self._meter = meter
        self.is_observed = True

    def put_before_gate(self, gate: Gate) -> Callable[[], None]:
        """Have every call ask one more gate first, whatever the caller is allowed.

        Returns:
            A function that takes that gate away again.
        """
        first, second = gate, self._gate

        def both(connection: Connection, method: str, offer: Offer | None) -> RpcError | None:
            return first(connection, method, offer) or second(connection, method, offer)

        self._gate = both
        self._gates_before += 1

        def restore() -> None:
            self._gate = second
            self._gates_before -= 1

        return restore

    # --- the way in ---------------------------------------------------------------------------------------------

    def admit(self, connection: Connection, message: Incoming, codec: Codec) -> Admission:
        """Find the method, ask the gate, and validate the parameters.

        Parameters:
            connection: the connection of the message.
            message: a call or a notification.
            codec: the form of the wire.

        Returns:
            The method and its arguments.

        Raises:
            RpcError: the call is refused; its handler has not run.
        """
        if self._notes_params_early:
            self._note_params(message, codec)
        method = message.method
        try:
            offer = self._find(method)
            if method not in connection.allowed or self._gates_before:  # Most calls need no more than this look.
                refusal = self._gate(connection, method, offer)
                if refusal is not None:
                    raise refusal
            if offer is None:
                raise self._unknown_method(method)
            if message.large_bytes:
                _check_size(offer, message.large_bytes)
                is_large = message.large_bytes > LARGE_BYTES
                args, kwargs = offer.contract.load_params(message.params, codec, is_large=is_large)
            else:
                args, kwargs = offer.contract.load_params(message.params, codec)
            if offer.guard is not None:
                assert connection.principal is not None
                offer.guard(connection.principal, offer.contract.name_arguments(args, kwargs))
        except RpcError:
            raise
        except Exception as exc:  # A validator of the service failed, or the gate did.
            error = to_rpc_error(exc, method=method, logger=self._logger)
            error.executed = "no"
            raise error from None
        return offer, args, kwargs

    def admit_notification(
        self, connection: Connection, message: NotificationReceived, codec: Codec, *, running: int, most: int
    ) -> Admission:
        """Do the same as :meth:`admit` for a notification.

        Parameters:
            connection, message, codec: see :meth:`admit`.
            running: the number of handlers that run on the connection.
            most: the largest number that may run.

        Raises:
            RpcError: the notification is refused; its handler has not run.
        """
        offer, args, kwargs = self.admit(connection, message, codec)
        if offer.contract.stream_parameters or offer.contract.item is not None:
            raise InvalidRequest(f"{offer.name} streams, so it must be called, not notified")
        if running >= most:
            raise Busy(f"{offer.name} was dropped: too many handlers run: send fewer at once")
        return offer, args, kwargs

    def _unknown_method(self, method: str) -> MethodNotFound:
        name = method[:METHOD_CHARACTERS]
        text = f"there is no method {name!r}"
        if near := self.offers.like(name):
            text += f"; did you mean {near}?"
        if self._find("rpc.discover") is not None:
            text += (" " if near else "; ") + "rpc.discover lists those there are"
        return MethodNotFound(text)

    def context(
        self,
        offer: Offer,
        connection: Connection,
        call_context: CallContext | None,
        deadline: float,
        report: Callable[[float, float | None, str | None], None],
        kind: type[Context] = Context,
    ) -> Context:
        """Make the context that a handler gets.

        Parameters:
            offer: the handler's method.
            connection: the connection of the call.
            call_context: the context that the caller has sent; ``None`` if there is none.
            deadline: when the call must be answered, on the clock of :func:`time.monotonic`.
            report: tells the caller how far the call has come.
            kind: the class to make; each driver has one.
        """
        return kind(
            method=offer.name,
            connection=connection,
            logger=offer.logger,
            deadline=deadline,
            report=report,
            key=None if call_context is None or call_context.key is UNSET else call_context.key,
            traceparent=(
                None if call_context is None or call_context.traceparent is UNSET else call_context.traceparent
            ),
        )

    def uploads(self, offer: Offer, kwargs: dict[str, Any], codec: Codec) -> list[Upload]:
        """List the streams among a call's parameters. The driver replaces each with a reader."""
        return [
            Upload(name, reference.stream, item, codec)
            for name, item in offer.contract.stream_parameters.items()
            if isinstance(reference := kwargs.get(name), StreamReference)
        ]

    # --- the way out --------------------------------------------------------------------------------------------

    def encode_result(self, offer: Offer, result: Any, codec: Codec) -> bytes:
        """Encode the result of a handler.

        Raises:
            InternalError: the result cannot be sent, or is not of the declared type.
        """
        try:
            return offer.contract.dump_result(result, codec)
        except Exception as exc:
            raise unsendable_answer(exc, method=offer.name, logger=offer.logger) from None

    def item_encoder(self, offer: Offer, encoder: Encoder, codec: Codec) -> Callable[[Any], bytes]:
        """Make a function that encodes the items of the stream with which a method answers.

        Parameters:
            offer: the method.
            encoder: encodes items of the method's type.
            codec: the form of the wire.
        """

        def dump(value: Any) -> bytes:
            try:
                return encoder.dump(value, codec, ITEM_LEVELS)
            except Unsendable as exc:
                raise unsendable_answer(exc, method=offer.name, logger=offer.logger) from exc

        return dump

    def error(self, offer: Offer, exc: BaseException) -> RpcError:
        """Make the error to answer with when a handler, or the stream that it returned, has raised ``exc``."""
        return to_rpc_error(exc, method=offer.name, logger=offer.logger)

    # --- outcomes ----------------------------------------------------------------------------------------

    def arrival_ns(self) -> int | None:
        """The time, for the arrival of all calls of a frame; ``None`` if nobody observes them."""
        return monotonic_ns() if self.is_observed else None

    @staticmethod
    def now_ns() -> int:
        """The time on the clock of :meth:`arrival_ns`, whether or not anybody observes."""
        return monotonic_ns()

    def report_answers(self, connection: Connection, answers: Answers) -> None:
        """Do the same as :meth:`report_end` for calls of one frame that were answered with results, one after the
        other. Most calls are told so: no outcome is made for them, because that takes as long as all the rest.

        Parameters:
            connection: the connection of the calls.
            answers: the calls.
        """
        if self._observers:
            for call, sent_bytes in zip(answers[1::ANSWER_FIELDS], answers[2::ANSWER_FIELDS], strict=True):
                self.report_end(connection, call, None, sent_bytes)
            return
        if self._meter is not None:
            self._meter.answered_together(connection, answers)
        if self._close_observer is not None:
            self._close_observer.answered_together(connection, answers)

    def report_end(
        self, connection: Connection, message: Incoming, error: RpcError | None = None, sent_bytes: int = 0
    ) -> None:
        """Tell the observers that a call has its answer, or that the handler of a notification has ended.

        Parameters:
            connection: the connection of the message.
            message: the call or the notification.
            error: the error of a failure; ``None`` for a success.
            sent_bytes: the size of the encoded result.
        """
        if message.arrived_ns is None:
            return
        closely, meter = self._close_observer, self._meter
        self._note_params(message)
        if error is None and isinstance(message, IncomingCall):
            if meter is not None:
                meter.answered(connection, message, sent_bytes)
            if closely is not None:
                closely.answered(connection, message, sent_bytes)
            if not self._observers:
                return
            closely = meter = None
        subject: Subject = "call" if isinstance(message, IncomingCall) else "notification"
        received_bytes = message.received_bytes
        self._notify_observers(
            subject, connection, message, error, closely, meter, received_bytes=received_bytes, sent_bytes=sent_bytes
        )

    def report_stream_end(
        self, connection: Connection, call: IncomingCall, stream: OutgoingStream, error: RpcError | None
    ) -> None:
        """Tell the observers that the stream that answered a call has ended.

        Parameters:
            connection: the connection of the call.
            call: the call.
            stream: the stream.
            error: the error, if the stream ended before its source.
        """
        if call.arrived_ns is not None:
            self._notify_observers(
                "stream", connection, call, error, self._close_observer, self._meter,
                items=stream.items, sent_bytes=stream.bytes,
            )  # fmt: skip

    def report_upload_end(self, connection: Connection, call: Incoming, upload: Upload) -> None:
        """Tell the observers that nobody reads this stream of a call's parameters any more."""
        if call.arrived_ns is not None:
            self._notify_observers(
                "upload", connection, call, None, self._close_observer, self._meter,
                items=upload.items, received_bytes=upload.bytes,
            )  # fmt: skip

    def report_refusal(self, connection: Connection, call: IncomingCall, error: RpcError, codec: Codec) -> None:
        """Tell the observers that the session has refused a call before its method was looked up."""
        if call.arrived_ns is not None:
            self._note_params(call, codec)
            self.report_end(connection, call, error)

    def report_refused_notification(
        self, connection: Connection, message: NotificationReceived, error: RpcError
    ) -> None:
        """Log a notification that was refused, because nobody waits for an answer, and tell the observers."""
        self._logger.log(
            logging.WARNING if isinstance(error, Busy) else logging.INFO,
            "%s: notification '%s': %s: %s",
            connection.remote,
            printable(message.method, METHOD_CHARACTERS),
            error.type,
            printable(error.message),
            extra=connection.log_extra,
        )
        self.report_end(connection, message, error)

    def report_failed_notification(
        self, connection: Connection, message: NotificationReceived, offer: Offer, error: RpcError
    ) -> None:
        """Log that the handler of a notification has failed, and tell the observers."""
        prefix = "cancelled: " if isinstance(error, Cancelled) else ""
        text = printable(error.message)
        offer.logger.info("notification %s: %s%s", offer.name, prefix, text, extra=connection.log_extra)
        self.report_end(connection, message, error)

    def _notify_observers(
        self,
        subject: Subject,
        connection: Connection,
        message: Incoming,
        error: RpcError | None,
        closely: CloseObserver | None,
        meter: Meter | None,
        *,
        items: int = 0,
        received_bytes: int = 0,
        sent_bytes: int = 0,
    ) -> None:
        assert message.arrived_ns is not None
        offer = self._find(message.method)
        call = message if isinstance(message, IncomingCall) else None
        now_ns = monotonic_ns()
        outcome = Outcome(
            subject=subject,
            method=message.method[:METHOD_CHARACTERS],
            kind=None if offer is None else offer.spec.options.kind,
            id=None if call is None else call.id,
            connection=connection,
            principal=connection.principal,
            ctx=None if call is None else call.ctx,
            error=error,
            duration_s=(now_ns - message.arrived_ns) / 1e9,
            ended_s=now_ns / 1e9,
            items=items,
            received_bytes=received_bytes,
            sent_bytes=sent_bytes,
        )
        if meter is not None:
            meter.ended(outcome)
        if self._observers:
            self._tell(outcome)
        if closely is not None:
            params_note = message.params_note if subject == "call" or subject == "notification" else None  # noqa: PLR1714 - quicker
            self._tell_closely(closely, outcome, params_note, message.start)

    def _tell(self, outcome: Outcome) -> None:
        for observer in self._observers:
            try:
                observer(outcome)
            except KeyboardInterrupt:
                raise
            except BaseException:  # Even sys.exit() in an observer must not end the call.
                self._logger.exception("the observer %r failed", observer)

    def _tell_closely(self, observer: CloseObserver, outcome: Outcome, params_note: Any, start: Any) -> None:
        try:
            observer.ended(outcome, params_note, start)
        except KeyboardInterrupt:
            raise
        except BaseException:
            self._logger.exception("the observer %r failed", observer)

    def _note_params(self, message: Incoming, codec: Codec | None = None) -> None:
        """Note for observers how large parameters are, and what to keep of them, unless it is noted."""
        if message.params is None or message.received_bytes:
            return
        message.received_bytes = len(memoryview(message.params))
        observer = self._close_observer
        if observer is None:
            return
        try:
            message.params_note = observer.keep(message.method, message.params, codec)
        except KeyboardInterrupt:
            raise
        except BaseException:
            self._logger.exception("the observer %r failed", observer)

    def report_start(self, connection: Connection, message: Incoming) -> None:
        """Tell the observer that sees calls closely that the handler of a call begins, and may take long."""
        observer = self._close_observer
        if observer is None or message.arrived_ns is None:
            return
        self._note_params(message)
        try:
            message.start = observer.started(connection, message)
        except KeyboardInterrupt:
            raise
        except BaseException:
            self._logger.exception("the observer %r failed", observer)

    # --- calls of this side -------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float | None:
        """The time, for :meth:`report_own`; ``None`` if no observer needs it."""
        return time.monotonic() if self.is_observed else None

    def report_own(
        self,
        connection: Connection,
        subject: Literal["own call", "own notification"],
        method: str,
        began_s: float | None,
        *,
        call_id: MessageId = None,
        error: RpcError | None = None,
        sent_bytes: int = 0,
        received_bytes: int = 0,
    ) -> None:
        """Tell the observers what came of a call that a handler of this side has sent to the other side.

        Parameters:
            connection: the connection over which it went.
            subject: a call or a notification.
            method: the method of the other side.
            began_s: :attr:`now_s` of its beginning.
            call_id: its id on the wire; ``None`` if it was not sent.
            error: the error of a failure; ``None`` for a success.
            sent_bytes: the size of the encoded parameters.
            received_bytes: the size of the encoded result.
        """
        if began_s is not None:
            now = time.monotonic()
            outcome = Outcome(
                subject=subject,
                method=method[:METHOD_CHARACTERS],
                kind=None,
                id=call_id,
                connection=connection,
                principal=connection.principal,
                ctx=None,
                error=error,
                duration_s=now - began_s,
                ended_s=now,
                received_bytes=received_bytes,
                sent_bytes=sent_bytes,
            )
            if self._meter is not None:
                self._meter.ended(outcome)
            self._tell(outcome)
            if self._close_observer is not None:
                self._tell_closely(self._close_observer, outcome, None, None)


def _check_size(offer: Offer, size_bytes: int) -> None:
    """Make sure that a call or a notification is not larger than its method allows.

    Raises:
        TooLarge: it is; its handler has not run.
    """
    most = offer.spec.options.message_bytes
    if most is None or size_bytes <= most:
        return
    if streams := offer.contract.stream_parameters:
        remedy = f"send the large part over the stream {next(iter(streams))!r}"
    else:
        remedy = "send less at once"
    raise TooLarge(
        f"params: a call of {offer.name} may have {most} bytes, and this one has {size_bytes}: {remedy}, or let "
        "whoever declares the method ask for more: @method(message_bytes=...)",
        executed="no",
        errors=[{"loc": ["params"], "msg": f"at most {most} bytes in a call of {offer.name}", "type": "too_large"}],
    )


def cancel_error(call: IncomingCall) -> Cancelled:
    """Make the error of a handler that ends because its caller has cancelled."""
    return Cancelled(f"{call.method} was cancelled", executed="yes")


def late_error(offer: Offer) -> DeadlineExceeded:
    """Make the error of a handler that ends because its time is over."""
    return DeadlineExceeded(f"{offer.name} did not end in time", executed="yes")


def suspension_error(offer: Offer) -> InternalError:
    """Make the error of a coroutine function that has suspended although its code awaits nothing."""
    return InternalError(f"{offer.name} suspended although it awaits nothing", executed="yes")
