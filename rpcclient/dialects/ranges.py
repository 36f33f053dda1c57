"""Ranges of PostgreSQL, from the text that the database makes of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlalchemy.dialects.postgresql.ranges import MultiRange, Range

_RANGE = re.compile(r'([\[(])("(?:[^"\\]|\\.|"")*"|[^,]*),("(?:[^"\\]|\\.|"")*"|[^\])]*)([\])])')


def _bound(text: str, convert: Callable[[str], Any]) -> Any:
    if not text:
        return None
    if text.startswith('"'):
        text = re.sub(r'\\(.)|""', lambda m: m.group(1) or '"', text[1:-1])
    return convert(text)


def parse_range(text: str, convert: Callable[[str], Any]) -> Range[Any]:
    """A range from its text, such as ``[1,5)``.

    Parameters:
        text: what the database says.
        convert: makes a bound out of its text.

    Raises:
        ValueError: it is no range.
    """
    if text == "empty":
        return Range(empty=True)
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"not a range: {text!r}")
    bounds: Any = match.group(1) + match.group(4)
    return Range(_bound(match.group(2), convert), _bound(match.group(3), convert), bounds=bounds)


def parse_multirange(text: str, convert: Callable[[str], Any]) -> MultiRange[Any]:
    """Several ranges from their text, such as ``{[1,5),[7,9)}``.

    Parameters:
        text, convert: as of :func:`parse_range`.
    """
    return MultiRange(parse_range(match.group(), convert) for match in _RANGE.finditer(text))
