"""Lines about calls that were answered: pure. One line tells of all calls of one method that were answered on one
connection within a short time, since a line for each would cost as much as the calls themselves. What differs from call
to call is a list in it, with a value for each call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import repeat
from operator import sub
from typing import Any, NamedTuple, TypeGuard, TypeVar

import msgspec
from msgspec import Raw

from .lines import CallLine, Times, encode_line, write_call, write_id

FIELDS = 5
"""How many values a group of calls has in :class:`Calls`."""

FIRST_CALLS = 16
"""The calls of a line for which room is reserved when it begins. It is reserved in growing steps."""

STEP = 4
"""By how much each step is larger than the one before."""

MOST_CALLS = 512
"""The most calls of one line."""

CALL_BYTES = 384
"""The memory that a call takes until its line is made, about, in bytes: most take less."""

Column = list[Any]
"""A value for each call."""

_ValueT = TypeVar("_ValueT")


class Calls(list[Any]):
    """Calls that have no line yet, in groups of those that have arrived and were answered together. Of each group it
    has the times of its arrival and its answers on the clock of :func:`time.monotonic_ns`, and sequences with a value
    for each call: the ids, the sizes of the results, and the parameters: as they are if they are small,
    :class:`Large`, or ``None`` for none; all in one flat list, which is the quickest to append to.

    Parameters:
        client: who has called, and from where: an object of JSON.
        method: the method's full name.
        on_end: called when the line is made.

    Attributes:
        total: how many calls they are. Whoever adds a group counts its calls.
        limit: how many calls there is room for: before there are more, more room must be reserved, or the line be made.
    """

    __slots__ = ("client", "limit", "method", "on_end", "total")

    def __init__(self, client: Raw, method: str, on_end: Callable[[], object]) -> None:
        super().__init__()
        self.client = client
        self.method = method
        self.on_end = on_end
        self.total = 0
        self.limit = FIRST_CALLS

    @property
    def reserved_bytes(self) -> int:
        """The room that is reserved for the line, in bytes."""
        return self.limit * CALL_BYTES

    def apart(self) -> Iterator[Calls]:
        """Yield each call alone."""
        for place in range(0, len(self), FIELDS):
            arrived_ns, ended_ns, *columns = self[place : place + FIELDS]
            for values in zip(*columns, strict=True):
                call = Calls(self.client, self.method, self.on_end)
                call += (arrived_ns, ended_ns, *((value,) for value in values))
                call.total = 1
                yield call


class CallsLine(msgspec.Struct, gc=False, eq=False, omit_defaults=True):
    """A line about several calls: as :class:`~rpcserver.audit.lines.CallLine`, but a field may be a list with a value
    for each call.

    Attributes:
        at: the time of the first answer.
        calls: how many calls they are.
        after_ns: the times of the answers after the first one, in nanoseconds, for each group of calls.
        duration_ns: the times from the arrivals to the answers, in nanoseconds, for each group of calls.
        groups: how many calls each group has; ``None`` if each call is a group.
    """

    at: str
    event: str
    client: Raw
    method: Raw
    calls: int
    call: Raw | Column
    outcome: str
    after_ns: Column
    duration_ns: Column
    groups: Column | None = None
    received_bytes: int | Column = 0
    sent_bytes: int | Column = 0
    params_sha256: str | Column = ""
    params: Raw | Column | None = None


class Large(NamedTuple):
    """Parameters that are too large to be kept.

    Attributes:
        size_bytes: their size.
        value: what the line says of them.
    """

    size_bytes: int
    value: str | Raw | None


ParamsColumns = tuple[int | Column, str | Column, Raw | Column | None]
"""``received_bytes``, ``params_sha256`` and ``params`` of calls."""

DescribeParams = Callable[[str, list[Any]], ParamsColumns]
"""Returns these by the method and what was kept of the parameters of each call."""


def write_calls(calls: Calls, method: Raw, times: Times, describe_params: DescribeParams) -> bytes:
    """Write a line about calls, without its beginning: ``{"seq":N,``.

    Parameters:
        calls: the calls, at least one.
        method: the method's name, as JSON in ASCII.
        times: writes times.
        describe_params: says something of their parameters.
    """
    arrivals, ends, groups, *rest = (calls[index::FIELDS] for index in range(FIELDS))
    ids, sent_bytes, notes = (_join(column) for column in (groups, *rest))
    received_bytes, sha256, params = describe_params(calls.method, notes)
    first = ends[0]
    at = times.write(first)
    if len(ids) == 1:
        line = CallLine(at, "completed", calls.client, method, call=write_id(ids[0]), outcome="ok")
        line.duration_us = (first - arrivals[0]) // 1000
        line.sent_bytes = sent_bytes[0]
        line.received_bytes, line.params_sha256, line.params = received_bytes, sha256, params  # type: ignore[assignment]
        return write_call(line)
    return encode_line(
        CallsLine(
            at,
            "completed",
            calls.client,
            method,
            len(ids),
            _write_ids(ids),
            "ok",
            list(map(sub, ends, repeat(first))),
            list(map(sub, ends, arrivals)),
            None if len(groups) == len(ids) else list(map(len, groups)),
            received_bytes,
            shorten(sent_bytes),
            sha256,
            params,
        )
    )[1:]


def _join(groups: list[Sequence[Any]]) -> Column:
    values: Column = []
    for group in groups:
        values += group
    return values


def shorten(values: list[_ValueT]) -> _ValueT | list[_ValueT]:
    """Return the value that all calls have, or the values if they differ.

    Parameters:
        values: a value for each call, at least one.
    """
    first = values[0]
    return first if values.count(first) == len(values) else values


def _write_ids(ids: list[Any]) -> Raw | Column:
    try:
        text = encode_line(ids)
    except OverflowError:
        text = b"?"
    # Nearly always they are integers; a text would need the escapes of ASCII.
    return [write_id(each) for each in ids] if text.translate(None, b"[,0123456789]") else Raw(text)


def read_calls(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Read the calls of a line, each as if it had a line of its own. Other lines come back as they are.

    Parameters:
        record: the fields of the line, which somebody may have forged.
    """
    count, first = record.get("calls"), _read_time(record.get("at"))
    columns = {name: value for name, value in record.items() if isinstance(value, list)}
    after, durations = columns.pop("after_ns", None), columns.pop("duration_ns", None)
    groups = columns.pop("groups", None)
    if first is None or any(len(values) != count for values in columns.values()):
        return [record]
    if "groups" in record:
        after, durations = _spread(after, groups, count), _spread(durations, groups, count)
    if not _are_times(after, count) or not _are_times(durations, count):
        return [record]
    same = {name: value for name, value in record.items() if name not in _OF_THE_LINE}
    calls = []
    for index, (after_ns, duration_ns) in enumerate(zip(after, durations, strict=True)):
        at = first + timedelta(microseconds=after_ns // 1000)
        own = {name: values[index] for name, values in columns.items()}
        call = {**same, "at": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z", **own}
        call["duration_us"] = duration_ns // 1000
        calls.append({name: value for name, value in call.items() if value is not None})
    return calls


_OF_THE_LINE = frozenset({"calls", "groups", "after_ns", "duration_ns", "sums", "chain"})


def _spread(values: list[Any] | None, groups: list[Any] | None, count: object) -> list[Any] | None:
    """Return a value for each call, from a value for each group; ``None`` if they do not fit."""
    if values is None or groups is None or len(values) != len(groups):
        return None
    if type(count) is not int or count > MOST_CALLS:  # A few bytes must not stand for any number of calls.
        return None
    if not all(type(size) is int and 0 < size <= count for size in groups) or sum(groups) != count:
        return None
    return [value for value, size in zip(values, groups, strict=True) for _ in range(size)]


def _read_time(at: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(at) if isinstance(at, str) else None
    except ValueError:
        return None
    return time if time is not None and 1970 <= time.year < 9000 else None


def _are_times(values: object, count: object) -> TypeGuard[list[int]]:
    """Return whether these are so many times, of less than a year."""
    return (
        isinstance(values, list)
        and type(count) is int
        and len(values) == count
        and all(type(value) is int and 0 <= value < 3 * 10**16 for value in values)
    )
