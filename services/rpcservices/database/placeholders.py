r"""Translates the placeholders of SQL into the driver's: ``:name`` with a dictionary, ``?`` with a list. ``?1`` is the
first value of the list, in every place where it stands; a ``?`` behind it stands for the value after the highest number
so far, as in SQLite (https://sqlite.org/lang_expr.html#varparam).

Strings, quoted names, comments and dollar quotes stay as they are, and so does a colon after another colon or a letter
(``x::int``, ``a[1:2]``). ``\:`` stands for a colon, and ``??`` for a question mark.
PostgreSQL also takes its own ``$1`` with a list.

Settings of the connection also decide what is quoted: see :data:`rpcwire.sql.Syntax`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rpcwire.caches import cache_small
from rpcwire.errors import InvalidParams
from rpcwire.sql import Syntax, pattern, scan, split

Style = Literal["numeric_dollar", "format", "qmark", "null"]
_NAMES = r"\\(?P<colon>:)|(?<![:\w\\]):(?P<name>[A-Za-z_]\w*)\b(?!:(?!:))"
_POSITIONAL = r"(?P<mark>\?\?|\?(?P<number>\d*))|(?P<dollar>\$\d+)"
_MOST = 65535
_TOUCHING = re.compile(r"[\w$@'\"`.]|[^\x00-\x7f]")
"""Characters that would become a part of a value beside them, in a statement that travels as text: ``e5`` behind a
1."""


def depends_on_syntax(sql: str) -> bool:
    """Whether the placeholders of a statement depend on settings of the connection."""
    return "\\" in sql or '"' in sql


_SIGNS: Mapping[Style, str] = {"format": "%s", "qmark": "?", "null": "NULL"}


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as a driver takes it.

    Attributes:
        sql: the text, with the driver's placeholders.
        names: the name of each placeholder; ``None`` where parameters go by position.
        count: the number of placeholders; if they are numbered, the highest number.
        others: an example of the other kind of placeholder, where the statement has only that kind; else empty.
        numbers: the number, from 1, of the value for each placeholder; ``None`` where they are in order.
    """

    sql: str
    names: tuple[str, ...] | None
    count: int
    others: str = ""
    numbers: tuple[int, ...] | None = None

    def place(self, index: int, row: int | None = None) -> str:
        """Where in the call the value for a placeholder was: ``params.id`` or ``params[0]``.

        Parameters:
            index: the number of the placeholder, from 0.
            row: the number of the set of parameters, where there are several.
        """
        start = "params" if row is None else f"params[{row}]"
        if self.names is not None:
            return f"{start}.{self.names[index]}"
        return f"{start}[{index if self.numbers is None else self.numbers[index] - 1}]"

    def arguments(self, params: Mapping[str, Any] | Sequence[Any]) -> list[Any]:
        """The values in the order of the placeholders.

        Raises:
            InvalidParams: one is missing or too many; ``errors`` names it.
        """
        if params and self.others:
            wanted_form = "names, in a dictionary" if self.names is None else "positions, in a list"
            raise _wrong(["params"], f"the statement has {self.others}: give the values by {wanted_form}")
        if self.names is None:
            if len(params) != self.count:
                values = count_of(len(params), "value")
                if self.numbers is not None:
                    raise _wrong(["params"], f"{values}, and the highest placeholder is ?{self.count}")
                raise _wrong(["params"], f"{values} for {count_of(self.count, 'placeholder')} '?'")
            assert not isinstance(params, Mapping)
            return list(params) if self.numbers is None else [params[number - 1] for number in self.numbers]
        assert isinstance(params, Mapping)
        for name in self.names:
            if name not in params:
                raise _wrong(["params", name], f"missing: the statement has :{name}")
        names = set(self.names)
        for name in params:
            if name not in names:
                raise _wrong(["params", name], f"the statement has no :{name}")
        return [params[name] for name in self.names]


def count_of(number: int, what: str) -> str:
    """``1 value``, ``2 values``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _wrong(loc: list[str], message: str) -> InvalidParams:
    return InvalidParams(f"{'.'.join(loc)}: {message}", errors=[{"loc": loc, "msg": message, "type": "placeholder"}])


def check_text(sql: str, *, loc: Sequence[str | int] = ("sql",)) -> None:
    """Refuse SQL that could not be sent as it is: databases read it up to the first NUL.

    Parameters:
        sql: one statement, or several.
        loc: its place in the call.

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


