"""The outcome of a call, which :mod:`rpcwire.dispatch` passes to observers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from .codec import Codec
from .context import Connection, Principal
from .errors import Executed, RpcError
from .events import IncomingCall, NotificationReceived
from .messages import CallContext, MessageId

METHOD_CHARACTERS = 100
"""The most characters of a method's name in an outcome: the caller of an unknown method may write anything."""

Subject = Literal["call", "notification", "stream", "upload", "own call", "own notification"]
"""The thing that has ended: a call, a notification, the stream that answered a call, or a stream among its parameters;
or a call or a notification that a handler of this side has sent to the other side (``ctx.caller``)."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The outcome of a call, a notification, or one of a call's streams.

    A call that is answered with a stream has an outcome when the stream begins, and its stream has another when it
    ends. An outcome does not contain parameters, results or items, since they may be secrets; an error's message may
    repeat a part of them. Python's collector follows outcomes, since their errors lead to frames, whose variables may
    lead back.

    Attributes:
        subject: see :data:`Subject`.
        method: the first :data:`METHOD_CHARACTERS` characters of the name that the caller wrote. If there is no such
            method (``kind`` is ``None``), it may be any text.
        kind: the kind of the method: ``read``, ``idempotent`` or ``once``; ``None`` if there is no such method.
        id: the call's id on the wire, which its streams share with it; ``None`` for a notification.
        connection: the connection of the call.
        principal: the caller; ``None`` if nobody has authenticated on the connection.
        ctx: the context that the caller has sent: its key, and its trace context; ``None`` if there is none.
        error: the error of a failure; ``None`` for a success. The error of a stream whose reader wanted no more items
            is :class:`~rpcwire.errors.Cancelled`.
        duration_s: the time from the arrival of the call (for its streams, too) to this end, in seconds.
        ended_s: the time of this end, on the clock of :func:`time.monotonic`.
        items: the number of items sent, or for an upload the number of items that the handler has read; 0 for a call.
        received_bytes: the size of the encoded parameters, or of the items that the handler has read.
        sent_bytes: the size of the encoded result, or of the items sent.
    """

    subject: Subject
    method: str
    kind: str | None
    id: MessageId
    connection: Connection
    principal: Principal | None
    ctx: CallContext | None
    error: RpcError | None
    duration_s: float
    ended_s: float = 0.0
    items: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0

    @property
    def executed(self) -> Executed:
        """Whether the handler ran: ``no``, ``yes`` (at least begun), or ``unknown``."""
        return "yes" if self.error is None else self.error.executed


Observer: TypeAlias = Callable[[Outcome], None]
"""Called with the outcome of each call. It is a plain function and must be quick, because calls wait for it: it runs in
the thread that drives the connection, or in the thread of the handler. An exception that it raises is logged and
changes nothing."""


Answers: TypeAlias = list[Any]
"""Calls of one frame that were answered: of each its method (:class:`~rpcwire.registry.Offer`), the call, and the size
of the encoded result; all in one flat list, which is the quickest to append to."""

ANSWER_FIELDS = 3
"""How many values a call has in :data:`Answers`."""


class CloseObserver(Protocol):
    """Observes calls more closely than an :data:`Observer`: it sees parameters, and is told of calls whose handler has
    begun and goes on. Its methods must be quick, too. What they raise changes nothing; but :meth:`answered` and
    :meth:`answered_together` must raise nothing, because nobody stands between them and the calls.

    Attributes:
        needs_codec: whether :meth:`keep` wants to know the form of the wire. Then it is asked about each call.
    """

    needs_codec: bool

    def keep(self, method: str, params: Any, codec: Codec | None) -> Any:
        """Return what to keep of parameters until the end of the call, if it does not end at once or fails. It must not
        keep the buffer itself.

        Parameters:
            method: the name that the caller wrote.
            params: the encoded parameters, a buffer of bytes.
            codec: the form of the wire; it may be ``None`` if it is not needed.
        """
        ...

    def started(self, connection: Connection, message: IncomingCall | NotificationReceived) -> Any:
        """Take note that a handler has begun, and that the call does not end at once.

        Parameters:
            connection: the connection of the call.
            message: the call or the notification. It must be forgotten soon, and when the call ends at the latest,
                since it may hold the answers of its batch.

        Returns:
            Whatever is to be the ``start`` of the call, for :meth:`answered` and :meth:`ended`.
        """
        ...

    def answered(self, connection: Connection, call: IncomingCall, sent_bytes: int) -> None:
        """Take note that a call was answered with a result, or with a stream that begins. :meth:`ended` is not called
        for it.

        Parameters:
            connection: the connection of the call.
            call: the call. ``params_note`` and ``start`` are what :meth:`keep` and :meth:`started` have returned; if
                its handler has ended at once, ``params`` are there instead, unless the codec is needed.
                ``arrived_ns`` is ``None`` if it has arrived before the observer. It must not be kept itself, since it
                may hold the answers of its batch.
            sent_bytes: the size of the encoded result.
        """
        ...

    def answered_together(self, connection: Connection, answers: Answers) -> None:
        """Take note that several calls of one frame were answered with results, and that these were sent just now. Only
        calls of somebody who had authenticated are told so: the others are told at once, before anybody can.

        Parameters:
            connection: the connection of the calls.
            answers: the calls, as of :meth:`answered`; ``start`` is ``None``, and all have arrived at the same time.
        """
        ...

    def ended(self, outcome: Outcome, params_note: Any, start: Any) -> None:
        """Take note of any other outcome.

        Parameters:
            outcome: the outcome.
            params_note: what was kept of the parameters, except for streams.
            start: what :meth:`started` has returned; ``None`` if the call has ended at once.
        """
        ...


class Meter(Protocol):
    """Counts calls. It sees less of them than a :class:`CloseObserver`, so that most calls cost it next to nothing. Its
    methods must be quick, and must raise nothing."""

    def answered(self, connection: Connection, call: IncomingCall, sent_bytes: int) -> None:
        """Take note that a call was answered with a result, or with a stream that begins. :meth:`ended` is not called
        for it.

        Parameters:
            connection: the connection of the call.
            call: the call, of which only ``method`` and ``arrived_ns`` are sure to be there. It must not be kept.
            sent_bytes: the size of the encoded result.
        """
        ...

    def answered_together(self, connection: Connection, answers: Answers) -> None:
        """Take note that several calls of one frame were answered with results, and that these were sent just now.

        Parameters:
            connection: the connection of the calls.
            answers: the calls, as of :meth:`answered`: all have arrived at the same time.
        """
        ...

    def ended(self, outcome: Outcome) -> None:
        """Take note of any other outcome.

        Parameters:
            outcome: the outcome.
        """
        ...
