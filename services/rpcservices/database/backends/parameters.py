"""The parameters of a statement, whichever the database."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from rpcservices.database.errors import DatabaseDataError
from rpcservices.database.models import ParameterInfo
from rpcservices.database.placeholders import Statement, Style, counted, translate
from rpcwire.sql import Syntax

Values = Mapping[str, Any] | Sequence[Any]
Params = Values | None


def converted(
    convert: Callable[[Any], Any],
    statement: Statement,
    params: Mapping[str, Any] | Sequence[Any],
    row: int | None = None,
) -> list[Any]:
    """Parameters as the driver takes them, in the order of the placeholders.

    Parameters:
        convert: makes one value what the driver takes.
        statement: with its placeholders translated.
        params: as the caller gave them.
        row: of several sets of parameters, which it is.

    Raises:
        DatabaseDataError: the database has nothing that holds one of them, which it names; nothing was executed.
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
        value: it.
        ascii_only: whether all other letters are written as escapes, which columns of any character set hold.

    Raises:
        TypeError: it holds what JSON has no type for.
        ValueError: it holds NaN or an infinity.
    """
    return json.dumps(value, allow_nan=False, ensure_ascii=ascii_only, default=_refuse)


def _refuse(value: Any) -> NoReturn:
    raise TypeError(f"JSON has no {type(value).__name__}: give a number or text")


def parameters_of(sql: str, syntax: Syntax, style: Style) -> tuple[Statement, list[ParameterInfo]]:
    """A statement with its placeholders translated, and what they are called: by name where there is a ``:name``."""
    named = translate(sql, syntax, style, named=True)
    if named.count:
        names = list(dict.fromkeys(named.names or ()))
        return named, [ParameterInfo(place, name) for place, name in enumerate(names, 1)]
    marks = translate(sql, syntax, style, named=False)
    return marks, [ParameterInfo(place) for place in range(1, marks.count + 1)]


def missing_parameters(sql: str, syntax: Syntax, style: Style) -> str | None:
    """What to add to the error of a statement without parameters that has placeholders; ``None`` where it has none."""
    _, parameters = parameters_of(sql, syntax, style)
    if not parameters:
        return None
    if parameters[0].name is None:
        return f"params: missing, for {counted(len(parameters), 'placeholder')} '?'"
    names = ", ".join(f":{parameter.name}" for parameter in parameters)
    return f"params.{parameters[0].name}: missing: the statement has {names}"
