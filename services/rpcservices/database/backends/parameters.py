"""The parameters of a statement, for every database."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from rpcservices.database.errors import DatabaseDataError
from rpcservices.database.models import ParameterInfo
from rpcservices.database.placeholders import Statement, Style, count_of, translate
from rpcwire.sql import Syntax

Values = Mapping[str, Any] | Sequence[Any]
Params = Values | None
_MOST_SEARCHED_CHARACTERS = 8192
"""The longest statement in which forgotten placeholders are looked for."""


def convert_params(
    convert: Callable[[Any], Any],
    statement: Statement,
    params: Mapping[str, Any] | Sequence[Any],
    row: int | None = None,
) -> list[Any]:
    """Convert parameters to what the driver takes, in the order of the placeholders.

    Parameters:
        convert: converts one value to what the driver takes.
        statement: the statement, with its placeholders translated.
        params: the parameters, as the caller gave them.
        row: the number of this set of parameters, where there are several.

    Raises:
        DatabaseDataError: no type of the database holds one of them; the message names it. Nothing was executed.
    """
    values = []
    for index, value in enumerate(statement.arguments(params)):
        try:
            values.append(convert(value))
        except (TypeError, ValueError, OverflowError) as exc:
            raise DatabaseDataError(f"{statement.place(index, row)}: {exc}", executed="no") from None
    return values


def json_text(value: Any, *, ascii_only: bool = True) -> str:
    """A list or dictionary as JSON.

    Parameters:
        value: the list or dictionary.
        ascii_only: whether to escape all characters outside ASCII, so that a column of any character set can hold the
            text.

    Raises:
        TypeError: it holds something for which JSON has no type.
        ValueError: it holds NaN or an infinity.
    """
    return json.dumps(value, allow_nan=False, ensure_ascii=ascii_only, default=_refuse)


def _refuse(value: Any) -> NoReturn:
    raise TypeError(f"JSON has no {type(value).__name__}: give a number or text")


def parameters_of(sql: str, syntax: Syntax, style: Style) -> tuple[Statement, list[ParameterInfo]]:
    """Translate the placeholders of a statement. Returns the statement and its parameters: by name where it has a
    ``:name``, else by position."""
    by_name = translate(sql, syntax, style, has_names=True)
    if by_name.count:
        names = list(dict.fromkeys(by_name.names or ()))
        return by_name, [ParameterInfo(place, name) for place, name in enumerate(names, 1)]
    marks = translate(sql, syntax, style, has_names=False)
    return marks, [ParameterInfo(place) for place in range(1, marks.count + 1)]


def missing_parameters(sql: str, syntax: Syntax, style: Style) -> str | None:
    """A text for the error of a statement that has placeholders but got no parameters; ``None`` where it has no
    placeholders, or is so long that everybody would wait while they are looked for."""
    if len(sql) > _MOST_SEARCHED_CHARACTERS:
        return None
    _, parameters = parameters_of(sql, syntax, style)
    if not parameters:
        return None
    if parameters[0].name is None:
        return f"params: missing, for {count_of(len(parameters), 'placeholder')} '?'"
    names = ", ".join(f":{parameter.name}" for parameter in parameters)
    return f"params.{parameters[0].name}: missing: the statement has {names}"
