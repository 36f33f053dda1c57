r"""How databases read SQL: what is a string, a quoted name or a comment, and where a statement ends.

Whoever looks for something in a statement, such as a placeholder or a semicolon, looks for it here: with a regular
expression of its own, which is tried only outside of what is quoted.

What is quoted also depends on settings of the connection: see :data:`Syntax`.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Literal

Syntax = str
"""How a database reads strings, names and comments: its dialect, and behind a blank what a setting makes different:

- ``mysql plain``: a backslash is a character like any other (sql_mode NO_BACKSLASH_ESCAPES);
- ``mysql ansi``: double quotes are around names, in which a backslash is a character (ANSI_QUOTES);
- ``postgresql escaping``: a backslash in any string escapes (standard_conforming_strings is off).

``mariadb`` is read as ``mysql``, and what is not known as the standard says.
"""

_COMMENT = r"/\*.*?(?P<c>\*/|\Z)"
_STRING = r"'[^']*+(?:''[^']*+)*+(?P<s>'|\Z)"
_NAME = r"\"[^\"]*+(?:\"\"[^\"]*+)*+(?P<d>\"|\Z)"
_TICKED = r"`[^`]*+(?:``[^`]*+)*+(?P<b>`|\Z)"
_ESCAPED = r"'[^'\\]*+(?:(?:''|\\(?:.|\Z))[^'\\]*+)*+(?P<s>'|\Z)"
_ESCAPED_TWICE = r"\"[^\"\\]*+(?:(?:\"\"|\\(?:.|\Z))[^\"\\]*+)*+(?P<d>\"|\Z)"
_COMMON = rf"--[^\n]*|{_COMMENT}|{_STRING}|{_NAME}"
_POSTGRESQL = r"(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?P<t>\$(?P=tag)\$|\Z)|" rf"--[^\n]*|(?P<nested>/\*)|{_NAME}"
_MYSQL = rf"\#[^\n]*|--(?=\s|\Z)[^\n]*|/\*(?!M?!).*?(?P<c>\*/|\Z)|{_TICKED}"
"""What stands in ``/*! */`` is run, and so no comment."""
_SKIPPED: Mapping[Syntax, str] = {
    "postgresql": rf"\b[eE]{_ESCAPED.replace('<s>', '<e>')}|{_POSTGRESQL}|{_STRING}",
    "postgresql escaping": rf"{_ESCAPED}|{_POSTGRESQL}",
    "mysql": rf"{_MYSQL}|{_ESCAPED}|{_ESCAPED_TWICE}",
    "mysql ansi": rf"{_MYSQL}|{_ESCAPED}|{_NAME}",
    "mysql plain": rf"{_MYSQL}|{_STRING}|{_NAME}",
    "sqlite": rf"{_TICKED}|\[[^\]]*(?P<r>\]|\Z)|{_COMMON}",
    "": _COMMON,
}
_CLOSINGS = ("s", "d", "e", "t", "b", "r", "c")
_COMMENT_SIGNS = ("--", "/*", "#")


def kind_of(syntax: Syntax) -> str:
    """The kind of database: ``postgresql``, ``mysql``, ``sqlite``; nothing for any other."""
    kind = syntax.partition(" ")[0]
    return "mysql" if kind == "mariadb" else kind if kind in _SKIPPED else ""


def mysql_syntax(sql_mode: str) -> Syntax:
    """How MariaDB and MySQL read under a sql_mode, as ``@@sql_mode`` tells it."""
    modes = sql_mode.upper().split(",")
    if "NO_BACKSLASH_ESCAPES" in modes:
        return "mysql plain"
    return "mysql ansi" if "ANSI_QUOTES" in modes else "mysql"


@lru_cache(maxsize=64)
def pattern(syntax: Syntax, wanted: str, *, first: bool = False) -> re.Pattern[str]:
    """An expression for :func:`scan`.

    Parameters:
        syntax: how the database reads.
        wanted: what to look for besides, as a regular expression that names no group ``skip`` or of one letter.
        first: whether it goes before what is quoted, where both begin at one place.
    """
    skip = f"(?P<skip>{_SKIPPED.get(syntax) or _SKIPPED[kind_of(syntax)]})"
    return re.compile(f"{wanted}|{skip}" if first else f"{skip}|{wanted}", re.DOTALL)


def scan(sql: str, expression: re.Pattern[str], start: int = 0) -> Iterator[tuple[re.Match[str], int]]:
    """What an expression of :func:`pattern` finds, from a place on, and where each ends. What is quoted is found as its
    group ``skip``. PostgreSQL's comments hold comments, which no expression follows."""
    place = start
    nests = "nested" in expression.groupindex
    while (match := expression.search(sql, place)) is not None:
        place = match.end()
        if nests and match["nested"]:
            place = _comment_end(sql, match.start())
        yield match, place


