"""The way of a call on the side that answers it, without I/O: find the method, ask the gate, validate the parameters,
build the context, turn what the handler did into an answer, and tell observers what came of it.

Both drivers (:mod:`rpcwire.aio.handlers`, :mod:`rpcwire.threads.handlers`) go this way. What they add is how a handler
is run, waited for and stopped.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeAlias

from msgspec import UNSET, Raw

from rpcwire.values.wiretypes import WireType, load_upload

from .boundary import to_rpc_error, unsendable_answer
from .codec import Codec
from .context import Connection, Context
from .contracts import StreamReference
from .errors import Busy, Cancelled, DeadlineExceeded, InternalError, InvalidRequest, MethodNotFound, RpcError
from .events import IncomingCall, NotificationReceived
from .limits import ITEM_LEVELS
from .logs import printable
from .messages import CallContext
from .outcomes import METHOD_CHARACTERS, Observer, Outcome, Subject
from .registry import Offer, Offers
from .streams import OutgoingStream
from .values.unsendable import Unsendable

Gate = Callable[[Connection, str, Offer | None], RpcError | None]
"""Decides on each call by its connection, the name called, and the method of that name if there is one, before
anything else of it is looked at. ``None`` lets it through."""

Incoming: TypeAlias = IncomingCall | NotificationReceived
"""What runs a handler."""

Admitted: TypeAlias = tuple[Offer, tuple[Any, ...], dict[str, Any]]
"""A method, and the arguments to call it with, by position and by name."""


def open_gate(_connection: Connection, _method: str, _offer: Offer | None) -> RpcError | None:
    """The gate that lets everything through."""
    return None


class Encoder(Protocol):
    """Encodes the items of a stream."""

    def dump(self, value: Any, codec: Codec, around: int = ...) -> bytes:
        """Encode an item.

        Raises:
            ValueError: it is not of the declared type.
        """
        ...


class Upload:
    """A stream among the parameters of a call.

    Parameters:
        name: the parameter's name.
        stream: the stream's id.
        item: reads an item.
        codec: the form of the wire.

    Attributes:
        items: how many items the handler has read.
        bytes: their size.
    """

    __slots__ = ("_codec", "_item", "bytes", "items", "name", "stream")

    def __init__(self, name: str, stream: str, item: WireType, codec: Codec) -> None:
        self.name = name
        self.stream = stream
        self.items = 0
        self.bytes = 0
        self._item = item
        self._codec = codec

    def load(self, raw: Raw) -> Any:
        """Decode an item that the handler reads.

        Raises:
            InvalidParams: it is not of the declared type.
        """
        self.items += 1
        self.bytes += len(memoryview(raw))
        return load_upload(self._item, raw, self._codec, self.name)


class Dispatch:
    """The way of every call that one side answers, over all its connections.

    Parameters:
        offers: the methods that this side offers.
        gate: decides on each call.
        observers: are told what came of each call.
        logger: gets what is refused, and what fails without being a handler.

    Raises:
        TypeError: an observer is no plain function.

    Attributes:
        offers: as given.
    """

    def __init__(
        self, offers: Offers, gate: Gate = open_gate, observers: Iterable[Observer] = (), *, logger: logging.Logger
    ) -> None:
        self.offers = offers
        self._find = offers.get
        self._gate = gate
        self._logger = logger
        self._observers: list[Observer] = []
        for observer in observers:
            self.observe(observer)

    def observe(self, observer: Observer) -> None:
        """Tell one more observer what comes of calls, beginning with those that arrive from now on.

        Parameters:
            observer: called with the :class:`~rpcwire.outcomes.Outcome` of each.

        Raises:
            TypeError: it is no plain function.
        """
        runs = inspect.iscoroutinefunction
        if not callable(observer) or runs(observer) or runs(type(observer).__call__):
            raise TypeError(f"observers: {observer!r}: must be a plain function that takes an Outcome, not a coroutine")
        self._observers.append(observer)

    # --- the way in ---------------------------------------------------------------------------------------------

    def admit(self, connection: Connection, message: Incoming, codec: Codec) -> Admitted:
        """Find the method, ask the gate, and validate the parameters.

        Parameters:
            connection: where the message came from.
            message: a call or a notification.
            codec: the form of the wire.

        Returns:
            The method and its arguments.

        Raises:
            RpcError: the call is refused; nothing was executed.
        """
        if self._observers:
            message.arrived_s = time.monotonic()
        method = message.method
        try:
            offer = self._find(method)
            refusal = self._gate(connection, method, offer)
            if refusal is not None:
                raise refusal
            if offer is None:
                raise self._unknown(method)
            args, kwargs = offer.contract.load_params(message.params, codec)
        except RpcError:
            raise
        except Exception as exc:  # A validator of the service's own failed, or the gate did.
            error = to_rpc_error(exc, method=method, logger=self._logger)
            error.executed = "no"
            raise error from None
        return offer, args, kwargs

    def admit_notification(
        self, connection: Connection, message: NotificationReceived, codec: Codec, *, running: int, most: int
    ) -> Admitted:
        """The same for a notification.

        Parameters:
            connection, message, codec: as of :meth:`admit`.
            running: how many handlers run on the connection.
            most: how many may.

        Raises:
            RpcError: the notification is refused; nothing was executed.
        """
        offer, args, kwargs = self.admit(connection, message, codec)
        if offer.contract.stream_parameters or offer.contract.item is not None:
            raise InvalidRequest(f"{offer.name} streams, so it must be called, not notified")
        if running >= most:
            raise Busy(f"{offer.name} was dropped: too many handlers run")
        return offer, args, kwargs

    def _unknown(self, method: str) -> MethodNotFound:
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
        told: CallContext | None,
        deadline: float,
        report: Callable[[float, float | None, str | None], None],
        kind: type[Context] = Context,
    ) -> Context:
        """The context that a handler gets.

        Parameters:
            offer: its method.
            connection: where the call came from.
            told: what came with the call; ``None`` for a notification.
            deadline: when the call must be answered, on the clock of :func:`time.monotonic`.
            report: tells the caller how far the call has come.
            kind: the driver's own class of contexts.
        """
        return kind(
            method=offer.name,
            connection=connection,
            logger=offer.logger,
            deadline=deadline,
            report=report,
            key=None if told is None or told.key is UNSET else told.key,
            traceparent=None if told is None or told.traceparent is UNSET else told.traceparent,
        )

    def uploads(self, offer: Offer, kwargs: dict[str, Any], codec: Codec) -> list[Upload]:
        """The streams among a call's parameters, which the driver replaces with what reads them."""
        return [
            Upload(name, reference.stream, item, codec)
            for name, item in offer.contract.stream_parameters.items()
            if isinstance(reference := kwargs.get(name), StreamReference)
        ]

    # --- the way out --------------------------------------------------------------------------------------------

    def encode_result(self, offer: Offer, result: Any, codec: Codec) -> bytes:
        """A handler's result as it is sent.

        Raises:
            InternalError: it cannot be sent, or is not of the declared type.
        """
        try:
            return offer.contract.dump_result(result, codec)
        except Exception as exc:
            raise unsendable_answer(exc, method=offer.name, logger=offer.logger) from None

    def item_encoder(self, offer: Offer, encoder: Encoder, codec: Codec) -> Callable[[Any], bytes]:
        """What encodes the items of the stream that a method answers with.

        Parameters:
            offer: the method.
            encoder: of its items.
            codec: the form of the wire.
        """

        def dump(value: Any) -> bytes:
            try:
                return encoder.dump(value, codec, ITEM_LEVELS)
            except Unsendable as exc:
                raise unsendable_answer(exc, method=offer.name, logger=offer.logger) from exc

        return dump

    def error(self, offer: Offer, exc: BaseException) -> RpcError:
        """What to answer when a handler, or the stream it has returned, has raised ``exc``."""
        return to_rpc_error(exc, method=offer.name, logger=offer.logger)

    # --- what came of it ----------------------------------------------------------------------------------------

    def report_end(
        self, connection: Connection, message: Incoming, error: RpcError | None = None, sent_bytes: int = 0
    ) -> None:
        """A call has its answer, or the handler of a notification has ended: tell the observers.

        Parameters:
            connection: where it came from.
            message: the call or the notification.
            error: why it failed, if it did.
            sent_bytes: size of the encoded result.
        """
        if message.arrived_s is not None:
            subject: Subject = "call" if isinstance(message, IncomingCall) else "notification"
            params = message.params
            received_bytes = 0 if params is None else len(memoryview(params))
            self._tell(subject, connection, message, error, received_bytes=received_bytes, sent_bytes=sent_bytes)

    def report_stream_end(
        self, connection: Connection, call: IncomingCall, stream: OutgoingStream, error: RpcError | None
    ) -> None:
        """The stream that answered a call has ended: tell the observers.

        Parameters:
            connection, call: as of :meth:`report_end`.
            stream: what was sent.
            error: why it did not come to its own end, if it did not.
        """
        if call.arrived_s is not None:
            self._tell("stream", connection, call, error, items=stream.items, sent_bytes=stream.bytes)

    def report_upload_end(self, connection: Connection, call: Incoming, upload: Upload) -> None:
        """Nobody reads this stream of a call's parameters any more: tell the observers."""
        if call.arrived_s is not None:
            self._tell("upload", connection, call, None, items=upload.items, received_bytes=upload.bytes)

    def report_refusal(self, connection: Connection, call: IncomingCall, error: RpcError) -> None:
        """The session has refused a call before anybody looked at its method: tell the observers."""
        if self._observers:
            call.arrived_s = time.monotonic()
            self.report_end(connection, call, error)

    def report_refused_notification(
        self, connection: Connection, message: NotificationReceived, error: RpcError
    ) -> None:
        """Log a notification that did not run, since nobody waits for an answer, and tell the observers."""
        self._logger.log(
            logging.WARNING if isinstance(error, Busy) else logging.INFO,
            "%s: notification '%s': %s: %s",
            connection.remote,
            printable(message.method, METHOD_CHARACTERS),
            error.type,
            printable(error.message),
        )
        self.report_end(connection, message, error)

    def report_failed_notification(
        self, connection: Connection, message: NotificationReceived, offer: Offer, error: RpcError
    ) -> None:
        """Log that the handler of a notification has failed, and tell the observers."""
        why = "cancelled: " if isinstance(error, Cancelled) else ""
        offer.logger.info("notification %s: %s%s", offer.name, why, error.message)
        self.report_end(connection, message, error)

    def _tell(
        self,
        subject: Subject,
        connection: Connection,
        message: Incoming,
        error: RpcError | None,
        *,
        items: int = 0,
        received_bytes: int = 0,
        sent_bytes: int = 0,
    ) -> None:
        assert message.arrived_s is not None
        offer = self._find(message.method)
        call = message if isinstance(message, IncomingCall) else None
        outcome = Outcome(
            subject=subject,
            method=message.method[:METHOD_CHARACTERS],
            kind=None if offer is None else offer.spec.options.kind,
            id=None if call is None else call.id,
            connection=connection,
            principal=connection.principal,
            ctx=None if call is None else call.ctx,
            error=error,
            duration_s=time.monotonic() - message.arrived_s,
            items=items,
            received_bytes=received_bytes,
            sent_bytes=sent_bytes,
        )
        for observer in self._observers:
            try:
                observer(outcome)
            except KeyboardInterrupt:
                raise
            except BaseException:  # Not even sys.exit() in an observer may end a call.
                self._logger.exception("the observer %r failed", observer)


def cancel_error(call: IncomingCall) -> Cancelled:
    """Why a handler ends whose caller wants no more."""
    return Cancelled(f"{call.method} was cancelled", executed="yes")


def late_error(offer: Offer) -> DeadlineExceeded:
    """Why a handler ends whose time is over."""
    return DeadlineExceeded(f"{offer.name} did not end in time", executed="yes")


def suspension_error(offer: Offer) -> InternalError:
    """What to answer where a coroutine function that awaits nothing has suspended."""
    return InternalError(f"{offer.name} suspended although it awaits nothing", executed="yes")
