"""Frames to messages and back, in the three forms of the wire. Every malformed input ends in a :class:`Malformed`
entry or a ``ParseError``; no other exception leaves this module.

==================  ============  =======  ==========================================================
subprotocol         frame         batches  several messages in one frame
==================  ============  =======  ==========================================================
none, ``jsonrpc``   text          yes      no, but for a batch (JSON-RPC 2.0, section 6)
``rpc.v1.json``     text          no       JSON Lines: one message a line
``rpc.v1.msgpack``  binary        no       a MessagePack array of messages
==================  ============  =======  ==========================================================
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Literal, NoReturn, TypeVar

import msgspec
from msgspec import Raw

from .errors import InvalidRequest, ParseError, ProtocolError, TooLarge
from .limits import BATCH_ITEMS, FRAME_MESSAGES, MAX_DEPTH, MAX_DIGITS, TOO_DEEP, TOO_LONG
from .messages import Envelope, MessageId
from .skimming import check_body, legible_members

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
        batches: whether JSON-RPC batches exist in it.
        coalesces: whether one frame may hold several messages.
    """

    subprotocol: Subprotocol
    binary: bool = False
    batches: bool = False
    coalesces: bool = True

    def decode(self, frame: bytes) -> Decoded:
        """The messages of one frame."""
        raise NotImplementedError

    def encode(self, message: msgspec.Struct) -> bytes:
        """One message, encoded."""
        raise NotImplementedError

    def join(self, messages: Sequence[bytes]) -> bytes:
        """One frame out of messages already encoded."""
        raise NotImplementedError

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


def _invalid(exc: Exception) -> InvalidRequest:
    """The words of msgspec name the field by its path: "Expected `str`, got `int` - at `$.method`"."""
    text = str(exc).replace("`", "")
    what, _, where = text.partition(" - at ")
    field = where.lstrip("$.") or "message"
    return InvalidRequest(f"not a JSON-RPC 2.0 message: {field}: {what}", errors=[{"loc": [field], "msg": what}])


# --- JSON ------------------------------------------------------------------------------------------------------------


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON (RFC 8259, section 6)")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"the name {name[:64]!r} appears twice in one object (RFC 8259, section 4)")
            seen.add(name)
    return found


class _Digits(str):
    """An integer too long to convert."""

    __slots__ = ()


def _bounded_int(digits: str) -> int | _Digits:
    # Only the form of the number matters here, and int() of a long one takes quadratic time and raises beyond its own
    # limit. The contract that reads the body converts it, under pydantic's limit.
    return int(digits) if len(digits) < 1000 else _Digits(digits)


def _readable_int(digits: str) -> None:
    """See that everybody reads an integer; its value is of no interest."""
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise ValueError(TOO_LONG)


_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_int=_bounded_int)
_OWN = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_int=_readable_int)
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKETS = re.compile(rb"[\[{\]}]")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def _check_depth(data: bytes, around: int = 0) -> None:
    """Raise ``ValueError`` where arrays and objects nest deeper than :data:`~rpcwire.limits.MAX_DEPTH`, together with
    those around the data."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH - around:
        return
    depth = around
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", data)):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(TOO_DEEP)


def _check_text(value: Any) -> None:
    """Raise ``ValueError`` where a string or a name holds half of a surrogate pair: it is no Unicode text."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair (RFC 8259, section 8.2)") from None


def too_many(count: int) -> Malformed:
    """What to answer to a frame with more messages than :data:`~rpcwire.limits.FRAME_MESSAGES`."""
    text = f"a frame of {count} messages: at most {FRAME_MESSAGES} are allowed"
    return Malformed(TooLarge(text, executed="no"))


def _read(data: bytes) -> Any:
    """Read one JSON text strictly by RFC 8259.

    Raises:
        ParseError: it is no JSON.
        ValueError, RecursionError: it is, but breaks a rule.
    """
    _check_depth(data)
    try:
        value = _STRICT.decode(data.decode())
    except UnicodeDecodeError as exc:
        raise ParseError(f"not JSON: invalid UTF-8 at byte {exc.start}") from None
    except json.JSONDecodeError as exc:
        raise ParseError(f"not JSON: {exc.msg} at character {exc.pos}") from None
    if _SURROGATE.search(data):
        _check_text(value)
    return value


def _not_json(exc: Exception) -> ParseError:
    return exc if isinstance(exc, ParseError) else ParseError(f"not JSON: {exc}")


