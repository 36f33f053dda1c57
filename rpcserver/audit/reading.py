"""Reads the lines of an audit log: all, the last ones, those that fit, and new ones as they come."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from .calls import read_calls
from .files import list_files

LONGEST_LINE_BYTES = 1024 * 1024
"""A longer line is read in parts, none of which is a line of an audit log."""

POLL_S = 0.2
"""How often a log is asked for new lines, in seconds."""

Record = dict[str, Any]
"""The fields of a line."""

_DECODER = msgspec.json.Decoder(dict[str, Any])


def read_raw_lines(path: Path) -> Iterator[tuple[bytes, bool]]:
    """Read the lines of a file.

    Parameters:
        path: the file.

    Yields:
        Each line without its end, and whether it has one.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        while line := file.readline(LONGEST_LINE_BYTES):
            yield line.removesuffix(b"\n"), line.endswith(b"\n")


def parse(line: bytes) -> Record | None:
    """Read the fields of a line; ``None`` if it is no line of an audit log."""
    try:
        return _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which lines to show. Empty criteria fit every line.

    Attributes:
        since, until: the earliest and the latest time, as the lines have it.
        principal: the name of the principal.
        method: the method; with ``*`` at its end, all that begin so.
        outcome: ``ok``, ``failed`` (all others but pages that were shown), or the type of an error.
        address: the beginning of the address.
        event: the event.
        text: a text that the line contains, in its escaped form.
    """

    since: str = ""
    until: str = ""
    principal: str = ""
    method: str = ""
    outcome: str = ""
    address: str = ""
    event: str = ""
    text: str = ""

    def fit(self, line: bytes, record: Record) -> bool:
        """Return whether a line fits.

        Parameters:
            line: the line.
            record: its fields.
        """
        at = str(record.get("at", ""))
        if (self.since and at < self.since) or (self.until and at > self.until):
            return False
        if self.text and self.text.encode("ascii", "backslashreplace") not in line:
            return False
        client = record.get("client")
        who = client if isinstance(client, dict) else {}
        return (
            (not self.principal or who.get("principal") == self.principal)
            and (not self.address or str(who.get("address", "")).startswith(self.address))
            and (not self.event or record.get("event") == self.event)
            and (not self.method or _fits(self.method, str(record.get("method", ""))))
            and (not self.outcome or _has_outcome(self.outcome, record.get("outcome")))
        )


def _fits(pattern: str, method: str) -> bool:
    return method.startswith(pattern[:-1]) if pattern.endswith("*") else method == pattern


def _has_outcome(name: str, outcome: object) -> bool:
    if name == "failed":
        is_page = isinstance(outcome, str) and re.fullmatch("HTTP [123][0-9][0-9]", outcome) is not None
        return outcome is not None and outcome != "ok" and not is_page
    return outcome == name


def expand(line: bytes) -> list[tuple[bytes, Record]]:
    """Read a line. If it is about several calls, each of them becomes a line of its own.

    Parameters:
        line: the line, without its end.

    Returns:
        The lines, each with its fields; none if it is no line of an audit log.
    """
    record = parse(line)
    if record is None:
        return []
    if "calls" not in record:
        return [(line, record)]
    calls = read_calls(record)
    return [(line, record)] if calls == [record] else [(_write(call), call) for call in calls]


def _write(record: Record) -> bytes:
    return json.dumps(record, separators=(",", ":")).replace("\x7f", "\\u007f").encode("ascii")


def select(line: bytes, criteria: Criteria) -> list[tuple[bytes, Record]]:
    """Read a line, and return what fits of it.

    Parameters:
        line: the line, without its end.
        criteria: what is wanted.
    """
    return [(each, record) for each, record in expand(line) if criteria.fit(each, record)]


def search(folder: Path, criteria: Criteria) -> Iterator[tuple[bytes, Record]]:
    """Yield the lines that fit, each with its fields, the oldest first. Each call has a line of its own here.

    Raises:
        OSError: a file cannot be read.
    """
    for _, path in list_files(folder):
        with contextlib.suppress(FileNotFoundError):  # Rotation has removed it since the files were listed.
            for line, is_whole in read_raw_lines(path):
                if is_whole:
                    yield from select(line, criteria)


def last(folder: Path, count: int, criteria: Criteria) -> list[tuple[bytes, Record]]:
    """Return the last lines that fit, as :func:`search` yields them.

    Parameters:
        folder: the folder of the log.
        count: how many lines.
        criteria: which lines.

    Raises:
        OSError: a file cannot be read.
    """
    matches: deque[tuple[bytes, Record]] = deque()
    for _, path in reversed(list_files(folder)):
        try:
            lines = path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:  # Rotation has removed it since the files were listed.
            continue
        while lines and len(matches) < count:
            matches.extendleft(reversed(select(lines.pop(), criteria)))
    return list(matches)[max(len(matches) - count, 0) :]


class Follower:
    """Yields new lines of a log as they are written, from file to file.

    Parameters:
        folder: the folder of the log. It begins at the present end.
        sleep: waits some seconds.
    """

    def __init__(self, folder: Path, sleep: Callable[[float], None] = time.sleep) -> None:
        self._folder = folder
        self._sleep = sleep
        files = list_files(folder)
        self._first, self._offset = (files[-1][0], _whole_bytes(files[-1][1])) if files else (0, 0)

    def lines(self) -> Iterator[bytes]:
        """Yield lines for ever.

        Raises:
            OSError: a file cannot be read.
        """
        while True:
            yield from self.new_lines()
            self._sleep(POLL_S)

    def new_lines(self) -> Iterator[bytes]:
        """Yield the lines that have been written meanwhile.

        Raises:
            OSError: a file cannot be read.
        """
        for first, path in list_files(self._folder):
            if first < self._first:
                continue
            if first > self._first:
                self._first, self._offset = first, 0
            try:
                with path.open("rb") as file:
                    file.seek(self._offset)
                    while (line := file.readline()).endswith(b"\n"):
                        self._offset += len(line)
                        yield line.removesuffix(b"\n")
            except FileNotFoundError:  # Rotation has removed it meanwhile.
                continue


def _whole_bytes(path: Path) -> int:
    """Return the size of a file up to the end of its last whole line."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = max(size - LONGEST_LINE_BYTES, 0)
        file.seek(start)
        return start + file.read().rfind(b"\n") + 1
