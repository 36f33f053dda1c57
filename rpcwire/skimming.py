"""MessagePack that may not be what it should: how deep it nests, and what is legible of what cannot be read."""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from .limits import MAX_DEPTH, TOO_DEEP

_SIZES = {
    0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xC7: ">B", 0xC8: ">H", 0xC9: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I",
}  # fmt: skip
"""For each format whose bytes are counted: how the count is written."""
_EXTENSIONS = frozenset({0xC7, 0xC8, 0xC9})
_FIXED = {
    0xC0: 0, 0xC1: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2,
    0xD2: 4, 0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17,
}  # fmt: skip
"""For each format of a fixed size: the bytes that follow its first."""
_COUNTED = {0xDC: ">H", 0xDD: ">I", 0xDE: ">H", 0xDF: ">I"}
"""For arrays and maps: how the count of their items is written."""
_CONTAINERS = bytes((*range(0x80, 0xA0), *_COUNTED))
_ANY = msgspec.msgpack.Decoder()
_MOST_OBJECTS = 4096
"""How many objects of a message that cannot be read are looked at."""


def _step(data: bytes, at: int) -> tuple[int, int]:
    """Where the object at a place ends, that of an array or a map behind its count; and how many objects it holds."""
    first = data[at]
    if first <= 0x7F or first >= 0xE0:
        return at + 1, 0
    if first <= 0x8F:
        return at + 1, (first & 0x0F) * 2
    if first <= 0x9F:
        return at + 1, first & 0x0F
    if first <= 0xBF:
        return at + 1 + (first & 0x1F), 0
    if first in _FIXED:
        return at + 1 + _FIXED[first], 0
    if first in _COUNTED:
        count = struct.unpack_from(_COUNTED[first], data, at + 1)[0]
        return at + 1 + struct.calcsize(_COUNTED[first]), count * 2 if first >= 0xDE else count
    size = struct.unpack_from(_SIZES[first], data, at + 1)[0]
    return at + 1 + struct.calcsize(_SIZES[first]) + (first in _EXTENSIONS) + size, 0


def nests_too_deep(value: Any) -> bool:
    """Whether lists and dictionaries nest deeper than :data:`~rpcwire.limits.MAX_DEPTH`."""
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
    """Raise ``ValueError`` where the other side would not read a body: it nests too deeply, or has a name that none can
    be."""
    if len(body) - len(body.translate(None, _CONTAINERS)) <= MAX_DEPTH:
        return  # Most bodies do not even have so many arrays and maps.
    try:
        too_deep = nests_too_deep(_ANY.decode(body))
    except RecursionError:
        too_deep = True
    if too_deep:
        raise ValueError(TOO_DEEP)


def legible_members(data: bytes | msgspec.Raw) -> dict[str, Any] | None:
    """What is legible of a message that cannot be read as a whole: its members, with their values where those are plain
    and there is one. ``None`` where it is no map."""
    data = bytes(data)
    members: dict[str, Any] = {}
    try:
        at, count = _step(data, 0)
        if not 0x80 <= data[0] <= 0x8F and data[0] not in (0xDE, 0xDF):
            return None
        looked = 0
        for _ in range(count // 2):
            key_end, _ = _step(data, at)
            name = _value(data[at:key_end])
            end, pending = _step(data, key_end)
            value = _value(data[key_end:end]) if not pending else None
            while pending:
                looked += 1
                if looked > _MOST_OBJECTS:
                    return members
                end, more = _step(data, end)
                pending += more - 1
            if isinstance(name, str):
                members[name] = None if name in members else value
            at = end
    except (IndexError, struct.error):
        pass  # It ends too early; what was legible until there is.
    return members


def _value(data: bytes) -> Any:
    try:
        return msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
