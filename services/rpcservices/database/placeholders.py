r"""Parameters in SQL: ``:name`` with a dictionary, ``?`` with a list, translated into what a driver takes.

Strings, quoted names, comments and dollar quotes are left alone, and so is a colon after another colon or a letter
(``x::int``, ``a[1:2]``). A backslash before a colon, or a second question mark, makes the sign itself: ``\:``, ``??``.
PostgreSQL also takes its own ``$1`` with a list.

What is quoted depends on settings of the connection, too: see :data:`Syntax`.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from rpcwire.errors import InvalidParams

Style = Literal["numeric_dollar", "format", "qmark", "null"]
Syntax = str
"""How a database reads strings, names and comments: its dialect, and behind a blank what a setting makes different:

- ``mysql plain``: a backslash is a character like any other (sql_mode NO_BACKSLASH_ESCAPES);
- ``mysql ansi``: double quotes are around names, in which a backslash is a character (ANSI_QUOTES);
- ``postgresql escaping``: a backslash in any string escapes (standard_conforming_strings is off).
"""

_COMMENT = r"/\*.*?(?:\*/|\Z)"
_QUOTED = r"'(?:[^']|'')*(?:'|\Z)|\"(?:[^\"]|\"\")*(?:\"|\Z)"
_COMMON = rf"--[^\n]*|{_COMMENT}|{_QUOTED}"
_ESCAPED = r"'(?:[^'\\]|''|\\.)*(?:'|\Z)"
_ESCAPED_TWICE = r"\"(?:[^\"\\]|\"\"|\\.)*(?:\"|\Z)"
_POSTGRESQL = (
    r"(?<![\w$])\$(?P<tag>[A-Za-z_\x80-\uffff]?\w*)\$.*?(?:\$(?P=tag)\$|\Z)|"
    rf"--[^\n]*|(?P<nested>/\*)|{_QUOTED}"
)
_MYSQL = rf"\#[^\n]*|--(?=\s|\Z)[^\n]*|{_COMMENT}|`(?:[^`]|``)*(?:`|\Z)"
_SKIP: Mapping[Syntax, str] = {
    "postgresql": rf"\b[eE]{_ESCAPED}|{_POSTGRESQL}",
    "postgresql escaping": rf"{_ESCAPED}|{_POSTGRESQL}",
    "mysql": rf"{_MYSQL}|{_ESCAPED}|{_ESCAPED_TWICE}",
    "mysql ansi": rf"{_MYSQL}|{_ESCAPED}|{_QUOTED}",
    "mysql plain": rf"{_MYSQL}|{_QUOTED}",
    "sqlite": r"`(?:[^`]|``)*(?:`|\Z)|\[[^\]]*(?:\]|\Z)|" + _COMMON,
    "": _COMMON,
}
_NAMED = r"|\\(?P<colon>:)|(?<![:\w\\]):(?P<name>[A-Za-z_]\w*)\b(?!:(?!:))"
_POSITIONAL = r"|(?P<mark>\?\??)|(?P<dollar>\$\d+)"


def depends_on_syntax(sql: str) -> bool:
    """Whether a statement may have other placeholders where settings of the connection are others."""
    return "\\" in sql or '"' in sql


@lru_cache(maxsize=16)
def _pattern(syntax: Syntax, named: bool) -> re.Pattern[str]:
    skip = _SKIP.get("mysql" if syntax == "mariadb" else syntax, _SKIP[""])
    return re.compile(f"(?P<skip>{skip}){_NAMED if named else _POSITIONAL}", re.DOTALL)


def _signs(pattern: re.Pattern[str], sql: str) -> Iterator[tuple[re.Match[str], int]]:
    """What a pattern finds, and where each ends: PostgreSQL's comments hold comments, which no expression follows."""
    position = 0
    while (match := pattern.search(sql, position)) is not None:
        position = match.end()
        if match.groupdict().get("nested"):
            position = _comment_end(sql, match.start())
        yield match, position


def _comment_end(sql: str, start: int) -> int:
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(sql, start):
        depth += 1 if match.group() == "/*" else -1
        if depth == 0:
            return match.end()
    return len(sql)


_SIGNS: Mapping[Style, str] = {"format": "%s", "qmark": "?", "null": "NULL"}


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as a driver takes it.

    Attributes:
        sql: with the driver's placeholders.
        names: for each placeholder its name; ``None`` where parameters go by position.
        count: how many placeholders there are.
        others: where there are none, and some of the other kind instead: what they look like.
    """

    sql: str
    names: tuple[str, ...] | None
    count: int
    others: str = ""

    def place(self, index: int, row: int | None = None) -> str:
        """Where in the call the value for a placeholder was: ``params.id`` or ``params[0]``.

        Parameters:
            index: which placeholder, from 0.
            row: of several sets of parameters, which one.
        """
        start = "params" if row is None else f"params[{row}]"
        return f"{start}[{index}]" if self.names is None else f"{start}.{self.names[index]}"

    def arguments(self, params: Mapping[str, Any] | Sequence[Any]) -> list[Any]:
        """The values in the order of the placeholders.

        Raises:
            InvalidParams: one is missing or too many; ``errors`` names it.
        """
        if params and self.others:
            given = "names, in a dictionary" if self.names is None else "positions, in a list"
            raise _wrong(["params"], f"the statement has {self.others}: give the values by {given}")
        if self.names is None:
            if len(params) != self.count:
                values = counted(len(params), "value")
                raise _wrong(["params"], f"{values} for {counted(self.count, 'placeholder')} '?'")
            return list(params)
        assert isinstance(params, Mapping)
        for name in self.names:
            if name not in params:
                raise _wrong(["params", name], f"missing: the statement has :{name}")
        for name in params:
            if name not in self.names:
                raise _wrong(["params", name], f"the statement has no :{name}")
        return [params[name] for name in self.names]


def counted(number: int, what: str) -> str:
    """``1 value``, ``2 values``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _wrong(loc: list[str], message: str) -> InvalidParams:
    return InvalidParams(f"{'.'.join(loc)}: {message}", errors=[{"loc": loc, "msg": message, "type": "placeholder"}])


