"""Parameters on their way to PostgreSQL, and which of them cannot be sent."""

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
"""How many the protocol can count ("Message Formats" in PostgreSQL's manual: Bind)."""


class Arguments(list[Any]):
    """The parameters of a statement, in the order of its placeholders.

    Parameters:
        statement: it knows what each is called.
        params: as the caller gave them.
        row: of several sets of parameters, which it is.

    Raises:
        DatabaseDataError: there are more than PostgreSQL takes.
    """

    def __init__(self, statement: Statement, params: Mapping[str, Any] | Sequence[Any], row: int | None = None) -> None:
        super().__init__(map(_adapted, statement.arguments(params)))
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
                return DatabaseDataError(f"{self._statement.place(index, self._row)}: {_said(exc)}", executed="no")
        return None


_jsonb_text = partial(json_text, ascii_only=False)
"""Letters go as themselves: in a database without an encoding (SQL_ASCII), jsonb takes no escapes."""


def _adapted(value: Any) -> Any:
    if isinstance(value, dict):
        return Jsonb(value, dumps=_jsonb_text)
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return [_adapted(item) for item in value]
    return value


def _said(exc: Exception) -> str:
    text = str(exc)
    if found := _NO_TYPE.match(text):
        return f"PostgreSQL takes no {found[1]}: give a number, text, bytes or a list"
    return text + next((remedy for sign, remedy in _REMEDIES if sign in text), "")
