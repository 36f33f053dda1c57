"""What came of a call: what :mod:`rpcwire.dispatch` tells those who observe calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .context import Connection, Principal
from .errors import Executed, RpcError
from .messages import CallContext, MessageId

METHOD_CHARACTERS = 100
"""Characters of a method's name that are told: who asks for an unknown method may write anything."""

Subject = Literal["call", "notification", "stream", "upload"]
"""What has ended: a call, a notification, the stream that answered a call, or a stream among a call's parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a call, a notification, or one of a call's streams.

    A call that is answered with a stream has an outcome of its own when the stream begins, and its stream another one
    when that ends. Parameters, results and items are not told, since they may be secrets; an error's message may
    repeat a part of them.

    Attributes:
        subject: see :data:`Subject`.
        method: the name that the caller wrote, its first :data:`METHOD_CHARACTERS` characters. Where there is no such
            method (``kind`` is ``None``), it may hold anything.
        kind: what the method declares: ``read``, ``idempotent`` or ``once``; ``None`` where there is no such method.
        id: the call's id on the wire, by which its streams can be matched with it; ``None`` for a notification.
        connection: where it came from.
        principal: who called; ``None`` where nobody has authenticated on the connection.
        ctx: what the caller sent with the call: its key, and its trace context; ``None`` where nothing came.
        error: why it failed; ``None`` where it did not. A stream whose reader wanted no more has ended with
            :class:`~rpcwire.errors.Cancelled`.
        duration_s: from the arrival of the call (of a stream as well) to this end, in seconds.
        items: how many items of a stream were sent, or of an upload the handler has read; 0 for a call.
        received_bytes: size of the encoded parameters, or of the items that the handler has read.
        sent_bytes: size of the encoded result, or of the items that were sent.
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
"""Is told what came of each call. It is a plain function and must be quick, for calls wait meanwhile: it is called by
the thread that drives the connection, or the one that ran the handler. What it raises is logged and changes nothing."""
