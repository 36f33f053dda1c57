"""Counts the parts of a message before it is decoded. A part takes a hundred times as long to decode as a byte of text,
so that a few megabytes of ``[]`` would keep a server busy for seconds."""

from __future__ import annotations

import struct

from .skimming import LEAF_SIZES, step

_SIGNS = b",:[{"
_QUOTE, _BACKSLASH = b'"', b"\\"
TEXT_BYTES = 1024
"""The bytes of a long text in MessagePack that take as long to decode as a value."""
_LONG_TEXTS = frozenset({0xDA, 0xDB})
_LAST_SHORT = 0x9F
_SHORT_COUNTS = [(first & 0x0F) * (2 if first <= 0x8F else 1) - 1 for first in range(_LAST_SHORT + 1)]
"""What a short map or array, by its first byte, adds to the number of objects that follow."""
_PIECE_BYTES = 64 * 1024
"""How much to read at once: a message that is far too large is refused after its first pieces."""


def _count_signs(data: bytes) -> int:
    return len(data) - len(data.translate(None, _SIGNS))


def has_more_json_nodes(data: bytes, most: int) -> bool:
    """Return whether JSON has more than ``most`` of the signs ``, : [ {`` outside of strings: one for about each value,
    and one more for each name, array and object.

    Parameters:
        data: the JSON, which need not be valid.
        most: the number.
    """
    count, at, is_outside = 0, 0, True
    while at < len(data):
        piece = data[at : at + _PIECE_BYTES]
        if (len(piece) - len(piece.rstrip(_BACKSLASH))) % 2:
            piece = data[at : at + _PIECE_BYTES + 1]  # An escape stays in one piece.
        at += len(piece)
        if _BACKSLASH in piece:
            # Without pairs of backslashes and escaped quotes, each quote begins or ends a string.
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = piece.split(_QUOTE)
        count += sum(map(_count_signs, parts[0 if is_outside else 1 :: 2]))
        if count > most:
            return True
        if len(parts) % 2 == 0:
            is_outside = not is_outside
    return False


def has_more_packed_nodes(data: bytes, most: int) -> bool:
    """Return whether MessagePack has more than ``most`` objects: values, keys, arrays and maps. A text counts for one
    more for each :data:`TEXT_BYTES`.

    Parameters:
        data: the MessagePack, which need not be valid.
        most: the number.
    """
    at, count, pending = 0, 0, 1
    try:
        while pending:
            if pending > most - count:
                return True
            first = data[at]
            if size := LEAF_SIZES[first]:
                at += size
                pending -= 1
            elif first <= _LAST_SHORT:
                at += 1
                pending += _SHORT_COUNTS[first]
            else:
                end, inner = step(data, at)
                pending += inner - 1
                if first in _LONG_TEXTS:
                    count += (end - at) // TEXT_BYTES
                at = end
            count += 1
        if count > most:
            return True
    except (IndexError, struct.error):
        pass  # The data end too early: they cannot be decoded.
    return False
