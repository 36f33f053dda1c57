r"""Reads SQL as databases do: finds strings, quoted names, comments, and the ends of statements.

Code that looks for something in a statement, such as a placeholder or a semicolon, uses this module. It gives a regular
expression, which is tried only outside of strings, quoted names and comments.

Settings of the connection also decide what is quoted: see :data:`Syntax`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Literal

Syntax = str
"""How a database reads strings, names and comments: its dialect, and after a blank the effect of a setting:

- ``mysql plain``: a backslash is an ordinary character (sql_mode NO_BACKSLASH_ESCAPES);
- ``mysql ansi``: double quotes enclose names, in which a backslash is an ordinary character (ANSI_QUOTES);
- ``postgresql escaping``: a backslash escapes in every string (standard_conforming_strings is off).

``mariadb`` is the same as ``mysql``. An unknown dialect is read as the standard says.
"""

_COMMENT = r"/\*[^*]*+(?:\*(?!/)[^*]*+)*+(?P<c>\*/|\Z)"
_STRING = r"'[^']*+(?:''[^']*+)*+(?P<s>'|\Z)"
_NAME = r"\"[^\"]*+(?:\"\"[^\"]*+)*+(?P<d>\"|\Z)"
_BACKTICK_NAME = r"`[^`]*+(?:``[^`]*+)*+(?P<b>`|\Z)"
_BACKSLASH_STRING = r"'[^'\\]*+(?:(?:''|\\(?:.|\Z))[^'\\]*+)*+(?P<s>'|\Z)"
_BACKSLASH_NAME = r"\"[^\"\\]*+(?:(?:\"\"|\\(?:.|\Z))[^\"\\]*+)*+(?P<d>\"|\Z)"
_COMMON = rf"--[^\n]*|{_COMMENT}|{_STRING}|{_NAME}"
_DOLLARS = r"(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$[^$]*+(?:\$(?!(?P=tag)\$)[^$]*+)*+(?P<t>\$(?P=tag)\$|\Z)"
_POSTGRESQL = rf"{_DOLLARS}|--[^\n]*|(?P<nested>/\*)|{_NAME}"
_MYSQL = rf"\#[^\n]*|--(?=\s|\Z)[^\n]*|/\*(?!M?!)[^*]*+(?:\*(?!/)[^*]*+)*+(?P<c>\*/|\Z)|{_BACKTICK_NAME}"
"""The content of ``/*! */`` is run, so it is not a comment."""
_QUOTES: Mapping[Syntax, str] = {
    "postgresql": rf"\b[eE]{_BACKSLASH_STRING.replace('<s>', '<e>')}|{_POSTGRESQL}|{_STRING}",
    "postgresql escaping": rf"{_BACKSLASH_STRING}|{_POSTGRESQL}",
    "mysql": rf"{_MYSQL}|{_BACKSLASH_STRING}|{_BACKSLASH_NAME}",
    "mysql ansi": rf"{_MYSQL}|{_BACKSLASH_STRING}|{_NAME}",
    "mysql plain": rf"{_MYSQL}|{_STRING}|{_NAME}",
    "sqlite": rf"{_BACKTICK_NAME}|\[[^\]]*(?P<r>\]|\Z)|{_COMMON}",
    "": _COMMON,
}
PIECE = 64 * 1024
"""How many characters are searched at once."""
_SEEN_BEHIND = 8
"""How many characters behind a match may decide on it, at most."""
_CLOSINGS = ("s", "d", "e", "t", "b", "r", "c")
_COMMENT_SIGNS = ("--", "/*", "#")


def kind_of(syntax: Syntax) -> str:
    """Return the kind of database: ``postgresql``, ``mysql`` or ``sqlite``; empty for any other."""
    kind = syntax.partition(" ")[0]
    return "mysql" if kind == "mariadb" else kind if kind in _QUOTES else ""


def mysql_syntax(sql_mode: str) -> Syntax:
    """Return the syntax of MariaDB and MySQL for a sql_mode, as ``@@sql_mode`` gives it."""
    modes = sql_mode.upper().split(",")
    if "NO_BACKSLASH_ESCAPES" in modes:
        return "mysql plain"
    return "mysql ansi" if "ANSI_QUOTES" in modes else "mysql"


@lru_cache(maxsize=64)
def pattern(syntax: Syntax, target: str, *, first: bool = False) -> re.Pattern[str]:
    """Make an expression for :func:`scan`.

    Parameters:
        syntax: how the database reads.
        target: a regular expression for the text to find; no group in it has the name ``skip`` or a name of one letter.
        first: whether the target goes before quoted text if both begin at the same place.
    """
    skip = f"(?P<skip>{_QUOTES.get(syntax) or _QUOTES[kind_of(syntax)]})"
    return re.compile(f"{target}|{skip}" if first else f"{skip}|{target}", re.DOTALL)


def scan(
    sql: str, expression: re.Pattern[str], start: int = 0, end: int = sys.maxsize
) -> Iterator[tuple[re.Match[str], int]]:
    """Yield the matches of an expression of :func:`pattern`, and the end of each. The group ``skip`` is a string, a
    quoted name or a comment. Comments of PostgreSQL may contain comments, which no expression can follow, so their ends
    are counted.

    Parameters:
        sql: the text.
        expression: an expression of :func:`pattern`.
        start: the place to begin.
        end: the place to end, outside of quoted text; nothing behind it is read.
    """
    place = start
    nests = "nested" in expression.groupindex
    while (match := _search(sql, expression, place, end)) is not None:
        place = match.end()
        if nests and match["nested"]:
            place = _comment_end(sql, match.start())
        yield match, place


def _search(sql: str, expression: re.Pattern[str], start: int, end: int) -> re.Match[str] | None:
    """Search piece by piece: one call of a regular expression lets nothing else of the process run meanwhile.

    A match that reaches the end of a piece may go on behind it, so that it is searched again in a larger piece. One
    that begins in a piece and can be seen only in the next one is found because pieces overlap.
    """
    end = min(end, len(sql))
    size = PIECE
    while True:
        stop = start + size
        if stop + 1 >= end:
            return expression.search(sql, start, end)
        match = expression.search(sql, start, stop)
        if match is None:
            start, size = stop - size // 4, PIECE
        elif match.end() >= stop - _SEEN_BEHIND:
            start, size = match.start(), 4 * size
        else:
            return match


def _comment_end(sql: str, start: int) -> int:
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(sql, start):
        depth += 1 if match.group() == "/*" else -1
        if depth == 0:
            return match.end()
    return len(sql)


def is_open(sql: str, syntax: Syntax) -> bool:
    """Return whether a text ends within a string, a quoted name or a comment of several lines."""
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
    """Return whether the quoted text at a place is a comment."""
    return sql.startswith(_COMMENT_SIGNS, start)


def bare(sql: str, syntax: Syntax, *, most: int | None = None) -> str:
    """Remove the comments of a statement, and the signs around text that only MariaDB and MySQL run.

    Parameters:
        sql: the statement.
        syntax: how the database reads.
        most: the number of characters after which to stop.
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


