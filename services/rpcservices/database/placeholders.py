r"""Parameters in SQL: ``:name`` with a dictionary, ``?`` with a list, translated into what a driver takes.

Strings, quoted names, comments and dollar quotes are left alone, and so is a colon after another colon or a letter
(``x::int``, ``a[1:2]``). A backslash before a colon, or a second question mark, makes the sign itself: ``\:``, ``??``.
PostgreSQL also takes its own ``$1`` with a list.

What is quoted depends on settings of the connection, too: see :data:`rpcwire.sql.Syntax`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from rpcwire.errors import InvalidParams
from rpcwire.sql import Syntax, pattern, scan, split

Style = Literal["numeric_dollar", "format", "qmark", "null"]
_NAMED = r"\\(?P<colon>:)|(?<![:\w\\]):(?P<name>[A-Za-z_]\w*)\b(?!:(?!:))"
_POSITIONAL = r"(?P<mark>\?\??)|(?P<dollar>\$\d+)"


def depends_on_syntax(sql: str) -> bool:
    """Whether a statement may have other placeholders where settings of the connection are others."""
    return "\\" in sql or '"' in sql


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
    for match, end in scan(sql, pattern(syntax, _NAMED if named else _POSITIONAL)):
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
    for match, _ in scan(sql, pattern(syntax, _NAMED if named else _POSITIONAL)):
        found = match.groupdict()
        if found.get("name") is not None or found.get("mark") == "?":
            return match.group()
    return ""


def _native_count(sql: str, syntax: Syntax) -> int:
    """The highest of PostgreSQL's own placeholders, ``$1``; where there is one, question marks are operators."""
    found = (match.group("dollar") for match, _ in scan(sql, pattern(syntax, _POSITIONAL)))
    return max((int(text[1:]) for text in found if text), default=0)


def step_at(sql: str, syntax: Syntax, position: int) -> int:
    """Which statement of a script, from 0, holds the character at a position, from 1."""
    return max(0, len(split(sql[:position], syntax)) - 1)