@cache_small(1024, 8192, lambda sql, *_, **__: len(sql))
def translate(sql: str, syntax: Syntax, style: Style, has_names: bool) -> Statement:
    """Replace the placeholders of a statement.

    Parameters:
        sql: the statement.
        syntax: how the database writes strings, names and comments, which stay as they are.
        style: the driver's placeholders: ``$1``, ``%s`` (other percent signs are doubled), ``?``, or the word NULL in
            their place.
        has_names: whether parameters come by name (``:name``) or by position (``?``).
    """
    if not has_names and style == "numeric_dollar":
        native = _native_count(sql, syntax)
        if native:
            return Statement(sql, None, native)
    names: list[str] = []
    order: list[int] = []
    out: list[str] = []
    position = highest = signs = 0
    places: dict[str | int, int] = {}
    double = style == "format"
    has_numbers = False
    for match, end in scan(sql, pattern(syntax, _NAMES if has_names else _POSITIONAL)):
        start = match.start()
        before, text = sql[position:start], sql[start:end]
        position = end
        groups = match.groupdict()
        key: str | int | None = groups.get("name")
        if groups.get("number") is not None:
            has_numbers = has_numbers or groups["number"] != ""
            key = _number(groups["number"]) if groups["number"] else highest + 1
            if not 1 <= key <= _MOST and has_numbers:
                raise _wrong(["sql"], f"?{groups['number'][:40] or key}: placeholders have numbers from 1 to {_MOST}")
            highest = max(highest, key)
        if key is not None:
            signs += 1
            if signs > _MOST:
                # No database takes so many, and whoever sends them would have everybody wait while they are counted.
                raise _wrong(["sql"], f"more than {_MOST} placeholders: give fewer values in each statement")
            again = key in places and style == "numeric_dollar"
            place = places.setdefault(key, len(places) + 1)
            if not again:
                names.append(key) if isinstance(key, str) else order.append(key)
            sign = f"${place}" if style == "numeric_dollar" else _SIGNS[style]
            sign = sign if style == "qmark" else _apart(sign, sql[start - 1 : start], sql[end : end + 1])
            out += [before.replace("%", "%%") if double else before, sign]
            continue
        if groups.get("colon"):
            text = ":"
        elif groups.get("mark") == "??":
            text = "?"
        out += [before.replace("%", "%%"), text.replace("%", "%%")] if double else [before, text]
    rest = sql[position:]
    out.append(rest.replace("%", "%%") if double else rest)
    count = len(names) if has_names else highest
    others = "" if count else _first_sign(sql, syntax, has_names=not has_names)
    return Statement(
        "".join(out), tuple(names) if has_names else None, count, others, tuple(order) if has_numbers else None
    )


def _apart(sign: str, before: str, behind: str) -> str:
    """Put a blank between a placeholder and the letters, digits and quotes beside it, which could become a part of the
    value."""
    return f"{' ' if _TOUCHING.match(before) else ''}{sign}{' ' if _TOUCHING.match(behind) else ''}"


def _first_sign(sql: str, syntax: Syntax, *, has_names: bool) -> str:
    """The first placeholder of a kind, ``:id`` or ``?``; empty where there is none."""
    for match, _ in scan(sql, pattern(syntax, _NAMES if has_names else _POSITIONAL)):
        groups = match.groupdict()
        if groups.get("name") is not None or groups.get("number") is not None:
            return match.group()
    return ""


def _native_count(sql: str, syntax: Syntax) -> int:
    """The highest number of PostgreSQL's own placeholders (``$1``). If there is one, question marks are operators."""
    numbers = (match.group("dollar") for match, _ in scan(sql, pattern(syntax, _POSITIONAL)))
    return max((_number(text[1:]) for text in numbers if text), default=0)


def _number(digits: str) -> int:
    """The number of a placeholder; one beyond :data:`_MOST` for any that is longer. int() refuses very long ones."""
    significant = digits.lstrip("0")
    return int(significant or 0) if len(significant) <= len(str(_MOST)) else _MOST + 1


def step_at(sql: str, syntax: Syntax, position: int) -> int:
    """The number, from 0, of the statement in a script that holds the character at a position, from 1."""
    return max(0, len(split(sql[:position], syntax)) - 1)
