"""Takes DER apart (ITU-T X.690), as far as certificates and lists of revoked ones need it."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator

SEQUENCE, INTEGER, UTC_TIME, GENERALIZED_TIME = 0x30, 0x02, 0x17, 0x18
"""Tags of elements."""

_TIME = re.compile(rb"(\d\d|\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z")


def elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tag and the content of each element (section 8.1).

    Raises:
        ValueError: an element is cut off.
    """
    view, at = memoryview(der), 0
    while at < len(view):
        if len(view) - at < 2:
            raise ValueError("it is cut off")
        tag, size = view[at], view[at + 1]
        at += 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(view[at : at + count], "big")
            at += count
        if at + size > len(view):
            raise ValueError("it is cut off")
        yield tag, bytes(view[at : at + size])
        at += size


def first_element(der: bytes) -> tuple[int, bytes]:
    """Return the tag and the content of the first element.

    Raises:
        ValueError: it is cut off, or there is none.
    """
    for element in elements(der):
        return element
    raise ValueError("it is cut off")


def read_time(tag: int, content: bytes) -> int:
    """Return a time in seconds since 1970 (RFC 5280, section 4.1.2.5).

    Parameters:
        tag: :data:`UTC_TIME`, whose years are of 1950 to 2049, or :data:`GENERALIZED_TIME`.
        content: the content of the element.

    Raises:
        ValueError: it is no such time.
    """
    match = _TIME.fullmatch(content)
    if match is None or len(match[1]) != {UTC_TIME: 2, GENERALIZED_TIME: 4}.get(tag):
        raise ValueError("it has a malformed time")
    year, *rest = map(int, match.groups())
    if tag == UTC_TIME:
        year += 2000 if year < 50 else 1900
    return calendar.timegm((year, *rest))
