"""Counts the parts of a message before it is decoded. A part takes a hundred times as long to decode as a byte of text,
so that a few megabytes of ``[]`` would keep a server busy for seconds."""

from __future__ import annotations

import struct

from .skimming import LEAF_SIZES, step

_SIGNS = b",:[{"
_QUOTE, _BACKSLASH = b'"', b"\\"


def _count_signs(data: bytes) -> int:
    return len(data) - len(data.translate(None, _SIGNS))


def has_more_json_nodes(data: bytes, most: int) -> bool:
    """Return whether JSON has more than ``most`` of the signs ``, : [ {`` outside of strings: one for about each value,
    and one more for each name, array and object.

    Parameters:
        data: the JSON, which need not be valid.
        most: the number.
    """
    if _count_signs(data) <= most:
        return False  # Not even with those in strings.
    if _QUOTE not in data:
        return True
    count = 0
    # Behind each pair of backslashes, and each escaped quote, a quote can only begin or end a string.
    parts = data.replace(b"\\\\", b"").replace(b'\\"', b"").split(_QUOTE, 2 * most + 2)
    for outside in parts[::2]:
        count += _count_signs(outside)
        if count > most:
            return True
    # Each two strings have a sign between them, or this is no JSON.
    return len(parts) > 2 * most + 2


def has_more_packed_nodes(data: bytes, most: int) -> bool:
    """Return whether MessagePack has more than ``most`` objects: values, keys, arrays and maps.

    Parameters:
        data: the MessagePack, which need not be valid.
        most: the number.
    """
    at, count, pending = 0, 0, 1
    try:
        while pending:
            if pending > most - count:
                return True
            if size := LEAF_SIZES[data[at]]:
                at += size
                pending -= 1
            else:
                at, inner = step(data, at)
                pending += inner - 1
            count += 1
    except (IndexError, struct.error):
        pass  # The data end too early: they cannot be decoded.
    return False
