"""Splits text that is still being typed into statements, and says what they do to transactions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rpcwire.sql import Syntax, bare, is_blank, is_open, kind_of, next_place, pattern, scan, statement_end

_DELIMITER = re.compile(
    r"\s*DELIMITER[ \t]+(?:(?P<quote>['\"`])(?P<quoted>[^\n]+?)(?P=quote)|(?P<sign>\S++))[^\n]*+(?:\n|\Z)",
    re.IGNORECASE,
)


def delimiter_at(text: str, syntax: Syntax, start: int) -> tuple[int, str] | None:
    """Where a line ``DELIMITER //`` of MariaDB's and MySQL's clients ends, and what it says, where one stands before
    the next statement; ``None`` otherwise."""
    if kind_of(syntax) != "mysql":
        return None
    line = _DELIMITER.match(text, next_place(text, syntax, start))
    return None if line is None else (line.end(), line["quoted"] or line["sign"])


def split(text: str, syntax: Syntax = "") -> tuple[list[str], str]:
    """The statements that end with a semicolon, and the text after the last of them. For MariaDB and MySQL a line
    ``DELIMITER //`` before a statement says what ends those that follow, as in their own client.

    Parameters:
        text: any number of statements.
        syntax: how the database reads.
    """
    statements: list[str] = []
    start, sign = 0, ";"
    while True:
        while (line := delimiter_at(text, syntax, start)) is not None:
            start, sign = line
        ends = statement_end(text, syntax, start, sign)
        if ends is None:
            return statements, text[start:]
        statement = text[start : ends[0]]
        start = ends[1]
        if not is_blank(statement, syntax):
            statements.append(statement.strip())


def ends_delimiter(text: str, syntax: Syntax) -> bool:
    """Whether a text only makes the semicolon end statements again."""
    line = delimiter_at(text, syntax, 0)
    return line is not None and line == (len(text), ";")


def backslash(text: str, syntax: Syntax = "") -> tuple[str, str]:
    r"""A command such as ``\d`` in the last line, also after a statement that is not finished.

    Returns:
        What stands before that line, and the command; the whole text and nothing where the last line is none, or part
        of a text in quotes.
    """
    before, _, last = text.rstrip().rpartition("\n")
    if not last.lstrip().startswith("\\") or is_open(before, syntax):
        return text, ""
    return before, last.strip()


_CONTROLS = re.compile(
    r"\s*(?:(?P<begin>begin(?!\s+not\b)|start\s+transaction)|(?P<commit>commit|end)|(?P<rollback>abort|rollback(?!\b[^;]*\bto\b)))\b"
    r"(?P<more>.*)",
    re.IGNORECASE | re.DOTALL,
)
_OWN_WAYS = re.compile(r"\band\s+chain\b|\s*prepared\b", re.IGNORECASE)
_LEVEL = re.compile(r"\bisolation\s+level\s+(read\s+(?:un)?committed|repeatable\s+read|serializable)\b", re.IGNORECASE)
_PARAMETER = r"(?<![:\w\\])(?P<name>:[A-Za-z_])"
_MOST = 200
"""Characters of a statement, without comments, in which it says what it does to transactions."""


def controls_transaction(statement: str, syntax: Syntax = "") -> bool:
    """Whether a statement begins or ends a transaction; savepoints do neither."""
    return _CONTROLS.match(bare(statement, syntax, most=_MOST)) is not None


@dataclass(frozen=True, slots=True)
class Control:
    """What a statement does that begins or ends a transaction.

    Attributes:
        method: the service's method that does the same: ``begin``, ``commit`` or ``rollback``.
        isolation: the level that it asks for.
    """

    method: str
    isolation: str | None


def control_of(statement: str, syntax: Syntax = "") -> Control | None:
    """What a statement does to transactions; ``None`` for others, and for what the service has no method for."""
    match = _CONTROLS.match(bare(statement, syntax, most=_MOST))
    if match is None or _OWN_WAYS.search(match["more"]):
        return None
    level = _LEVEL.search(match["more"])
    method = next(name for name in ("begin", "commit", "rollback") if match[name])
    return Control(method, None if level is None else " ".join(level[1].lower().split()))


def names_parameters(statement: str, syntax: Syntax = "") -> bool:
    """Whether a statement has parameters with names, ``:id``."""
    return any(match["name"] for match, _ in scan(statement, pattern(syntax, _PARAMETER)))
