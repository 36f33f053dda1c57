"""The type objects and constructors of PEP 249, and what a column's description says."""

from __future__ import annotations

import datetime as dt
import time

from rpcclient.stubs.database import Column

Description = tuple[str, str, None, None, int | None, int | None, bool | None]
"""Name, type code (such as ``"decimal"``), two that are never known, precision, scale, whether it may be NULL."""


class TypeObject:
    """Equal to the type codes of several types (PEP 249)."""

    def __init__(self, *names: str) -> None:
        self._names = frozenset(names)

    def __eq__(self, other: object) -> bool:
        return other is self or other in self._names

    def __hash__(self) -> int:
        return hash(self._names)


STRING = TypeObject("text", "json", "uuid")
BINARY = TypeObject("bytes")
NUMBER = TypeObject("integer", "float", "decimal", "boolean")
DATETIME = TypeObject("date", "time", "datetime", "datetime_tz", "duration")
ROWID = TypeObject("integer")

Date = dt.date
Time = dt.time
Timestamp = dt.datetime
Binary = bytes


def DateFromTicks(ticks: float) -> dt.date:  # noqa: N802 - PEP 249 names it so
    """The local date of a moment, in seconds since 1970."""
    return dt.date(*time.localtime(ticks)[:3])


def TimeFromTicks(ticks: float) -> dt.time:  # noqa: N802
    """The local time of day of a moment, in seconds since 1970."""
    return dt.time(*time.localtime(ticks)[3:6])


def TimestampFromTicks(ticks: float) -> dt.datetime:  # noqa: N802
    """The local date and time of a moment, in seconds since 1970."""
    return dt.datetime(*time.localtime(ticks)[:6])  # noqa: DTZ001 - PEP 249 means local time


def describe(columns: tuple[Column, ...], *, gives_rows: bool) -> list[Description] | None:
    """``Cursor.description``: none for a statement without rows."""
    if not gives_rows:
        return None
    return [(c.name, c.type.value, None, None, c.precision, c.scale, c.nullable) for c in columns]


TIMEOUT_S = 86_400.0
"""The deadline of a call where none is given: a driver waits; the server's own ``statement_timeout_s`` says how long a
statement may work."""
