"""The base of all forms of the wire, and their errors for messages that cannot be read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Raw

from rpcwire.errors import InvalidRequest, ProtocolError, TooLarge, forget_origin
from rpcwire.limits import BATCH_ITEMS, FRAME_MESSAGES, ID_CHARACTERS
from rpcwire.logs import printable
from rpcwire.messages import Envelope, MessageId

_StructT = TypeVar("_StructT", bound=msgspec.Struct)

Subprotocol = Literal["jsonrpc", "rpc.v1.json", "rpc.v1.msgpack"]

_ID_BITS: int = (10**ID_CHARACTERS).bit_length() - 1
"""The most bits of an integer id. So it has at most :data:`~rpcwire.limits.ID_CHARACTERS` digits."""

UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""The exceptions that decoders raise for malformed bytes. msgspec raises MsgspecError for most of them, but Python's
own error for text in MessagePack that is not valid UTF-8."""


NODES_OF_A_MESSAGE = 8
"""The nodes that one message counts for, because the answer to it takes as long, even if it is empty."""


class Malformed(msgspec.Struct, gc=False):
    """A message that could not be read. Its error forgets where it was raised (:func:`~rpcwire.errors.forget_origin`).

    Attributes:
        error: the reason.
        id: its id; ``None`` if the id cannot be read either.
        is_answer: whether it is an answer to a call; answers are never answered.
    """

    error: ProtocolError | TooLarge
    id: MessageId = None
    is_answer: bool = False

    def __post_init__(self) -> None:
        forget_origin(self.error)


class Decoded(msgspec.Struct, gc=False):
    """The messages of one frame. ``batch``: whether they are a JSON-RPC batch, and so are answered as one."""

    messages: Sequence[Envelope | Malformed]
    batch: bool = False


class Codec:
    """One form of the wire.

    Attributes:
        subprotocol: its name in the WebSocket handshake.
        binary: whether its frames are binary; otherwise they are text.
        packed: whether parameters, results and items of streams are MessagePack; otherwise they are JSON.
        batches: whether it has JSON-RPC batches.
        coalesces: whether one frame may contain several messages.
        wraps: whether :meth:`wrap` and :meth:`unwrap` change a frame.
        most_nodes: the most values, names, arrays and objects in a frame to decode. Whoever accepts frames of anybody
            sets it.

    Parameters:
        batch_items: the most entries of a JSON-RPC batch, if the form has batches.
    """

    subprotocol: Subprotocol
    binary: bool = False
    packed: bool = False
    batches: bool = False
    coalesces: bool = True
    wraps: bool = False
    most_nodes: int = sys.maxsize

    def __init__(self, batch_items: int = BATCH_ITEMS) -> None:
        self.batch_items = batch_items

    @property
    def most_messages(self) -> int:
        """The most messages in a frame to decode."""
        return min(FRAME_MESSAGES, self.most_nodes // NODES_OF_A_MESSAGE)

    def decode(self, frame: bytes) -> Decoded:
        """Decode the messages of one frame."""
        raise NotImplementedError

    def encode(self, message: msgspec.Struct) -> bytes:
        """Encode one message."""
        raise NotImplementedError

    def join(self, messages: Sequence[bytes]) -> bytes:
        """Join encoded messages to one frame."""
        raise NotImplementedError

    def wrap(self, frame: bytes) -> bytes:
        """Change a frame of :meth:`encode` or :meth:`join` before it is sent, for example by compressing it."""
        return frame

    def unwrap(self, frame: bytes, limit: int) -> bytes:  # noqa: ARG002 - for those that wrap
        """Undo :meth:`wrap`.

        Parameters:
            frame: the frame as it arrived.
            limit: the most bytes of the result, which the size of a compressed frame does not show.

        Raises:
            ProtocolError, TooLarge: the frame cannot be unwrapped, or the result is larger than the limit.
        """
        return frame

    def check(self, body: bytes, around: int, *, names: bool = True) -> None:
        """Make sure that a body which was encoded here keeps the rules by which the other side reads it.

        Parameters:
            body: parameters, a result, or an item of a stream.
            around: the number of levels of arrays and objects around it in its message.
            names: whether to look for names that occur twice in one object; that takes as long as decoding.

        Raises:
            ValueError: the other side would refuse the body; the message says why.
        """
        raise NotImplementedError

    def has_more_nodes(self, data: bytes, most: int) -> bool:
        """Return whether encoded data have more than ``most`` values, names, arrays and objects.

        Parameters:
            data: a frame, or an item of a stream.
            most: the number.
        """
        raise NotImplementedError

    def read(self, raw: Raw, kind: type[_StructT]) -> _StructT:
        """Decode the parameters of a reserved method.

        Raises:
            msgspec.MsgspecError, RecursionError, UnicodeDecodeError: they do not have this type (:data:`UNREADABLE`).
        """
        raise NotImplementedError

    def is_structured(self, raw: Raw) -> bool:
        """Return whether a body is an array or an object (JSON-RPC 2.0, section 4.2)."""
        raise NotImplementedError


def invalid(exc: Exception) -> InvalidRequest:
    """The words of msgspec name the field by its path: "Expected `str`, got `int` - at `$.method`"."""
    text = str(exc).replace("`", "")
    what, _, where = text.rpartition(" - at ") if " - at " in text else (text, "", "")
    what, field = printable(what), printable(where.lstrip("$.")) or "message"
    return InvalidRequest(f"not a JSON-RPC 2.0 message: {field}: {what}", errors=[{"loc": [field], "msg": what}])


class Digits(str):
    """An integer too long to convert."""

    __slots__ = ()


def too_many(count: int, most: int) -> Malformed:
    """Make the message for a frame with more messages than :attr:`Codec.most_messages`."""
    text = f"a frame of {count} messages: at most {most} are allowed"
    return Malformed(TooLarge(text, executed="no"))


def too_many_nodes(most: int) -> TooLarge:
    """Make the error for a frame with more nodes than :attr:`Codec.most_nodes`."""
    text = f"the message has more than {most} values, names, arrays and objects: send less at once, or use a stream"
    return TooLarge(text, executed="no")


def make_malformed(error: ProtocolError | TooLarge, members: Any) -> Malformed:
    """Make a malformed message, with its id if that can be read.

    Parameters:
        error: the reason.
        members: the members of the message that could be read.
    """
    if not isinstance(members, dict):
        return Malformed(error)
    message_id = members.get("id")
    is_id = isinstance(message_id, (int, str, float)) and not isinstance(message_id, (bool, Digits))
    if not is_id or not is_unicode(message_id) or is_long(message_id):
        message_id = None
    return Malformed(error, message_id, "method" not in members and ("result" in members or "error" in members))


def is_long(message_id: str | float | None) -> bool:
    """Return whether an id is longer than :data:`~rpcwire.limits.ID_CHARACTERS`."""
    if isinstance(message_id, int):
        return message_id.bit_length() > _ID_BITS
    return isinstance(message_id, str) and len(message_id) > ID_CHARACTERS


def is_unicode(value: object) -> bool:
    """Return whether a value can be sent as text: half of a surrogate pair cannot. Values that are not text pass."""
    try:
        if isinstance(value, str):
            value.encode()
    except UnicodeEncodeError:
        return False
    return True