def next_place(sql: str, syntax: Syntax, start: int, *, ignore: str = r"\s") -> int:
    """Find the next text that is neither blank nor a comment, from a place on. Return its place; the end of the text if
    there is none.

    Parameters:
        sql: the text.
        syntax: how the database reads.
        start: the place to begin.
        ignore: a regular expression for text to ignore.
    """
    for match, _ in scan(sql, pattern(syntax, rf"(?!{ignore})(?P<said>.)"), start):
        if match["said"] or not _is_comment(sql, match.start()):
            return match.start()
    return len(sql)


def is_blank(sql: str, syntax: Syntax) -> bool:
    """Return whether a text has only space, comments and semicolons."""
    return next_place(sql, syntax, 0, ignore=r"[\s;]") == len(sql)


_MOST_COMMENTS = 1000
"""The most comments before the first word of a statement that is looked for."""
_WORD = re.compile(r"[\s(]*+(?P<word>[A-Za-z]*)")


def first_word(sql: str, syntax: Syntax) -> str:
    """Return the first word of a statement after blanks, comments and opening parentheses, in capitals. It is empty if
    there is no word, if only some versions of MariaDB or MySQL run it, or if very many comments stand before it."""
    place = 0
    for _ in range(_MOST_COMMENTS):
        word = _WORD.match(sql, place)
        if word is None or word["word"]:
            return word["word"].upper() if word else ""
        place = word.end()
        if not sql.startswith(_COMMENT_SIGNS, place):
            return ""
        match, end = next(scan(sql, pattern(syntax, _NOTHING), place), (None, 0))
        if match is None or match.start() != place:
            return ""
        place = end
    return ""


_ENDS = {
    "postgresql": r"(?P<open>\()|(?P<close>\))|(?P<end>;)",
    "mysql": r"(?P<open>/\*M?!)|(?P<close>\*/)|(?P<end>;)",
}
_BLOCKS = r"(?<![.\w$])(?P<word>(?i:BEGIN\s+ATOMIC|CASE|END))(?![\w$])"


def statement_end(sql: str, syntax: Syntax, start: int = 0, sign: str = ";") -> tuple[int, int] | None:
    """Find the end of the statement that begins at a place, and the place where the next may begin; ``None`` if the
    statement is unfinished.

    In PostgreSQL, a semicolon in parentheses, as in the commands of a rule, does not end a statement, and neither does
    one between BEGIN ATOMIC and its END: psql does the same (``psqlscan.l``). In SQLite, a trigger ends at a semicolon
    after an END that stands alone behind another semicolon: sqlite3_complete() does the same (``complete.c``).

    Parameters:
        sql: any number of statements.
        syntax: how the database reads.
        start: the place where the statement begins.
        sign: the text that ends it. Only MariaDB and MySQL, whose clients have DELIMITER, use another one than a
            semicolon.
    """
    kind = kind_of(syntax)
    ends = _ENDS.get(kind, r"(?P<end>;)")
    if sign != ";":
        ends = ends.replace("(?P<end>;)", f"(?P<end>{re.escape(sign)})")
    depth = blocks = 0
    scan_from = start
    creates: bool | None = None
    trigger: bool | None = None
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
                blocks, scan_from = _blocks_open(sql, syntax, scan_from, match.start(), blocks), match.end()
            if blocks:
                continue
        elif kind == "sqlite":
            if trigger is None:
                trigger = _defines_trigger(sql, syntax, start, match.start())
                scan_from = match.end() if trigger else scan_from
                if trigger:
                    continue
            elif not _is_only_end(sql, syntax, scan_from, match.start()):
                scan_from = match.end()
                continue
        return match.start(), match.end()
    return None


