"""The files of an audit log: their names, which there are, and where the log goes on after a restart. Each is named
after the number of its first line, ``audit-000000000001.jsonl``, so a finished file is never renamed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from .chain import Head, Link, read_link

WINDOW_BYTES = 1024 * 1024
"""How much of the end of a file is read first, in bytes."""

_NAME = re.compile(r"audit-([0-9]{12,18})\.jsonl", re.ASCII)


def name_file(seq: int) -> str:
    """Return the name of the file whose first line has this number."""
    return f"audit-{seq:012d}.jsonl"


def list_files(folder: Path) -> list[tuple[int, Path]]:
    """List the files of an audit log, each with the number of its first line, the oldest first. There are none if the
    folder is missing.

    Raises:
        OSError: the folder cannot be read.
    """
    try:
        paths = list(folder.iterdir())
    except FileNotFoundError:
        return []
    return sorted((int(match[1]), path) for path in paths if (match := _NAME.fullmatch(path.name)) is not None)


class BrokenLog(Exception):
    """The log cannot go on after its last line; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class End:
    """Where a log ends.

    Attributes:
        head: the last line of its last whole block.
        size_bytes: the size of its last file, without a torn line.
        unsealed_lines: the lines after that block, without their ends: the server was killed before it had written all
            of them.
        torn_bytes: the size of a line at the end that was not written as a whole.
    """

    head: Head = field(default_factory=Head)
    size_bytes: int = 0
    unsealed_lines: tuple[bytes, ...] = ()
    torn_bytes: int = 0

    @property
    def seq(self) -> int:
        """The number of the last line."""
        return self.head.seq + len(self.unsealed_lines)


def find_end(descriptor: int, path: Path) -> End:
    """Find the end of a log in its last file. The head is 0 if the file has no whole block.

    Parameters:
        descriptor: of that file.
        path: its path, for messages.

    Raises:
        BrokenLog: a line at the end is no line of an audit log.
        OSError: the file cannot be read.
    """
    size = os.fstat(descriptor).st_size
    window = WINDOW_BYTES
    while True:
        start = max(size - window, 0)
        data = os.pread(descriptor, size - start, start)
        *lines, torn = data.split(b"\n")
        if start:
            lines = lines[1:]
        unsealed_lines: list[bytes] = []
        for line in reversed(lines):
            link = _read(line, path)
            if link.chain:
                return End(Head(link.seq, link.chain), size - len(torn), tuple(reversed(unsealed_lines)), len(torn))
            unsealed_lines.append(line)
        if not start:
            return End(Head(), 0, (), size)
        window *= 4


def _read(line: bytes, path: Path) -> Link:
    try:
        return read_link(line)
    except ValueError as exc:
        raise BrokenLog(
            f"{path}: a line at its end is no line of an audit log: {exc}: move the files away, and look why"
        ) from None
