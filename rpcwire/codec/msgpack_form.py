"""The form of the wire in MessagePack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from msgspec import Raw

from rpcwire.errors import InvalidRequest, ParseError
from rpcwire.messages import Envelope
from rpcwire.nodes import has_more_packed_nodes
from rpcwire.skimming import check_body, has_colliding_keys, legible_members

from .base import UNREADABLE, Codec, Decoded, Malformed, Subprotocol, invalid, make_malformed, too_many, too_many_nodes

_StructT = TypeVar("_StructT", bound=msgspec.Struct)


class MessagePack(Codec):
    """``rpc.v1.msgpack``: a message is a map; a frame with several messages is an array of maps."""

    subprotocol: Subprotocol = "rpc.v1.msgpack"
    binary = True
    packed = True
    # All connections share these, since they keep nothing of what they have read.
    _one = msgspec.msgpack.Decoder(Envelope)
    _many = msgspec.msgpack.Decoder(list[Envelope])
    _raws = msgspec.msgpack.Decoder(list[Raw])
    _any = msgspec.msgpack.Decoder()
    _encoder = msgspec.msgpack.Encoder()

    def encode(self, message: msgspec.Struct) -> bytes:
        return self._encoder.encode(message)

    def decode(self, frame: bytes) -> Decoded:
        first = frame[0] if frame else 0
        several = 0x90 <= first <= 0x9F or first in (0xDC, 0xDD)
        if several and (refusal := self._refuse(frame, first)) is not None:
            return Decoded((refusal,))
        if len(frame) > self.most_nodes and has_more_packed_nodes(frame, self.most_nodes):
            members = None if several else legible_members(frame)
            return Decoded((make_malformed(too_many_nodes(self.most_nodes), members),))
        if has_colliding_keys(frame, is_counted=self.most_nodes < len(frame)):
            error = InvalidRequest("many keys of one map are arrays with the same hash: send them as an array of pairs")
            return Decoded((make_malformed(error, None if several else legible_members(frame)),))
        try:
            return Decoded(self._many.decode(frame) if several else (self._one.decode(frame),))
        except UNREADABLE:
            pass  # One of the messages is wrong: decode each alone to find out which.
        if not several:
            return Decoded((self._decode_alone(frame),))
        try:
            raws = self._raws.decode(frame)
        except UNREADABLE as exc:
            return Decoded((Malformed(ParseError(f"not MessagePack: {exc}")),))
        return Decoded([self._decode_alone(raw) for raw in raws])

    def _refuse(self, frame: bytes, first: int) -> Malformed | None:
        """Refuse an array by the length in its header, before it is decoded."""
        count = first & 0x0F if first <= 0x9F else int.from_bytes(frame[1 : 3 if first == 0xDC else 5], "big")
        if count > self.most_messages:
            return too_many(count, self.most_messages)
        return None if count else Malformed(InvalidRequest("an empty array: send at least one message"))

    def _decode_alone(self, data: bytes | Raw) -> Envelope | Malformed:
        try:
            value = self._any.decode(data)
        except UNREADABLE as exc:
            return make_malformed(ParseError(f"not MessagePack: {exc}"), legible_members(data))
        try:
            return self._one.decode(data)
        except UNREADABLE as exc:
            return make_malformed(invalid(exc), value)

    def join(self, messages: Sequence[bytes]) -> bytes:
        count = len(messages)
        if count == 1:
            return messages[0]
        if count < 16:
            header = bytes((0x90 | count,))
        elif count < 1 << 16:
            header = b"\xdc" + count.to_bytes(2, "big")
        else:
            header = b"\xdd" + count.to_bytes(4, "big")
        return header + b"".join(messages)

    def check(self, body: bytes, around: int, *, names: bool = True) -> None:  # noqa: ARG002 - a body counts by itself
        check_body(body)

    def has_more_nodes(self, data: bytes, most: int) -> bool:
        return has_more_packed_nodes(data, most)

    def read(self, raw: Raw, kind: type[_StructT]) -> _StructT:
        return msgspec.msgpack.decode(raw, type=kind)

    def is_structured(self, raw: Raw) -> bool:
        first = memoryview(raw)[0]  # A body may be large: it is not copied for this.
        return 0x80 <= first <= 0x9F or first in (0xDC, 0xDD, 0xDE, 0xDF)