def check_text(sql: str, *, loc: Sequence[str | int] = ("sql",)) -> None:
    """Refuse SQL that could not be sent as it is: databases read it up to the first NUL.

    Parameters:
        sql: one statement, or several.
        loc: where it was in the call.

    Raises:
        InvalidParams: it names the place.
    """
    message = None
    if "\0" in sql:
        message = f"the character NUL, at {sql.index(chr(0))}, is not part of SQL: give it as a parameter"
    else:
        try:
            sql.encode()
        except UnicodeEncodeError as exc:
            message = f"no text: {exc}"
    if message is not None:
        path = ".".join(map(str, loc))
        raise InvalidParams(f"{path}: {message}", errors=[{"loc": list(loc), "msg": message, "type": "sql"}])


@lru_cache(maxsize=1024)
def translate(sql: str, syntax: Syntax, style: Style, named: bool) -> Statement:
    """Replace the placeholders of a statement.

    Parameters:
        sql: the statement.
        syntax: whose strings, names and comments to leave alone.
        style: the driver's placeholders: ``$1``, ``%s`` (other percent signs are doubled), ``?``, or the word NULL in
            their place.
        named: whether parameters come by name (``:name``) or by position (``?``).
    """
    if not named and style == "numeric_dollar":
        native = _native_count(sql, syntax)
        if native:
            return Statement(sql, None, native)
    names: list[str] = []
    out: list[str] = []
    count = position = 0
    numbers: dict[str, int] = {}
    double = style == "format"
    for match, end in _signs(_pattern(syntax, named), sql):
        before, text = sql[position : match.start()], sql[match.start() : end]
        position = end
        found = match.groupdict()
        if found.get("name") is not None:
            name = found["name"]
            if style == "numeric_dollar":
                number = numbers.setdefault(name, len(numbers) + 1)
                if number > len(names):
                    names.append(name)
                text, double_text = f"${number}", False
            else:
                names.append(name)
                text, double_text = _SIGNS[style], False
            count += 1
        elif found.get("mark") == "?":
            count += 1
            text, double_text = f"${count}" if style == "numeric_dollar" else _SIGNS[style], False
        else:
            double_text = double
            if found.get("colon"):
                text = ":"
            elif found.get("mark") == "??":
                text = "?"
        out += [before.replace("%", "%%") if double else before, text.replace("%", "%%") if double_text else text]
    rest = sql[position:]
    out.append(rest.replace("%", "%%") if double else rest)
    others = "" if count else _first_sign(sql, syntax, named=not named)
    return Statement("".join(out), tuple(names) if named else None, count, others)


def _first_sign(sql: str, syntax: Syntax, *, named: bool) -> str:
    """The first placeholder of a kind, ``:id`` or ``?``; nothing where there is none."""
    for match, _ in _signs(_pattern(syntax, named), sql):
        found = match.groupdict()
        if found.get("name") is not None or found.get("mark") == "?":
            return match.group()
    return ""


def _native_count(sql: str, syntax: Syntax) -> int:
    """The highest of PostgreSQL's own placeholders, ``$1``; where there is one, question marks are operators."""
    found = (match.group("dollar") for match, _ in _signs(_pattern(syntax, named=False), sql))
    return max((int(text[1:]) for text in found if text), default=0)


def statements(sql: str, syntax: Syntax) -> list[str]:
    """The statements of a script, at the semicolons that end one, without those that are empty or only comments."""
    found: list[str] = []
    start = 0
    pattern = re.compile(f"(?P<skip>{_SKIP.get(syntax, _SKIP[''])})|;", re.DOTALL)
    for match, end in _signs(pattern, sql):
        piece = sql[start:end]
        # SQLite knows where a trigger ends.
        if match.group() == ";" and (syntax != "sqlite" or sqlite3.complete_statement(piece)):
            found.append(piece)
            start = end
    found.append(sql[start:])
    return [piece.strip() for piece in found if _has_words(piece, syntax)]


def _has_words(piece: str, syntax: Syntax) -> bool:
    count = 1 if syntax.startswith("postgresql") else 0
    while count:
        piece, count = re.subn(r"/\*(?:(?!/\*|\*/).)*\*/", " ", piece, flags=re.DOTALL)
    # MariaDB and MySQL run what is in /*! */.
    comments = r"\#[^\n]*|/\*(?![!M]).*?(?:\*/|\Z)" if syntax.startswith("mysql") else r"/\*.*?(?:\*/|\Z)"
    return bool(re.sub(rf"--[^\n]*|{comments}|;|\s", "", piece, flags=re.DOTALL))


def step_at(sql: str, syntax: Syntax, position: int) -> int:
    """Which statement of a script, from 0, holds the character at a position, from 1."""
    return max(0, len(statements(sql[:position], syntax)) - 1)
