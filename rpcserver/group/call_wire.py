"""What nodes send each other for a group call.

============== =============== ======================= =====================================================
Kind           Words           From, to                Content
============== =============== ======================= =====================================================
``call``       call epoch try  the caller's node, each the request: :func:`pack_request`
``call-cancel`` call epoch     the caller's node, each the time left, :func:`pack_ttl`: cancel it
``call-frame`` call epoch      the caller's node, each a frame of the wire, such as credit for the stream
``answer``     call epoch      each, the caller's node a frame of the wire; empty, or :data:`STREAM`: it has begun
============== =============== ======================= =====================================================

The words are parts of the subject, so that the request is the same bytes for all. ``call`` is the id of the call, of 64
random bits. ``epoch`` is the life of the asked node: in a request that for which it is, in an answer that which it has.

The frames are those of a connection over which one call goes, with the id :data:`CALL_ID`: the asked node makes a
connection of it (:mod:`.call_link`), and so everything that belongs to a call is there as in any other. What is larger
than the broker allows is cut into chunks: then a word follows that says which of how many it is (``2-5``).

A node that was taken for dead, or had no connection for a while, says once more of each call that it has begun, and one
that does not wait for the call any more answers by ``call-cancel``.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator

import msgspec

from rpcwire.codec import UNREADABLE, Codec, JsonLines, MessagePack, Subprotocol

from .members import InvalidGroupMessage

REQUEST, CANCEL, FRAME, ANSWER = "call", "call-cancel", "call-frame", "answer"
"""The kinds."""
CALL_ID = 1
"""The id of the call on the connection that it has for itself."""
STREAM_ID = "s1"
"""The id of the stream with which the call is answered: it is the first of its connection."""
BEGUN, STREAM = b"", b"s"
"""Answers that are no frames: the method begins to run; it does, and will answer with a stream."""
CHUNK_BYTES = 256 * 1024
"""The largest chunk."""
_LENGTH = struct.Struct("!I")
_TTL = struct.Struct("!Q")
_PACKED, _JSON = MessagePack(), JsonLines()


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller's node says of a call to each node.

    Attributes:
        epoch: the number of its own life.
        principal: the name of the caller there.
        is_packed: whether values are MessagePack; otherwise they are JSON.
        remote: where the caller is, for a person.
        ttl_ms: the time left, in milliseconds.
        takes_bytes: the largest message that the caller accepts, in bytes; ``None`` if it does not tell.
    """

    epoch: int
    principal: str
    is_packed: bool
    remote: str = ""
    ttl_ms: int = 0
    takes_bytes: int | None = None


def codec_of(*, is_packed: bool) -> Codec:
    """Return the codec for frames between nodes. What the client's own form wraps around values is not needed here."""
    return _PACKED if is_packed else _JSON


def subprotocol_of(*, is_packed: bool) -> Subprotocol:
    """Return the name of the form of the wire between nodes."""
    return codec_of(is_packed=is_packed).subprotocol


def pack_request(order: Order, frame: bytes) -> bytes:
    """Return a request as bytes.

    Parameters:
        order: what is said of the call.
        frame: the frame with the call.
    """
    head = msgspec.msgpack.encode(order)
    return b"".join((_LENGTH.pack(len(head)), head, frame))


def read_request(data: bytes) -> tuple[Order, bytes]:
    """Read a request.

    Raises:
        InvalidGroupMessage: the bytes are none.
    """
    try:
        (length,) = _LENGTH.unpack_from(data)
        end = _LENGTH.size + length
        return msgspec.msgpack.decode(memoryview(data)[_LENGTH.size : end], type=Order), data[end:]
    except (struct.error, *UNREADABLE) as exc:
        raise InvalidGroupMessage("request", f"it cannot be read: {exc}") from None


def pack_ttl(ttl_s: float) -> bytes:
    """Return the time that is left of a call as bytes.

    Parameters:
        ttl_s: the time, in seconds.
    """
    return _TTL.pack(max(int(ttl_s * 1000), 0))


def read_ttl_s(data: bytes) -> float:
    """Read the time that is left of a call, in seconds.

    Raises:
        InvalidGroupMessage: the bytes are none.
    """
    if len(data) != _TTL.size:
        raise InvalidGroupMessage("ttl", f"it must have {_TTL.size} bytes")
    ttl_ms: int = _TTL.unpack(data)[0]
    return ttl_ms / 1000


def cut(data: bytes, most_bytes: int) -> Iterator[tuple[tuple[str, ...], bytes]]:
    """Yield the chunks of a message, each with the words that follow those of the message.

    Parameters:
        data: the message.
        most_bytes: the largest message that the broker takes.
    """
    if len(data) <= most_bytes:
        yield (), data
        return
    size = min(CHUNK_BYTES, most_bytes)
    count = -(-len(data) // size)
    for index in range(count):
        yield (f"{index}-{count}",), data[index * size : (index + 1) * size]


class Assembly:
    """Joins the chunks of one message.

    Parameters:
        most_bytes: the largest message to join.

    Attributes:
        begin_s: when the first chunk came, on the clock of :func:`time.monotonic`.
        size_bytes: the bytes of the chunks that have come.
    """

    __slots__ = ("_most_bytes", "_parts", "begin_s", "size_bytes")

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.begin_s = time.monotonic()
        self._parts: list[bytes] = []
        self.size_bytes = 0

    def add(self, word: str, data: bytes) -> bytes | None:
        """Add the next chunk.

        Parameters:
            word: which one it is.
            data: the chunk.

        Returns:
            The message, if it is whole now.

        Raises:
            InvalidGroupMessage: it is not the next one, it is empty, or the message is too large.
        """
        index, _, count = word.partition("-")
        if not index.isdecimal() or not count.isdecimal() or int(index) != len(self._parts):
            raise InvalidGroupMessage("chunk", f"number {len(self._parts)} is missing")
        if not data:
            raise InvalidGroupMessage("chunk", "it is empty")  # Any number of such would be within the limit.
        self.size_bytes += len(data)
        if self.size_bytes > self._most_bytes:
            raise InvalidGroupMessage("chunk", f"the message has more than {self._most_bytes} bytes")
        self._parts.append(data)
        if len(self._parts) < int(count):
            return None
        message, self._parts = b"".join(self._parts), []
        self.size_bytes = 0
        return message
