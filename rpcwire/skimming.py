"""Checks how deep MessagePack nests, and reads as much as possible of a malformed message."""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from .limits import MAX_DEPTH, TOO_DEEP

_SIZES = {
    0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xC7: ">B", 0xC8: ">H", 0xC9: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I",
}  # fmt: skip
"""The formats with a count of bytes, and the format of the count."""
_EXTENSIONS = frozenset({0xC7, 0xC8, 0xC9})
_FIXED_SIZES = {
    0xC0: 0, 0xC1: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2,
    0xD2: 4, 0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17,
}  # fmt: skip
"""The formats of a fixed size, and the number of bytes after the first."""
_COUNTS = {0xDC: ">H", 0xDD: ">I", 0xDE: ">H", 0xDF: ">I"}
"""The formats of arrays and maps, and the format of the count of their items."""
_CONTAINERS = bytes((*range(0x80, 0xA0), *_COUNTS))
_ANY = msgspec.msgpack.Decoder()
_MOST_OBJECTS = 4096
"""The most objects to look at in a malformed message."""


def _step(data: bytes, at: int) -> tuple[int, int]:
    """Return the end of the object at a place, and the number of objects in it. For an array or a map the end is behind
    its count."""
    first = data[at]
    if first <= 0x7F or first >= 0xE0:
        return at + 1, 0
    if first <= 0x8F:
        return at + 1, (first & 0x0F) * 2
    if first <= 0x9F:
        return at + 1, first & 0x0F
    if first <= 0xBF:
        return at + 1 + (first & 0x1F), 0
    if first in _FIXED_SIZES:
        return at + 1 + _FIXED_SIZES[first], 0
    if first in _COUNTS:
        count = struct.unpack_from(_COUNTS[first], data, at + 1)[0]
        return at + 1 + struct.calcsize(_COUNTS[first]), count * 2 if first >= 0xDE else count
    size = struct.unpack_from(_SIZES[first], data, at + 1)[0]
    return at + 1 + struct.calcsize(_SIZES[first]) + (first in _EXTENSIONS) + size, 0


def nests_too_deep(value: Any) -> bool:
    """Return whether lists and dictionaries nest deeper than :data:`~rpcwire.limits.MAX_DEPTH`."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (list, dict))
            for inner in (outer if isinstance(outer, list) else outer.values())
            if isinstance(inner, (list, dict))
        ]
        if not level:
            return False
    return True


def check_body(body: bytes) -> None:
    """Raise ``ValueError`` if the other side would refuse a body, because it nests too deeply."""
    if len(body) - len(body.translate(None, _CONTAINERS)) <= MAX_DEPTH:
        return  # Most bodies have fewer arrays and maps than that.
    try:
        too_deep = nests_too_deep(_ANY.decode(body))
    except RecursionError:
        too_deep = True
    if too_deep:
        raise ValueError(TOO_DEEP)


def legible_members(data: bytes | msgspec.Raw) -> dict[str, Any] | None:
    """Read as many members as possible of a malformed message. The value of a member is ``None`` if it is an array or a
    map, or if the name occurs twice.

    Returns:
        The members; ``None`` if the message is not a map.
    """
    data = bytes(data)
    members: dict[str, Any] = {}
    try:
        at, count = _step(data, 0)
        if not 0x80 <= data[0] <= 0x8F and data[0] not in (0xDE, 0xDF):
            return None
        count_seen = 0
        for _ in range(count // 2):
            key_end, _ = _step(data, at)
            name = _value(data[at:key_end])
            end, pending = _step(data, key_end)
            value = _value(data[key_end:end]) if not pending else None
            while pending:
                count_seen += 1
                if count_seen > _MOST_OBJECTS:
                    return members
                end, more = _step(data, end)
                pending += more - 1
            if isinstance(name, str):
                members[name] = None if name in members else value
            at = end
    except (IndexError, struct.error):
        pass  # The message ends too early: keep the members before.
    return members


def _value(data: bytes) -> Any:
    try:
        return msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
