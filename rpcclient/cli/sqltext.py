"""Statements out of text that is still being typed: where one ends, in each kind of SQL."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

_QUOTED = r"'(?:[^']|'')*(?P<s>'|\Z)|\"(?:[^\"]|\"\")*(?P<d>\"|\Z)"
_MORE = {
    "postgresql": r"|\b[eE]'(?:[^'\\]|''|\\.)*(?P<e>'|\Z)|\$(?P<tag>[A-Za-z_]?\w*)\$.*?(?P<t>\$(?P=tag)\$|\Z)",
    "mysql": r"|`[^`]*(?P<b>`|\Z)|\#[^\n]*",
    "sqlite": r"|`[^`]*(?P<b>`|\Z)|\[[^\]]*(?P<r>\]|\Z)",
}
_BACKSLASHES = r"'(?:[^'\\]|''|\\.)*(?P<s>'|\Z)|\"(?:[^\"\\]|\"\"|\\.)*(?P<d>\"|\Z)"


@dataclass(frozen=True, slots=True)
class _Token:
    """What is no plain text: a comment, something in quotes, or the end of a statement."""

    start: int
    end: int
    text: str
    closed: bool

    @property
    def ends(self) -> bool:
        return self.text == ";"

    def says_nothing(self, dialect: str) -> bool:
        """Whether it is a comment. MariaDB and MySQL run what ``/*! */`` holds."""
        if _kind(dialect) == "mysql" and self.text.startswith(("/*!", "/*M!")):
            return False
        return self.text.startswith(("--", "/*", "#"))


def _kind(dialect: str) -> str:
    return "mysql" if dialect == "mariadb" else dialect


@cache
def _pattern(dialect: str) -> re.Pattern[str]:
    dialect = _kind(dialect)
    quoted = _BACKSLASHES if dialect == "mysql" else _QUOTED
    line = r"--(?=\s|\Z)[^\n]*" if dialect == "mysql" else r"--[^\n]*"
    comment = r"(?P<nested>/\*)" if dialect == "postgresql" else r"/\*.*?(?P<c>\*/|\Z)"
    return re.compile(f"{line}|{comment}{_MORE.get(dialect, '')}|{quoted}|;", re.DOTALL)


def _scan(text: str, dialect: str, place: int = 0) -> Iterator[_Token]:
    pattern = _pattern(dialect)
    while (found := pattern.search(text, place)) is not None:
        groups = found.groupdict()
        place, closed = found.end(), not any(groups.get(name) == "" for name in _CLOSINGS)
        if groups.get("nested"):
            place, closed = _comment_end(text, found.start())
        yield _Token(found.start(), place, text[found.start() : place], closed)


def _comment_end(text: str, start: int) -> tuple[int, bool]:
    """Where a comment of PostgreSQL ends, which may hold others, and whether it does."""
    depth = 0
    for sign in re.finditer(r"/\*|\*/", text[start:]):
        depth += 1 if sign[0] == "/*" else -1
        if depth == 0:
            return start + sign.end(), True
    return len(text), False


def _without(text: str, dialect: str, instead: Callable[[_Token], str]) -> str:
    """A text with its tokens replaced."""
    parts, place = [], 0
    for token in _scan(text, dialect):
        parts += [text[place : token.start], instead(token)]
        place = token.end
    return "".join([*parts, text[place:]])


def split(text: str, dialect: str = "") -> tuple[list[str], str]:
    """The statements that end with a semicolon, and the text after the last of them. For MariaDB and MySQL a line
    ``DELIMITER //`` before a statement says what ends those that follow, as in their own client.

    Parameters:
        text: any number of statements.
        dialect: the kind of database, which decides how quotes and comments look.
    """
    found: list[str] = []
    start, sign = 0, ";"
    while True:
        if _kind(dialect) == "mysql":
            while (line := _DELIMITER.match(text, start)) is not None:
                start, sign = line.end(), line["sign"]
        end = _statement_end(text, dialect, start, sign)
        if end is None:
            return found, text[start:]
        statement = text[start : end - len(sign)]
        start = end
        if not blank(statement, dialect):
            found.append(statement.strip())


def _statement_end(text: str, dialect: str, start: int, sign: str) -> int | None:
    """Where the statement ends that begins at a place, its sign included; ``None`` where it is unfinished."""
    place = start
    for token in _scan(text, dialect, start):
        if sign != ";" and (other := text.find(sign, place, token.start)) >= 0:
            return other + len(sign)
        place = token.end
        if sign == ";" and token.ends:
            # Within the body of a trigger SQLite's own judgement counts.
            if dialect != "sqlite" or sqlite3.complete_statement(text[start : token.end]):
                return token.end
        elif token.ends:
            place = token.start
    other = text.find(sign, place) if sign != ";" else -1
    return other + len(sign) if other >= 0 else None


_DELIMITER = re.compile(
    r"(?:\s|--(?=\s)[^\n]*\n|\#[^\n]*\n)*\bDELIMITER[ \t]+(?P<sign>\S+)[^\n]*(?:\n|\Z)", re.IGNORECASE
)
_CLOSINGS = ("s", "d", "e", "t", "b", "r", "c")


def ends_delimiter(text: str, dialect: str) -> bool:
    """Whether a text does nothing but bring back the semicolon as what ends statements."""
    line = _DELIMITER.fullmatch(text) if _kind(dialect) == "mysql" else None
    return line is not None and line["sign"] == ";"


def backslash(text: str, dialect: str = "") -> tuple[str, str]:
    r"""A command such as ``\d`` in the last line, also after a statement that is not finished.

    Returns:
        What stands before that line, and the command; the whole text and nothing where the last line is none, or part
        of a text in quotes.
    """
    before, _, last = text.rstrip().rpartition("\n")
    if not last.lstrip().startswith("\\"):
        return text, ""
    if any(not token.closed for token in _scan(before, dialect)):
        return text, ""
    return before, last.strip()


_CONTROLS = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*"
    r"(?:(?P<begin>begin(?!\s+not\b)|start\s+transaction)|(?P<commit>commit|end)|(?P<rollback>abort|rollback(?!\b[^;]*\bto\b)))\b"
    r"(?P<more>.*)",
    re.IGNORECASE | re.DOTALL,
)
_OWN_WAYS = re.compile(r"\band\s+chain\b|\s*prepared\b", re.IGNORECASE)
_LEVEL = re.compile(r"\bisolation\s+level\s+(read\s+(?:un)?committed|repeatable\s+read|serializable)\b", re.IGNORECASE)
_PARAMETER = re.compile(r"(?<![:\w\\]):[A-Za-z_]")


def controls_transaction(statement: str) -> bool:
    """Whether a statement begins or ends a transaction; savepoints do neither."""
    return _CONTROLS.match(statement) is not None


@dataclass(frozen=True, slots=True)
class Control:
    """What a statement does that begins or ends a transaction.

    Attributes:
        method: the service's method that does the same: ``begin``, ``commit`` or ``rollback``.
        isolation: the level that it asks for.
    """

    method: str
    isolation: str | None


def control_of(statement: str) -> Control | None:
    """What a statement does to transactions; ``None`` for others, and for what the service has no method for."""
    found = _CONTROLS.match(statement)
    if found is None or _OWN_WAYS.search(found["more"]):
        return None
    level = _LEVEL.search(found["more"])
    method = next(name for name in ("begin", "commit", "rollback") if found[name])
    return Control(method, None if level is None else " ".join(level[1].lower().split()))


def names_parameters(statement: str, dialect: str = "") -> bool:
    """Whether a statement has parameters with names, ``:id``."""
    return _PARAMETER.search(_without(statement, dialect, lambda _: "x")) is not None


def blank(text: str, dialect: str = "") -> bool:
    """Whether there is nothing but space and comments."""
    return not _without(text, dialect, lambda token: "" if token.says_nothing(dialect) else "x").strip()
