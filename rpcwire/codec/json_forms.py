"""The two forms of the wire in JSON: JSON-RPC 2.0 exactly as specified, and one message a line."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

import msgspec
from msgspec import Raw

from rpcwire.errors import InvalidRequest, ParseError, TooLarge
from rpcwire.limits import ID_CHARACTERS, MAX_DEPTH, MAX_DIGITS, TOO_DEEP, TOO_LONG
from rpcwire.messages import Envelope
from rpcwire.nodes import has_more_json_nodes

from .base import (
    UNREADABLE,
    Codec,
    Decoded,
    Digits,
    Malformed,
    Subprotocol,
    invalid,
    is_long,
    make_malformed,
    too_many,
    too_many_nodes,
)

_StructT = TypeVar("_StructT", bound=msgspec.Struct)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON (RFC 8259, section 6)")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names: set[str] = set()
        for name, _ in pairs:
            if name in names:
                raise ValueError(f"the name {name[:64]!r} appears twice in one object (RFC 8259, section 4)")
            names.add(name)
    return members


def _bounded_int(digits: str) -> int | Digits:
    # Only the form of the number matters here. int() takes quadratic time for a long number, and raises beyond its own
    # limit. The contract that reads the body converts the number, under pydantic's limit.
    return int(digits) if len(digits) < 1000 else Digits(digits)


def _readable_int(digits: str) -> None:
    """Make sure that every reader accepts an integer; its value does not matter."""
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise ValueError(TOO_LONG)


_STRICT = json.JSONDecoder(
    object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant, parse_int=_bounded_int
)
_OWN = json.JSONDecoder(object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant, parse_int=_readable_int)
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""Strings. The pattern tries nothing twice, and a string without an end reaches to the end of the data. So the time
grows no faster than the data."""
_HEAD_BYTES = 4096
"""The beginning of a large message, in which its id stands."""
_BRACKETS = re.compile(rb"[\[{\]}]")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def _check_depth(data: bytes, around: int = 0) -> None:
    """Raise ``ValueError`` if arrays and objects nest deeper than :data:`~rpcwire.limits.MAX_DEPTH`, with the levels
    around the data."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH - around:
        return
    depth = around
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", data)):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(TOO_DEEP)


def _check_text(value: Any) -> None:
    """Raise ``ValueError`` if a string or a name contains half of a surrogate pair: it is not valid Unicode."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair (RFC 8259, section 8.2)") from None


def _read(data: bytes) -> Any:
    """Read one JSON text strictly by RFC 8259.

    Raises:
        ParseError: the data are not JSON.
        ValueError, RecursionError: the data are JSON, but break a rule.
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
        The value. Integers of 1,000 or more digits are their digits as text.

    Raises:
        ParseError: invalid UTF-8, NaN or Infinity, a name twice in one object, half a surrogate pair, nesting beyond
            64, trailing text.
    """
    try:
        return _read(data)
    except (ValueError, RecursionError) as exc:
        raise _not_json(exc) from None


