"""What every form of the wire can do, and what it says of messages that cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Raw

from rpcwire.errors import InvalidRequest, ProtocolError, TooLarge
from rpcwire.limits import BATCH_ITEMS, FRAME_MESSAGES
from rpcwire.messages import Envelope, MessageId

_StructT = TypeVar("_StructT", bound=msgspec.Struct)

Subprotocol = Literal["jsonrpc", "rpc.v1.json", "rpc.v1.msgpack"]

UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""What decoding raises for bytes that are not what they should be. msgspec says MsgspecError for most of them, but for
text of MessagePack that is no UTF-8 Python's own error."""


class Malformed(msgspec.Struct, gc=False):
    """A message that could not be read.

    Attributes:
        error: what is wrong with it.
        id: its id, if that much was legible.
        is_answer: whether it was an answer to a call. Those are never answered themselves.
    """

    error: ProtocolError | TooLarge
    id: MessageId = None
    is_answer: bool = False


class Decoded(msgspec.Struct, gc=False):
    """What one frame holds. ``batch``: its messages came as a JSON-RPC batch and are answered as one."""

    messages: Sequence[Envelope | Malformed]
    batch: bool = False


class Codec:
    """One form of the wire.

    Attributes:
        subprotocol: its name in the WebSocket handshake.
        binary: whether it goes in binary frames; text otherwise.
        packed: whether parameters, results and items of streams are MessagePack in it; JSON otherwise.
        batches: whether JSON-RPC batches exist in it.
        coalesces: whether one frame may hold several messages.
        wraps: whether :meth:`wrap` and :meth:`unwrap` do anything.

    Parameters:
        batch_items: entries that a JSON-RPC batch may have, where there are batches.
    """

    subprotocol: Subprotocol
    binary: bool = False
    packed: bool = False
    batches: bool = False
    coalesces: bool = True
    wraps: bool = False

    def __init__(self, batch_items: int = BATCH_ITEMS) -> None:
        self.batch_items = batch_items

    def decode(self, frame: bytes) -> Decoded:
        """The messages of one frame."""
        raise NotImplementedError

    def encode(self, message: msgspec.Struct) -> bytes:
        """One message, encoded."""
        raise NotImplementedError

    def join(self, messages: Sequence[bytes]) -> bytes:
        """One frame out of messages already encoded."""
        raise NotImplementedError

    def wrap(self, frame: bytes) -> bytes:
        """A frame as it goes out, where it is not what :meth:`encode` or :meth:`join` made: compressed, say."""
        return frame

    def unwrap(self, frame: bytes, limit: int) -> bytes:  # noqa: ARG002 - for those that wrap
        """What :meth:`wrap` was given on the other side.

        Parameters:
            frame: as it came in.
            limit: bytes that may be inside, which a compressed frame does not show.

        Raises:
            ProtocolError, TooLarge: it cannot be unwrapped, or holds more.
        """
        return frame

    def check(self, body: bytes, around: int, *, names: bool = True) -> None:
        """Make sure that the other side will read a body that was encoded here: by its own rules.

        Parameters:
            body: parameters, a result, or an item of a stream.
            around: how many levels of arrays and objects are around it in its message.
            names: whether a name might occur twice in one object. To find out takes as long as reading it.

        Raises:
            ValueError: it will not; the message says why.
        """
        raise NotImplementedError

    def read(self, raw: Raw, kind: type[_StructT]) -> _StructT:
        """The parameters of a reserved method.

        Raises:
            msgspec.MsgspecError, RecursionError, UnicodeDecodeError: they are not of this kind (:data:`UNREADABLE`).
        """
        raise NotImplementedError

    def structured(self, raw: Raw) -> bool:
        """Whether a body is an array or an object (JSON-RPC 2.0, section 4.2)."""
        raise NotImplementedError


def invalid(exc: Exception) -> InvalidRequest:
    """The words of msgspec name the field by its path: "Expected `str`, got `int` - at `$.method`"."""
    text = str(exc).replace("`", "")
    what, _, where = text.partition(" - at ")
    field = where.lstrip("$.") or "message"
    return InvalidRequest(f"not a JSON-RPC 2.0 message: {field}: {what}", errors=[{"loc": [field], "msg": what}])


class Digits(str):
    """An integer too long to convert."""

    __slots__ = ()


def too_many(count: int) -> Malformed:
    """What to answer to a frame with more messages than :data:`~rpcwire.limits.FRAME_MESSAGES`."""
    text = f"a frame of {count} messages: at most {FRAME_MESSAGES} are allowed"
    return Malformed(TooLarge(text, executed="no"))


def malformed(error: ProtocolError | TooLarge, members: Any) -> Malformed:
    """What is otherwise wrong, with as much as is legible.

    Parameters:
        error: what is wrong.
        members: the members of the message, or those that could be read.
    """
    if not isinstance(members, dict):
        return Malformed(error)
    found = members.get("id")
    if not isinstance(found, (int, str, float)) or isinstance(found, (bool, Digits)) or not is_unicode(found):
        found = None
    return Malformed(error, found, "method" not in members and ("result" in members or "error" in members))


def is_unicode(value: object) -> bool:
    """Whether a value is no text, or text that can be sent, as half of a surrogate pair cannot."""
    try:
        if isinstance(value, str):
            value.encode()
    except UnicodeEncodeError:
        return False
    return True
