r"""What a script says that is read from standard input: statements as the three databases' own clients and dumps have
them, which hold more than SQL.

- MariaDB and MySQL: ``DELIMITER``; strings with bytes that are no text; ``SET sql_mode``, after which strings
  are read differently.
- PostgreSQL: the data of ``COPY … FROM stdin``, up to a line ``\.``; ``\restrict`` and ``\unrestrict``, which say
  nothing to anybody but psql.
- SQLite: nothing more; see :mod:`.sqlshadows` for its virtual tables.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

import click

from rpcwire.sql import (
    Syntax,
    bare,
    copy_direction,
    is_blank,
    kind_of,
    mysql_syntax,
    next_place,
    pattern,
    scan,
    statement_end,
)

from .sqltext import delimiter_at

_COPY_END = re.compile(r"^\\\.\r?$\n?", re.MULTILINE)
_REST_OF_LINE = re.compile(r"[^\n]*(?:\n|\Z)")
_META = re.compile(r"\\(?P<name>\S*+)[^\n]*+(?:\n|\Z)")
_DOT = re.compile(r"\.(?P<name>[a-z]++)\b[^\n]*+(?:\n|\Z)")
_OF_MARIADB = re.compile(
    r"(?P<name>charset|clear|connect|delimiter|edit|ego|exit|go|nopager|notee|nowarning|pager|print|prompt|quit|rehash|"
    r"source|status|system|tee|warnings)\b[^\n]*(?:\n|\Z)",
    re.IGNORECASE,
)
"""What begins no statement, but is a command of MariaDB's client (https://mariadb.com/kb/en/mariadb-command-line-client/)."""
_BACKSLASH = {"postgresql": r"(?P<command>\\(?:\w+|\S)?)", "mysql": r"(?P<command>\\(?![N-])(?:\w+|\S)?)"}
r"""Outside of what is quoted, a backslash begins a command of a client; ``\N`` is NULL of MariaDB, and ``\-`` is in the
first line of its dumps."""
_CLIENTS = {"postgresql": "psql", "mysql": "mariadb", "sqlite": "sqlite3"}
_OF_PSQL = frozenset({"restrict", "unrestrict"})
_HEADER_BYTES = 16_384
_ENCODING = re.compile(rb"^SET client_encoding = '(?P<name>[\w-]+)';", re.MULTILINE)
_CODECS = {
    "SQL_ASCII": "utf-8", "KOI8R": "koi8_r", "KOI8U": "koi8_u",
    **{f"WIN{page}": f"cp{page}" for page in (866, 874, 1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258)},
}  # fmt: skip
"""PostgreSQL's names of encodings, where Python does not know them
(https://www.postgresql.org/docs/current/multibyte.html)."""
_OTHER_QUOTES = frozenset({"ANSI", "DB2", "MAXDB", "MSSQL", "ORACLE", "POSTGRESQL"})
"""Of sql_mode, what stands for several modes, ANSI_QUOTES among them."""
_MOST = 2000
"""Characters of a statement, without comments, in which it says what it is."""


@dataclass(frozen=True, slots=True)
class Part:
    """A statement of a script.

    Attributes:
        sql: the statement, without what ends it.
        line: where it begins, from 1.
        data: what a COPY reads, in UTF-8; ``None`` where it reads nothing.
    """

    sql: str
    line: int
    data: bytes | None = None