def _allow_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object in which names may occur twice; an id that occurs twice counts as none."""
    members = dict(pairs)
    if len(members) != len(pairs) and [name for name, _ in pairs].count("id") > 1:
        members["id"] = None
    return members


_LENIENT = json.JSONDecoder(object_pairs_hook=_allow_duplicates, parse_int=_bounded_int)


def _outlines(data: bytes) -> list[Any]:
    """Read as much as possible of a message that breaks a rule, or of each message of a batch."""
    try:
        value = _LENIENT.decode(data.decode())
    except (ValueError, RecursionError):
        return []
    return value if isinstance(value, list) else [value]


class _JsonBase(Codec):
    # All connections share these, since they keep nothing of what they have read.
    _decoder = msgspec.json.Decoder(Envelope)
    _encoder = msgspec.json.Encoder()

    def encode(self, message: msgspec.Struct) -> bytes:
        return self._encoder.encode(message)

    def read(self, raw: Raw, kind: type[_StructT]) -> _StructT:
        return msgspec.json.decode(raw, type=kind)

    def is_structured(self, raw: Raw) -> bool:
        return memoryview(raw)[0] in b"{["  # A body may be large: it is not copied for this.

    def check(self, body: bytes, around: int, *, names: bool = True) -> None:
        _check_depth(body, around)
        if names:
            _OWN.decode(body.decode())

    def has_more_nodes(self, data: bytes, most: int) -> bool:
        return has_more_json_nodes(data, most)

    def _message(self, data: bytes) -> Envelope | Malformed:
        try:
            value = _read(data)
        except ParseError as exc:
            return Malformed(exc)
        except (ValueError, RecursionError) as exc:
            return self._describe_errors(data, exc)[0]
        return self._envelope(data, value)

    @staticmethod
    def _describe_errors(data: bytes, exc: Exception) -> list[Malformed]:
        """Make the malformed messages for a message that breaks a rule, or for a batch of them."""
        error = _not_json(exc)
        return [make_malformed(error, members) for members in _outlines(data)] or [Malformed(error)]

    def _refuse_nodes(self, frame: bytes) -> Malformed | None:
        """Refuse a frame with too many values, with the id of its message if that can be read."""
        if not has_more_json_nodes(frame, self.most_nodes):
            return None
        head, name, _ = frame[:_HEAD_BYTES].partition(b'"params"')
        try:  # Most clients write the id before the parameters, and to read those takes long.
            message_id: Any = self._decoder.decode((head.rstrip(b", \t\r\n") + b"}") if name else frame).id
        except UNREADABLE:
            message_id = None
        return make_malformed(too_many_nodes(self.most_nodes), {"id": message_id})

    def _envelope(self, data: bytes | Raw, value: Any) -> Envelope | Malformed:
        try:
            envelope = self._decoder.decode(data)
        except msgspec.ValidationError as exc:
            return make_malformed(invalid(exc), value)
        except UNREADABLE as exc:
            return make_malformed(ParseError(f"not JSON: {exc}"), value)
        if type(envelope.id) is int and is_long(envelope.id):
            text = f"id: an integer of more than {ID_CHARACTERS} digits: use a shorter one"
            error = InvalidRequest(text, errors=[{"loc": ["id"], "msg": f"at most {ID_CHARACTERS} digits"}])
            return make_malformed(error, value)
        return envelope


class PlainJson(_JsonBase):
    """JSON-RPC 2.0 exactly as specified, batches included (section 6)."""

    subprotocol: Subprotocol = "jsonrpc"
    batches = True
    coalesces = False

    _raws = msgspec.json.Decoder(list[Raw])

    def decode(self, frame: bytes) -> Decoded:
        if len(frame) > self.most_nodes and (refusal := self._refuse_nodes(frame)) is not None:
            return Decoded((refusal,))
        try:
            value = _read(frame)
        except ParseError as exc:
            return Decoded((Malformed(exc),))
        except (ValueError, RecursionError) as exc:
            messages = self._describe_errors(frame, exc)
            answerable = [message for message in messages if message.id is not None] or messages[:1]
            return Decoded(answerable, batch=len(answerable) > 1)
        if not isinstance(value, list):
            return Decoded((self._envelope(frame, value),))
        if not value:
            return Decoded((Malformed(InvalidRequest("an empty batch: send at least one request")),))
        if len(value) > self.batch_items:
            count = len(value)
            error = TooLarge(f"a batch of {count} messages: at most {self.batch_items} are allowed", executed="no")
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

    subprotocol: Subprotocol = "rpc.v1.json"

    def decode(self, frame: bytes) -> Decoded:
        if len(frame) > self.most_nodes and (refusal := self._refuse_nodes(frame)) is not None:
            return Decoded((refusal,))
        if b"\n" not in frame:
            return Decoded((self._message(frame),))
        if frame.count(b"\n") > self.most_messages:
            return Decoded((too_many(frame.count(b"\n"), self.most_messages),))
        lines = [line for line in frame.split(b"\n") if line and not line.isspace()]
        return Decoded([self._message(line) for line in lines or (frame,)])

    def join(self, messages: Sequence[bytes]) -> bytes:
        return messages[0] if len(messages) == 1 else b"\n".join(messages)
