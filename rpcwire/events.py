"""The events that a :class:`~rpcwire.session.Session` reports: one structure for each thing that the other side can
do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw

from .accounts import Loan
from .errors import ProtocolError, RpcError, forget_origin
from .messages import CallContext, ErrorObject, MessageId


class IncomingCall(msgspec.Struct, gc=False, eq=False, weakref=False):
    """A call of the other side, from its arrival until its answer.

    Attributes:
        id: its id on the wire.
        method: the method's full name.
        params: the encoded parameters; ``None`` if there are none, and while a handler runs that does not end at once:
            they would keep their whole frame in memory.
        ctx: the context that the caller has sent; ``None`` if there is none.
        batch: the JSON-RPC batch of the call; ``None`` if it came alone. Only the session uses it.
        arrived_ns: the time of arrival, on the clock of :func:`time.monotonic_ns`; ``None`` if no observer needs it.
            Only the dispatcher and its observers use it.
        received_bytes: the size of the parameters, for observers. Only the dispatcher uses it.
        large_bytes: the size of the message if it is large enough to be counted; otherwise 0.
        loan: the bytes that a large call holds until its handler has ended; ``None`` if it is small.
        params_note: what an observer keeps of the parameters.
        start: what an observer has noted when the handler began.
    """

    id: MessageId
    method: str
    params: Raw | None
    ctx: CallContext | None
    batch: Batch | None = None
    arrived_ns: int | None = None
    received_bytes: int = 0
    large_bytes: int = 0
    loan: Loan | None = None
    params_note: Any = None
    start: Any = None


class Batch(msgspec.Struct, gc=False, eq=False):
    """A JSON-RPC batch that is not answered yet (section 6).

    Attributes:
        waiting: the number of answers that are missing.
        replies: the answers so far.
        size: the size of these answers.
        after: messages to send after the answers: items of streams that the answers name.
        loan: the bytes of the answers and of these messages, if they are many.
    """

    waiting: int
    replies: list[bytes]
    size: int = 0
    after: list[bytes] = msgspec.field(default_factory=list)
    loan: Loan | None = None


class NotificationReceived(msgspec.Struct, gc=False):
    """A notification, which is never answered. ``arrived_ns``, ``received_bytes``, ``large_bytes``, ``loan``,
    ``params_note``, ``start``: see :class:`IncomingCall`."""

    method: str
    params: Raw | None
    arrived_ns: int | None = None
    received_bytes: int = 0
    large_bytes: int = 0
    loan: Loan | None = None
    params_note: Any = None
    start: Any = None


class ResultReceived(msgspec.Struct, gc=False):
    """The result of a call of ours."""

    id: int
    result: Raw


class ErrorReceived(msgspec.Struct, gc=False):
    """The error of a call of ours. ``code``, ``message``, ``data``: see section 5.1."""

    id: int
    code: int
    message: str
    data: object


class CancelReceived(msgspec.Struct, gc=False):
    """The caller wants this call to end. It must still be answered."""

    call: IncomingCall


ProgressHook = Callable[[float, float | None, str | None], None]
"""Called with done, total and message when the other side reports how far a call of ours has come."""


class ProgressReceived(msgspec.Struct, gc=False):
    """How far a call of ours has come."""

    id: int
    done: float
    total: float | None
    message: str | None


class ItemsReceived(msgspec.Struct, gc=False):
    """The next items of a stream that we read. ``is_large`` if their frame was: then their bytes are counted."""

    stream: str
    items: list[Raw]
    is_large: bool = False


class StreamEnded(msgspec.Struct, gc=False):
    """A stream that we read has ended. ``error`` says why (section 5.1) if it ended before its source."""

    stream: str
    error: ErrorObject | None


class CreditReceived(msgspec.Struct, gc=False):
    """The reader of a stream that we produce has granted credit."""

    stream: str


class StreamCancelled(msgspec.Struct, gc=False):
    """The reader of a stream that we produce wants no more items. We must still end the stream."""

    stream: str


class Violation(msgspec.Struct, gc=False):
    """The other side has broken a rule or exceeded a limit. The session has answered if the protocol allows it; this is
    for the log. ``call`` is the call that was refused, if it was a call. The error forgets where it was raised
    (:func:`~rpcwire.errors.forget_origin`)."""

    error: ProtocolError | RpcError
    call: IncomingCall | None = None

    def __post_init__(self) -> None:
        forget_origin(self.error)


Event: TypeAlias = (
    IncomingCall
    | NotificationReceived
    | ResultReceived
    | ErrorReceived
    | CancelReceived
    | ProgressReceived
    | ItemsReceived
    | StreamEnded
    | CreditReceived
    | StreamCancelled
    | Violation
)