def _blocks_open(sql: str, syntax: Syntax, start: int, end: int, before: int) -> int:
    """Count the open blocks at the end of a part of a statement; ``before`` is their number at its beginning."""
    count = before
    for match, _ in scan(sql, pattern(syntax, _BLOCKS), start, end):
        if match["skip"] is None:
            word = match["word"].upper()
            if word == "END":
                count = max(0, count - 1)
            elif word != "CASE" or count:
                count += 1
    return count


_SPACE_OF_SQLITE = " \t\n\f\r"
_TOKEN_OF_SQLITE = rf"(?P<token>[\w$]++|[^{_SPACE_OF_SQLITE}])"


def _defines_trigger(sql: str, syntax: Syntax, start: int, end: int) -> bool:
    """Return whether a statement of SQLite begins with CREATE TRIGGER, or EXPLAIN and CREATE TRIGGER, in the eyes of
    sqlite3_complete()."""
    explains = creates = False
    for match, _ in scan(sql, pattern(syntax, _TOKEN_OF_SQLITE), start, end):
        if match["skip"] is not None:
            if _is_comment(sql, match.start()):
                continue
            word = ""
        else:
            word = match["token"].upper() if len(match["token"]) <= len("TEMPORARY") else ""
        if creates:
            if word not in ("TEMP", "TEMPORARY"):
                return word == "TRIGGER"
        elif word == "CREATE":
            creates = True
        elif not explains:
            if word != "EXPLAIN":
                return False
            explains = True
        elif word in ("EXPLAIN", "TEMP", "TEMPORARY", "TRIGGER", "END"):
            return False
    return False


def _is_only_end(sql: str, syntax: Syntax, start: int, end: int) -> bool:
    """Return whether a part of a statement of SQLite is the word END, and nothing else but comments."""
    words = 0
    for match, _ in scan(sql, pattern(syntax, _TOKEN_OF_SQLITE), start, end):
        if match["skip"] is not None and _is_comment(sql, match.start()):
            continue
        words += 1
        if match["skip"] is not None or words > 1 or match["token"].upper() != "END":
            return False
    return words == 1


def split(sql: str, syntax: Syntax) -> list[str]:
    """Split a text into statements with their semicolons, and leave out those that are empty or only comments."""
    pieces: list[str] = []
    start = 0
    while (ends := statement_end(sql, syntax, start)) is not None:
        pieces.append(sql[start : ends[1]])
        start = ends[1]
    pieces.append(sql[start:])
    return [piece.strip() for piece in pieces if not is_blank(piece, syntax)]


_DEFINING = re.compile(
    r"\s*(?:CREATE(?!\s+(?:OR\s+REPLACE\s+)?TEMPORARY)|DROP(?!\s+(?:TEMPORARY|PREPARE))|ALTER|TRUNCATE|RENAME|GRANT|"
    r"REVOKE|LOCK\s+TABLES?|(?:ANALYZE|CHECK|OPTIMIZE|REPAIR)\s+(?:LOCAL\s+|NO_WRITE_TO_BINLOG\s+)?TABLE)\b",
    re.IGNORECASE,
)


def commits_before(statement: str, syntax: Syntax) -> bool:
    """Return whether a statement of MariaDB or MySQL commits the transaction before it, by its first words, as those do
    that define tables (https://mariadb.com/kb/en/sql-statements-that-cause-an-implicit-commit/)."""
    return kind_of(syntax) == "mysql" and _DEFINING.match(bare(statement, syntax, most=200)) is not None


_COPY_WAY = re.compile(
    r"\s*+COPY\b\s*+(?P<query>\()?+.*?(?:\bFROM\s++(?P<in>STDIN)\b|\bTO\s++STDOUT\b)", re.IGNORECASE | re.DOTALL
)


def copy_direction(statement: str, syntax: Syntax = "postgresql") -> Literal["in", "out"] | None:
    """Return the direction of a COPY of PostgreSQL, seen from the database; ``None`` for any other statement."""
    if first_word(statement, syntax) != "COPY":
        return None
    parts, place = [], 0
    for match, end in scan(statement, pattern(syntax, _NOTHING)):
        parts += [statement[place : match.start()], " " if _is_comment(statement, match.start()) else '"x"']
        place = end
    match_copy = _COPY_WAY.match("".join([*parts, statement[place:]]))
    if match_copy is None:
        return None
    return "in" if match_copy["in"] and not match_copy["query"] else "out"
