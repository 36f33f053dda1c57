"""The parameters of a statement for PostgreSQL, and the error for one that cannot be sent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.types.json import Jsonb

from rpcservices.database.backends.parameters import json_text
from rpcservices.database.errors import DatabaseDataError
from rpcservices.database.placeholders import Statement

_NO_TYPE = re.compile(r"cannot adapt type '(\w+)'")
_REMEDIES = (
    ("cannot contain NUL", ": give bytes, for a bytea"),
    ("lists of mixed types", ": make them of one type, as an array is"),
)

_MOST = 65535
"""The most parameters that the protocol can count ("Message Formats" in PostgreSQL's manual: Bind)."""


class Arguments(list[Any]):
    """The parameters of a statement, in the order of its placeholders.

    Parameters:
        statement: the statement, which knows the name of each.
        params: the parameters, as the caller gave them.
        row: the number of this set of parameters, where there are several.

    Raises:
        DatabaseDataError: there are more than PostgreSQL takes.
    """

    def __init__(self, statement: Statement, params: Mapping[str, Any] | Sequence[Any], row: int | None = None) -> None:
        super().__init__(map(_adapt, statement.arguments(params)))
        if len(self) > _MOST:
            raise DatabaseDataError(
                f"params: {len(self)}, and PostgreSQL takes {_MOST} at most: give an array", executed="no"
            )
        self._statement = statement
        self._row = row

    def refusal(self, connection: psycopg.AsyncConnection[Any]) -> DatabaseDataError | None:
        """The error for the first that cannot be sent; ``None`` where all can."""
        for index, value in enumerate(self):
            try:
                Transformer(connection).get_dumper(value, PyFormat.AUTO).dump(value)
            except (psycopg.Error, TypeError, ValueError, OverflowError) as exc:
                return DatabaseDataError(f"{self._statement.place(index, self._row)}: {_explain(exc)}", executed="no")
        return None


_jsonb_text = partial(json_text, ascii_only=False)
"""This writes letters without escapes: in a database without an encoding (SQL_ASCII), jsonb takes none."""


def _adapt(value: Any) -> Any:
    if isinstance(value, dict):
        return Jsonb(value, dumps=_jsonb_text)
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return [_adapt(item) for item in value]
    return value


def _explain(exc: Exception) -> str:
    text = str(exc)
    if refusal := _NO_TYPE.match(text):
        return f"PostgreSQL takes no {refusal[1]}: give a number, text, bytes or a list"
    return text + next((remedy for sign, remedy in _REMEDIES if sign in text), "")
