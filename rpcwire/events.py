"""What a :class:`~rpcwire.session.Session` reports: one structure for each thing that the other side may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec
from msgspec import Raw

from .errors import ProtocolError, RpcError
from .messages import CallContext, ErrorObject, MessageId


class IncomingCall(msgspec.Struct, gc=False, eq=False, weakref=False):
    """A call of the other side, from its arrival until its answer.

    Attributes:
        id: its id on the wire.
        method: the method's full name.
        params: the parameters, still encoded; ``None`` where there are none.
        ctx: what came with it; ``None`` where nothing did.
        batch: the batch it came in, if any. For the session's use.
        arrived_s: when it came, on the clock of :func:`time.monotonic`, where it is observed. For the dispatcher's use.
    """

    id: MessageId
    method: str
    params: Raw | None
    ctx: CallContext | None
    batch: Batch | None = None
    arrived_s: float | None = None


class Batch(msgspec.Struct, gc=False, eq=False):
    """A JSON-RPC batch under way (section 6): answers gathered so far, their size, how many are to come, and what must
    not arrive before them: the items of streams that they name."""

    waiting: int
    replies: list[bytes]
    size: int = 0
    after: list[bytes] = msgspec.field(default_factory=list)


class NotificationReceived(msgspec.Struct, gc=False):
    """A notification: it is never answered. ``arrived_s``: as of :class:`IncomingCall`."""

    method: str
    params: Raw | None
    arrived_s: float | None = None


class ResultReceived(msgspec.Struct, gc=False):
    """A call of ours has its result."""

    id: int
    result: Raw


class ErrorReceived(msgspec.Struct, gc=False):
    """A call of ours has failed over there. ``code``, ``message``, ``data``: as in section 5.1."""

    id: int
    code: int
    message: str
    data: object


class CancelReceived(msgspec.Struct, gc=False):
    """The caller wants this call to end. It must still be answered."""

    call: IncomingCall


ProgressHook = Callable[[float, float | None, str | None], None]
"""Called with done, total and message, as a call of ours reports its progress."""


class ProgressReceived(msgspec.Struct, gc=False):
    """How far a call of ours has come."""

    id: int
    done: float
    total: float | None
    message: str | None


class ItemsReceived(msgspec.Struct, gc=False):
    """The next items of a stream that we read."""

    stream: str
    items: list[Raw]


class StreamEnded(msgspec.Struct, gc=False):
    """A stream that we read is over; ``error`` says why (section 5.1), if not by its natural end."""

    stream: str
    error: ErrorObject | None


class CreditReceived(msgspec.Struct, gc=False):
    """A stream that we produce may go on."""

    stream: str


class StreamCancelled(msgspec.Struct, gc=False):
    """The reader of a stream that we produce wants no more. It must still be ended."""

    stream: str


class Violation(msgspec.Struct, gc=False):
    """The other side broke a rule, or went beyond a limit. It was answered where the protocol allows; this is for the
    log. ``call`` is what was refused, where it was a call."""

    error: ProtocolError | RpcError
    call: IncomingCall | None = None


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
