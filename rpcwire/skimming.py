"""Checks how deep MessagePack nests and whether keys collide, and reads as much as possible of a malformed message."""

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
LEAF_SIZES = [
    1 + _FIXED_SIZES.get(first, 0) if first <= 0x7F or first >= 0xE0 or first in _FIXED_SIZES
    else 1 + (first & 0x1F) if 0xA0 <= first <= 0xBF
    else 0
    for first in range(256)
]  # fmt: skip
"""The number of bytes of an object by its first byte; 0 where that does not tell."""
_COUNTS = {0xDC: ">H", 0xDD: ">I", 0xDE: ">H", 0xDF: ">I"}
"""The formats of arrays and maps, and the format of the count of their items."""
_CONTAINERS = bytes((*range(0x80, 0xA0), *_COUNTS))
_ANY = msgspec.msgpack.Decoder()
_KEY: msgspec.msgpack.Decoder[tuple[Any, ...]] = msgspec.msgpack.Decoder(tuple[Any, ...])
_NO_HASHES: dict[int, int] = {}
_ARRAYS = bytes((*range(0x90, 0xA0), 0xDC, 0xDD))
_SMALL_BYTES = 4096
"""A message up to this size has no room for enough colliding keys to matter."""
_LONG_BYTES = 1024 * 1024
_MOST_ARRAYS = 256
_MOST_COLLISIONS = 16
"""The most keys of one map with one and the same hash. Two are a curiosity."""
_MOST_OBJECTS = 4096
"""The most objects to look at in a malformed message."""


def step(data: bytes, at: int) -> tuple[int, int]:
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


def has_colliding_keys(data: bytes, *, is_counted: bool = False) -> bool:
    """Return whether a map has many different arrays with one and the same hash as keys. Python puts them into a
    dictionary in time that grows with the square of their number. It salts the hashes of text, but not those of arrays
    of integers, so that anybody can find such keys.

    Most messages are small, or have no large map, or hardly any array. For them this takes next to no time.

    Parameters:
        data: a whole message, or several in an array.
        is_counted: whether its values have been counted: then there are few of them beside its bytes.
    """
    if len(data) <= _SMALL_BYTES or (b"\xde" not in data and b"\xdf" not in data):
        return False
    # Values are few where they are bounded, and to look at each takes less time than to look at megabytes.
    is_long = is_counted and len(data) > _LONG_BYTES
    if not is_long and len(data) - len(data.translate(None, _ARRAYS)) <= _MOST_ARRAYS:
        return False
    try:
        return _find_collisions(data)
    except (IndexError, struct.error):
        return False  # The data end too early: they cannot be decoded.


def _find_collisions(data: bytes) -> bool:
    at = 0
    around: list[tuple[int, dict[int, int]]] = []
    pending, hashes = 1, _NO_HASHES  # What is left of the innermost array or map; an array has no hashes.
    while True:
        while pending and (size := LEAF_SIZES[data[at]]):
            at += size
            pending -= 1
        if not pending:
            if not around:
                return False
            pending, hashes = around.pop()
            continue
        is_key = hashes is not _NO_HASHES and not pending & 1
        pending -= 1
        first = data[at]
        end, inner = step(data, at)
        if inner and is_key and (0x90 <= first <= 0x9F or first in (0xDC, 0xDD)):
            while inner:
                end, more = step(data, end)
                inner += more - 1
            try:
                key = hash(_KEY.decode(data[at:end]))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError):
                return False  # The decoder refuses it, too.
            hashes[key] = hashes.get(key, 0) + 1
            if hashes[key] > _MOST_COLLISIONS:
                return True
        elif inner:
            around.append((pending, hashes))
            is_map = 0x80 <= first <= 0x8F or first >= 0xDE
            pending, hashes = inner, {} if is_map else _NO_HASHES
        at = end


def legible_members(data: bytes | msgspec.Raw) -> dict[str, Any] | None:
    """Read as many members as possible of a malformed message. The value of a member is ``None`` if it is an array or a
    map, or if the name occurs twice.

    Returns:
        The members; ``None`` if the message is not a map.
    """
    data = bytes(data)
    members: dict[str, Any] = {}
    try:
        at, count = step(data, 0)
        if not 0x80 <= data[0] <= 0x8F and data[0] not in (0xDE, 0xDF):
            return None
        count_seen = 0
        for _ in range(count // 2):
            key_end, _ = step(data, at)
            name = _value(data[at:key_end])
            end, pending = step(data, key_end)
            value = _value(data[key_end:end]) if not pending else None
            while pending:
                count_seen += 1
                if count_seen > _MOST_OBJECTS:
                    return members
                end, more = step(data, end)
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
