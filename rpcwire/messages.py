"""The messages on the wire: JSON-RPC 2.0 envelopes and the reserved notifications, as msgspec structures.

Bodies (``params``, ``result``, items of streams) stay encoded (:class:`msgspec.Raw`) until a contract reads them.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from .limits import ID_CHARACTERS

MessageId: TypeAlias = int | Annotated[str, Meta(max_length=ID_CHARACTERS)] | float | None
"""An ``id`` as JSON-RPC 2.0, section 4 allows it. Its length is limited, because every answer repeats it."""

StreamId: TypeAlias = Annotated[str, Meta(max_length=ID_CHARACTERS)]
"""The id of a stream."""


class CallContext(msgspec.Struct, gc=False, omit_defaults=True):
    """``ctx``: what a caller sends with a call besides its parameters.

    Attributes:
        ttl_ms: the time left for the call when it arrives, in milliseconds.
        key: identifies the call for deduplication.
        attempt: 1 for the first try.
        traceparent, tracestate: W3C Trace Context.
    """

    ttl_ms: int | float | UnsetType = UNSET
    key: str | UnsetType = UNSET
    attempt: int | UnsetType = UNSET
    traceparent: str | UnsetType = UNSET
    tracestate: str | UnsetType = UNSET


class Envelope(msgspec.Struct, gc=False):
    """A received message. Its members decide whether it is a call, a notification or an answer (sections 4 and 5)."""

    jsonrpc: Literal["2.0"]
    id: MessageId | UnsetType = UNSET
    method: str | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    ctx: CallContext | UnsetType = UNSET


class Request(msgspec.Struct, gc=False, tag_field="jsonrpc", tag="2.0"):
    """A call to send (section 4)."""

    method: str
    id: MessageId
    params: Raw | UnsetType = UNSET
    ctx: CallContext | UnsetType = UNSET


class Notification(msgspec.Struct, gc=False, tag_field="jsonrpc", tag="2.0"):
    """A notification to send (section 4.1)."""

    method: str
    params: Raw | msgspec.Struct | UnsetType = UNSET


class Success(msgspec.Struct, gc=False, tag_field="jsonrpc", tag="2.0"):
    """An answer to send (section 5)."""

    id: MessageId
    result: Raw


class ErrorObject(msgspec.Struct, gc=False, omit_defaults=True):
    """The ``error`` member (section 5.1)."""

    code: int
    message: str
    data: object = None


class Failure(msgspec.Struct, gc=False, tag_field="jsonrpc", tag="2.0"):
    """An answer to send that has an error in place of a result (section 5)."""

    id: MessageId
    error: dict[str, object]


class CancelParams(msgspec.Struct, gc=False):
    """``rpc.cancel``: end the call with this id."""

    id: MessageId


class ProgressParams(msgspec.Struct, gc=False, omit_defaults=True):
    """``rpc.progress``: how far the call with this id has come."""

    id: MessageId
    done: int | float
    total: int | float | None = None
    message: str | None = None


class ItemParams(msgspec.Struct, gc=False):
    """``rpc.stream.item``: the next items of a stream."""

    stream: StreamId
    items: list[Raw]


class EndParams(msgspec.Struct, gc=False, omit_defaults=True):
    """``rpc.stream.end``: the stream is over, with an error or without."""

    stream: StreamId
    error: ErrorObject | None = None


class CreditParams(msgspec.Struct, gc=False):
    """``rpc.stream.credit``: the producer may send ``n`` more items."""

    stream: StreamId
    n: int


class StreamParams(msgspec.Struct, gc=False):
    """``rpc.stream.cancel``: the reader wants no more items. A result or parameter that is a stream has this form,
    too."""

    stream: StreamId