def decode(data: bytes, dialect: str) -> str:
    """The text of a script: in UTF-8 unless a dump of PostgreSQL says otherwise. Bytes of MariaDB's dumps that are no
    text stay as surrogates (PEP 383).

    Raises:
        click.UsageError: it is in no encoding that is known.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    if kind_of(dialect) == "mysql":
        return data.decode("utf-8", "surrogateescape")
    match = _ENCODING.search(data, 0, _HEADER_BYTES) if kind_of(dialect) == "postgresql" else None
    name = "UTF8" if match is None else match["name"].decode()
    try:
        return data.decode(_CODECS.get(name.upper(), name))
    except LookupError:
        reason = f"it says that it is in {name}, which is not known here"
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        reason = f"line {line} is not in {name}"
    raise click.UsageError(f"standard input: {reason}: write it in UTF-8 (pg_dump --encoding=UTF8)")


class Script:
    """Splits a script into its statements.

    Parameters:
        text: the script.
        syntax: how the database reads it at first.
    """

    def __init__(self, text: str, syntax: Syntax) -> None:
        self._text = text
        self._syntax = syntax
        self._kind = kind_of(syntax)
        self._place = 0
        self._line_place = 0
        self._line = 1
        self._syntaxes: dict[str, Syntax] = {}

    def parts(self) -> Iterator[Part]:
        """The statements, in order.

        Raises:
            click.UsageError: something in it is for another client alone; the message names the line.
        """
        sign = ";"
        while self._place < len(self._text):
            if (command := delimiter_at(self._text, self._syntax, self._place)) is not None:
                self._place, sign = command
                continue
            if self._skip_line():
                continue
            start = self._place
            end, self._place = statement_end(self._text, self._syntax, start, sign) or (len(self._text),) * 2
            sql = self._text[start:end].strip()
            if is_blank(sql, self._syntax):
                continue
            begin = next_place(self._text, self._syntax, start)
            self._refuse_commands(begin, end)
            line = self._line_of(begin)
            yield Part(self._sendable(sql, line), line, self._data(sql))
            self._learn(sql)

    def _line_of(self, place: int) -> int:
        self._line += self._text.count("\n", self._line_place, place)
        self._line_place = place
        return self._line

    def _skip_line(self) -> bool:
        """Pass over a line that is for another client."""
        start = next_place(self._text, self._syntax, self._place)
        expression = {"postgresql": _META, "sqlite": _DOT, "mysql": _OF_MARIADB}.get(self._kind)
        line = expression.match(self._text, start) if expression else None
        if line is None:
            return False
        if self._kind != "postgresql" or line["name"] not in _OF_PSQL:
            raise self._of_a_client(line[0].split()[0].rstrip(";"), start)
        self._place = line.end()
        return True

    def _of_a_client(self, command: str, place: int) -> click.UsageError:
        return click.UsageError(
            f"line {self._line_of(place)}: {command} is a command of {_CLIENTS[self._kind]}, and not of SQL: leave it "
            "out; nothing has run"
        )

    def _refuse_commands(self, begin: int, end: int) -> None:
        """Refuse what stands for another client within a statement or behind it, such as ``\\g``."""
        if self._kind not in _BACKSLASH or self._text.find("\\", begin, end) < 0:
            return
        for match, _ in scan(self._text, pattern(self._syntax, _BACKSLASH[self._kind]), begin):
            if match.start() >= end:
                return
            if match["command"]:
                raise self._of_a_client(match["command"], match.start())

    def _data(self, sql: str) -> bytes | None:
        """What follows a COPY that reads from standard input."""
        if self._kind != "postgresql" or copy_direction(sql, self._syntax) != "in":
            return None
        rest = _REST_OF_LINE.match(self._text, self._place)
        start = len(self._text) if rest is None else rest.end()
        end = _COPY_END.search(self._text, start)
        stop, self._place = (len(self._text),) * 2 if end is None else end.span()
        return self._text[start:stop].encode()

    def _sendable(self, sql: str, line: int) -> str:
        """A statement of MariaDB with bytes as numbers: what is no text cannot travel as such."""
        if self._kind != "mysql" or sql.isascii():
            return sql
        if _BYTES.search(sql) is None:
            return sql
        parts, place = [], 0
        for match, end in scan(sql, pattern(self._syntax, r"(?!)")):
            text = match.group()
            if text[0] in self._string_quotes and _BYTES.search(text):
                inner = _unescape(text, escapes=self._syntax != "mysql plain")
                parts += [sql[place : match.start()], f" x'{inner.encode('utf-8', 'surrogateescape').hex()}'"]
                place = end
        sendable = "".join([*parts, sql[place:]])
        if not _is_text(sendable):
            raise click.UsageError(
                f"standard input: outside of the strings of the statement in line {line} are bytes that are no UTF-8: "
                "dump with --default-character-set=utf8mb4; nothing has run"
            )
        return sendable

    @property
    def _string_quotes(self) -> str:
        return "'" if self._syntax == "mysql ansi" else "'\""

    def _learn(self, sql: str) -> None:
        """Read strings as a statement tells the database to."""
        if self._kind == "mysql":
            words = bare(sql, self._syntax, most=_MOST)
            if _SETS.match(words):
                for match in _MODES.finditer(words):
                    self._set_mode(match)
        elif self._kind == "postgresql":
            setting = _CONFORMING.match(bare(sql, self._syntax, most=_MOST))
            if setting is not None:
                off = setting["value"].strip("'").lower() in ("off", "false", "no", "0")
                self._syntax = "postgresql escaping" if off else "postgresql"

    def _set_mode(self, match: re.Match[str]) -> None:
        if match["variable"]:
            self._syntaxes[match["variable"].lower()] = self._syntax
        elif match["from"]:
            self._syntax = self._syntaxes.get(match["from"].lower(), self._syntax)
        else:
            modes = (match["modes"] or match["twice"] or match["word"] or "").upper().split(",")
            self._syntax = mysql_syntax(",".join([*modes, *(["ANSI_QUOTES"] if _OTHER_QUOTES & set(modes) else [])]))


_SETS = re.compile(r"\s*SET\b", re.IGNORECASE)
_MODE = r"(?:@@)?(?:(?:SESSION|LOCAL)(?:\s+|\s*\.\s*))?sql_mode"
_MODES = re.compile(
    rf"@(?P<variable>\w+)\s*:?=\s*@@(?:(?:SESSION|LOCAL)\s*\.\s*)?sql_mode\b|"
    rf"(?<![\w@.]){_MODE}\s*:?=\s*(?:'(?P<modes>[^']*)'|\"(?P<twice>[^\"]*)\"|@(?P<from>\w+)|(?!DEFAULT\b)(?P<word>[A-Z]\w*+)(?!\s*\())",
    re.IGNORECASE,
)
_CONFORMING = re.compile(
    r"\s*SET\s+(?:SESSION\s+|LOCAL\s+)?standard_conforming_strings\s*(?:=|\bTO\b)\s*(?P<value>'?\w+'?)", re.IGNORECASE
)
_BYTES = re.compile("[\udc80-\udcff]")
"""Bytes that are no UTF-8 (PEP 383)."""
_ESCAPES = {"0": "\0", "n": "\n", "r": "\r", "t": "\t", "b": "\b", "Z": "\x1a"}
"""What a backslash makes of the letter after it (https://mariadb.com/kb/en/string-literals/)."""


def _is_text(sql: str) -> bool:
    try:
        sql.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unescape(literal: str, *, escapes: bool) -> str:
    """What a string says."""
    quote, inner = literal[0], literal[1:-1]
    escape = re.compile(rf"{quote}{quote}|\\(.)" if escapes else quote * 2, re.DOTALL)
    return escape.sub(lambda m: quote if m[0] == quote * 2 else _ESCAPES.get(m[1], m[1]), inner)
