"""The outcome of a call, which :mod:`rpcwire.dispatch` passes to observers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .context import Connection, Principal
from .errors import Executed, RpcError
from .messages import CallContext, MessageId

METHOD_CHARACTERS = 100
"""The most characters of a method's name in an outcome: the caller of an unknown method may write anything."""

Subject = Literal["call", "notification", "stream", "upload"]
"""The thing that has ended: a call, a notification, the stream that answered a call, or a stream among its
parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a call, a notification, or one of a call's streams.

    A call that is answered with a stream has an outcome when the stream begins, and its stream has another when it
    ends. An outcome does not contain parameters, results or items, since they may be secrets; an error's message may
    repeat a part of them.

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