def strict_json(data: bytes) -> Any:
    """Read one JSON text strictly by RFC 8259.

    Returns:
        The value. Integers of 1,000 digits and more come as their digits.

    Raises:
        ParseError: invalid UTF-8, NaN or Infinity, a name twice in one object, half a surrogate pair, nesting beyond
            64, trailing text.
    """
    try:
        return _read(data)
    except (ValueError, RecursionError) as exc:
        raise _not_json(exc) from None


def _malformed(error: ProtocolError | TooLarge, members: Any) -> Malformed:
    """What is otherwise wrong, with as much as is legible.

    Parameters:
        error: what is wrong.
        members: the members of the message, or those that could be read.
    """
    if not isinstance(members, dict):
        return Malformed(error)
    found = members.get("id")
    if not isinstance(found, (int, str, float)) or isinstance(found, (bool, _Digits)) or not is_unicode(found):
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


def _leniently(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which names may occur twice; an id that does is none."""
    found = dict(pairs)
    if len(found) != len(pairs) and [name for name, _ in pairs].count("id") > 1:
        found["id"] = None
    return found


_LENIENT = json.JSONDecoder(object_pairs_hook=_leniently, parse_int=_bounded_int)


def _outlines(data: bytes) -> list[Any]:
    """What is legible of a message that is JSON but breaks a rule of ours, or of each message of a batch."""
    try:
        value = _LENIENT.decode(data.decode())
    except (ValueError, RecursionError):
        return []
    return value if isinstance(value, list) else [value]


class _JsonBase(Codec):
    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(Envelope)
        self._encoder = msgspec.json.Encoder()

    def encode(self, message: msgspec.Struct) -> bytes:
        return self._encoder.encode(message)

    def read(self, raw: Raw, kind: type[_StructT]) -> _StructT:
        return msgspec.json.decode(raw, type=kind)

    def structured(self, raw: Raw) -> bool:
        return bytes(raw)[:1] in (b"{", b"[")

    def check(self, body: bytes, around: int, *, names: bool = True) -> None:
        _check_depth(body, around)
        if names:
            _OWN.decode(body.decode())

    def _message(self, data: bytes) -> Envelope | Malformed:
        try:
            value = _read(data)
        except ParseError as exc:
            return Malformed(exc)
        except (ValueError, RecursionError) as exc:
            return self._unread(data, exc)[0]
        return self._envelope(data, value)

    @staticmethod
    def _unread(data: bytes, exc: Exception) -> list[Malformed]:
        """What to answer to a message, or each of a batch, that breaks a rule."""
        error = _not_json(exc)
        return [_malformed(error, members) for members in _outlines(data)] or [Malformed(error)]

    def _envelope(self, data: bytes | Raw, value: Any) -> Envelope | Malformed:
        try:
            return self._decoder.decode(data)
        except msgspec.ValidationError as exc:
            return _malformed(_invalid(exc), value)
        except UNREADABLE as exc:
            return _malformed(ParseError(f"not JSON: {exc}"), value)


class PlainJson(_JsonBase):
    """JSON-RPC 2.0 exactly as specified, batches included (section 6)."""

    subprotocol = "jsonrpc"
    batches = True
    coalesces = False

    def __init__(self, batch_items: int = BATCH_ITEMS) -> None:
        super().__init__()
        self._batch_items = batch_items
        self._raws = msgspec.json.Decoder(list[Raw])

    def decode(self, frame: bytes) -> Decoded:
        try:
            value = _read(frame)
        except ParseError as exc:
            return Decoded((Malformed(exc),))
        except (ValueError, RecursionError) as exc:
            unread = self._unread(frame, exc)
            known = [message for message in unread if message.id is not None] or unread[:1]
            return Decoded(known, batch=len(known) > 1)
        if not isinstance(value, list):
            return Decoded((self._envelope(frame, value),))
        if not value:
            return Decoded((Malformed(InvalidRequest("an empty batch: send at least one request")),))
        if len(value) > self._batch_items:
            found = len(value)
            error = TooLarge(f"a batch of {found} messages: at most {self._batch_items} are allowed", executed="no")
            return Decoded((Malformed(error),))
        try:
            raws = self._raws.decode(frame)
        except UNREADABLE as exc:
            return Decoded((Malformed(ParseError(f"not JSON: {exc}")),))
        return Decoded([self._envelope(raw, item) for raw, item in zip(raws, value, strict=True)], batch=True)

    def join(self, messages: Sequence[bytes]) -> bytes:
        return messages[0] if len(messages) == 1 else b"[" + b",".join(messages) + b"]"


class JsonLines(_JsonBase):
    """``rpc.v1.json``: one message a line, each answered as soon as it is ready."""

    subprotocol = "rpc.v1.json"

    def decode(self, frame: bytes) -> Decoded:
        if b"\n" not in frame:
            return Decoded((self._message(frame),))
        if frame.count(b"\n") > FRAME_MESSAGES:
            return Decoded((too_many(frame.count(b"\n")),))
        lines = [line for line in frame.split(b"\n") if line and not line.isspace()]
        return Decoded([self._message(line) for line in lines or (frame,)])

    def join(self, messages: Sequence[bytes]) -> bytes:
        return messages[0] if len(messages) == 1 else b"\n".join(messages)


# --- MessagePack -----------------------------------------------------------------------------------------------------


class MessagePack(Codec):
    """``rpc.v1.msgpack``: a message is a map; a frame with several messages is an array of maps."""

    subprotocol = "rpc.v1.msgpack"
    binary = True

    def __init__(self) -> None:
        self._one = msgspec.msgpack.Decoder(Envelope)
        self._many = msgspec.msgpack.Decoder(list[Envelope])
        self._raws = msgspec.msgpack.Decoder(list[Raw])
        self._any = msgspec.msgpack.Decoder()
        self._encoder = msgspec.msgpack.Encoder()

    def encode(self, message: msgspec.Struct) -> bytes:
        return self._encoder.encode(message)

    def decode(self, frame: bytes) -> Decoded:
        first = frame[0] if frame else 0
        several = 0x90 <= first <= 0x9F or first in (0xDC, 0xDD)
        if several and (refused := self._refused(frame, first)) is not None:
            return Decoded((refused,))
        try:
            return Decoded(self._many.decode(frame) if several else (self._one.decode(frame),))
        except UNREADABLE:
            pass  # One of the messages is wrong: find out which, and how.
        if not several:
            return Decoded((self._closer(frame),))
        try:
            raws = self._raws.decode(frame)
        except UNREADABLE as exc:
            return Decoded((Malformed(ParseError(f"not MessagePack: {exc}")),))
        return Decoded([self._closer(raw) for raw in raws])

    @staticmethod
    def _refused(frame: bytes, first: int) -> Malformed | None:
        """Refuse an array by its announced length, before anything is made of it."""
        count = first & 0x0F if first <= 0x9F else int.from_bytes(frame[1 : 3 if first == 0xDC else 5], "big")
        if count > FRAME_MESSAGES:
            return too_many(count)
        return None if count else Malformed(InvalidRequest("an empty array: send at least one message"))

    def _closer(self, data: bytes | Raw) -> Envelope | Malformed:
        try:
            value = self._any.decode(data)
        except UNREADABLE as exc:
            return _malformed(ParseError(f"not MessagePack: {exc}"), legible_members(data))
        try:
            return self._one.decode(data)
        except UNREADABLE as exc:
            return _malformed(_invalid(exc), value)

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

    def read(self, raw: Raw, kind: type[_StructT]) -> _StructT:
        return msgspec.msgpack.decode(raw, type=kind)

    def structured(self, raw: Raw) -> bool:
        first = bytes(raw)[0]
        return 0x80 <= first <= 0x9F or first in (0xDC, 0xDD, 0xDE, 0xDF)


OFFERED: tuple[Subprotocol, ...] = ("rpc.v1.msgpack", "rpc.v1.json", "jsonrpc")
"""What our clients offer in the handshake, in this order."""


def codec_for(subprotocol: str | None, *, batch_items: int = BATCH_ITEMS) -> Codec:
    """The codec that a negotiated subprotocol stands for; none means plain JSON-RPC.

    Raises:
        ValueError: no such subprotocol.
    """
    if subprotocol in (None, "jsonrpc"):
        return PlainJson(batch_items)
    if subprotocol == "rpc.v1.json":
        return JsonLines()
    if subprotocol == "rpc.v1.msgpack":
        return MessagePack()
    raise ValueError(f"unknown subprotocol {subprotocol!r}: one of {', '.join(OFFERED)}")