def _comment_end(sql: str, start: int) -> int:
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(sql, start):
        depth += 1 if match.group() == "/*" else -1
        if depth == 0:
            return match.end()
    return len(sql)


def is_open(sql: str, syntax: Syntax) -> bool:
    """Whether a text ends within a string, a quoted name or a comment of several lines."""
    for match, end in scan(sql, pattern(syntax, _NOTHING)):
        if end == len(sql):
            groups = match.groupdict()
            if groups.get("nested"):
                signs = re.findall(r"/\*|\*/", sql[match.start() :])
                return signs.count("/*") != signs.count("*/")
            return any(groups.get(name) == "" for name in _CLOSINGS)
    return False


_NOTHING = r"(?!)"
_RUN_SIGNS = r"(?P<run>/\*M?!\d*|\*/)"


def _is_comment(sql: str, start: int) -> bool:
    """Whether what is found as quoted at a place is a comment."""
    return sql.startswith(_COMMENT_SIGNS, start)


def bare(sql: str, syntax: Syntax, *, most: int | None = None) -> str:
    """A statement without its comments, and without the signs around what only MariaDB and MySQL run.

    Parameters:
        sql: the statement.
        syntax: how the database reads.
        most: how many characters are enough.
    """
    parts: list[str] = []
    place = length = 0
    mysql = kind_of(syntax) == "mysql"
    for match, end in scan(sql, pattern(syntax, _RUN_SIGNS if mysql else _NOTHING)):
        start = match.start()
        parts.append(sql[place:start])
        parts.append(sql[start:end] if match["skip"] and not _is_comment(sql, start) else " ")
        place = end
        length += len(parts[-2]) + len(parts[-1])
        if most is not None and length >= most:
            return "".join(parts)
    return "".join([*parts, sql[place:]])


def next_place(sql: str, syntax: Syntax, start: int, *, passed: str = r"\s") -> int:
    """Where something stands that is neither blank nor a comment, from a place on; the end of the text where nothing
    does.

    Parameters:
        sql: the text.
        syntax: how the database reads.
        start: where to begin.
        passed: a regular expression for what is passed over.
    """
    for match, _ in scan(sql, pattern(syntax, rf"(?!{passed})(?P<said>.)"), start):
        if match["said"] or not _is_comment(sql, match.start()):
            return match.start()
    return len(sql)


def is_blank(sql: str, syntax: Syntax) -> bool:
    """Whether a text has nothing but space, comments and semicolons."""
    return next_place(sql, syntax, 0, passed=r"[\s;]") == len(sql)


_WORD = re.compile(r"[\s(]*+(?P<word>[A-Za-z]*)")


def first_word(sql: str, syntax: Syntax) -> str:
    """The first word of a statement after blanks, comments and opening parentheses, in capitals; empty where there is
    none, or where it stands in what only some versions of MariaDB or MySQL run."""
    place = 0
    while (found := _WORD.match(sql, place)) is not None and not found["word"]:
        place = found.end()
        if not sql.startswith(_COMMENT_SIGNS, place):
            return ""
        match, end = next(scan(sql, pattern(syntax, _NOTHING), place), (None, 0))
        if match is None or match.start() != place:
            return ""
        place = end
    return found["word"].upper() if found else ""


_ENDS = {
    "postgresql": r"(?P<open>\()|(?P<close>\))|(?P<end>;)",
    "mysql": r"(?P<open>/\*M?!)|(?P<close>\*/)|(?P<end>;)",
}
_BLOCKS = r"(?<![.\w$])(?P<word>(?i:BEGIN\s+ATOMIC|CASE|END))(?![\w$])"


def statement_end(sql: str, syntax: Syntax, start: int = 0, sign: str = ";") -> tuple[int, int] | None:
    """Where the statement ends that begins at a place, and where the next may begin; ``None`` where it is unfinished.

    As psql does, PostgreSQL's statements are followed into parentheses, which hold the commands of a rule, and from
    BEGIN ATOMIC to its END (``psqlscan.l``); where a trigger of SQLite ends, SQLite itself says.

    Parameters:
        sql: any number of statements.
        syntax: how the database reads.
        start: where the statement begins.
        sign: what ends it; another one than the semicolon only in MariaDB and MySQL, whose clients have DELIMITER.
    """
    kind = kind_of(syntax)
    ends = _ENDS.get(kind, r"(?P<end>;)")
    if sign != ";":
        ends = ends.replace("(?P<end>;)", f"(?P<end>{re.escape(sign)})")
    depth = blocks = 0
    seen = start
    creates: bool | None = None
    for match, _ in scan(sql, pattern(syntax, ends, first=sign != ";"), start):
        if match["skip"] is not None:
            continue
        if match["end"] is None:
            depth = depth + 1 if match["open"] else max(0, depth - 1)
            continue
        if depth:
            continue
        if kind == "postgresql":
            if creates is None:
                creates = first_word(sql[start : match.start()], syntax) == "CREATE"
            if creates:
                blocks, seen = _blocks_open(sql, syntax, seen, match.start(), blocks), match.end()
            if blocks:
                continue
        elif kind == "sqlite" and not sqlite3.complete_statement(sql[start : match.end()]):
            continue
        return match.start(), match.end()
    return None


def _blocks_open(sql: str, syntax: Syntax, start: int, end: int, before: int) -> int:
    """How many blocks are open at the end of a part of a statement; before it there were some."""
    count = before
    for match, place in scan(sql, pattern(syntax, _BLOCKS), start):
        if place > end:
            break
        if match["skip"] is None:
            word = match["word"].upper()
            if word == "END":
                count = max(0, count - 1)
            elif word != "CASE" or count:
                count += 1
    return count


def split(sql: str, syntax: Syntax) -> list[str]:
    """The statements of a text, with the semicolons that end them, without those that are empty or only comments."""
    found: list[str] = []
    start = 0
    while (ends := statement_end(sql, syntax, start)) is not None:
        found.append(sql[start : ends[1]])
        start = ends[1]
    found.append(sql[start:])
    return [piece.strip() for piece in found if not is_blank(piece, syntax)]


_DEFINING = re.compile(
    r"\s*(?:CREATE(?!\s+(?:OR\s+REPLACE\s+)?TEMPORARY)|DROP(?!\s+(?:TEMPORARY|PREPARE))|ALTER|TRUNCATE|RENAME|GRANT|"
    r"REVOKE|LOCK\s+TABLES?|(?:ANALYZE|CHECK|OPTIMIZE|REPAIR)\s+(?:LOCAL\s+|NO_WRITE_TO_BINLOG\s+)?TABLE)\b",
    re.IGNORECASE,
)


def commits_before(statement: str, syntax: Syntax) -> bool:
    """Whether a statement of MariaDB or MySQL, by its first words, commits what was before it, as those do that define
    tables (https://mariadb.com/kb/en/sql-statements-that-cause-an-implicit-commit/)."""
    return kind_of(syntax) == "mysql" and _DEFINING.match(bare(statement, syntax, most=200)) is not None


_COPY_WAY = re.compile(
    r"\s*COPY\b\s*(?P<query>\()?.*?(?:\bFROM\s+(?P<in>STDIN)\b|\bTO\s+STDOUT\b)", re.IGNORECASE | re.DOTALL
)


def copy_direction(statement: str, syntax: Syntax = "postgresql") -> Literal["in", "out"] | None:
    """Which way a COPY of PostgreSQL goes between the database and its client; ``None`` for any other statement."""
    if first_word(statement, syntax) != "COPY":
        return None
    parts, place = [], 0
    for match, end in scan(statement, pattern(syntax, _NOTHING)):
        parts += [statement[place : match.start()], " " if _is_comment(statement, match.start()) else '"x"']
        place = end
    found = _COPY_WAY.match("".join([*parts, statement[place:]]))
    if found is None:
        return None
    return "in" if found["in"] and not found["query"] else "out"
