"""What a driver must know of a statement before it sends it: whether a transaction begins with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rpcwire.sql import first_word

from .errors import ProgrammingError

Parameters = Sequence[Any] | Mapping[str, Any] | None
SentParameters = list[Any] | dict[str, Any] | None

_CHANGES = re.compile(r"\b(?:INSERT|UPDATE|DELETE|REPLACE)\b", re.IGNORECASE)
_BEGINNING_IN_SQLITE = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "SAVEPOINT"})
"""Outside of a transaction, a savepoint would begin one, which its release commits."""
_QUERIES = frozenset({"SELECT", "VALUES", "TABLE"})
_NO_SEQUENCES = (str, bytes, bytearray, set, frozenset)


def check_text(sql: object) -> None:
    """Refuse SQL that is not text.

    Raises:
        ProgrammingError: it is of another type.
    """
    if not isinstance(sql, str):
        raise ProgrammingError(f"operation: SQL is text, not {type(sql).__name__}: write a str")


def begins_transaction(sql: str, dialect: str) -> bool:
    """Whether a transaction is to begin with a statement, where none is open.

    In SQLite that is the first INSERT, UPDATE, DELETE or REPLACE, as in Python's own driver
    (https://docs.python.org/3/library/sqlite3.html#transaction-control-via-the-isolation-level-attribute): whoever only
    reads is in nobody's way, and what defines tables commits itself unless a transaction is open. Unlike there, such a
    word behind WITH counts, and so does SAVEPOINT. In other databases it is any statement.
    """
    if dialect != "sqlite":
        return True
    word = first_word(sql, dialect)
    return _CHANGES.search(sql) is not None if word == "WITH" else word in _BEGINNING_IN_SQLITE


def is_query(sql: str) -> bool:
    """Whether PostgreSQL can declare a cursor for a statement."""
    word = first_word(sql, "postgresql")
    return word in _QUERIES or (word == "WITH" and not _CHANGES.search(sql))


def to_params(parameters: Parameters) -> SentParameters:
    """Convert parameters to what the service accepts.

    Raises:
        ProgrammingError: they are neither a sequence nor a mapping of values.
    """
    if parameters is None:
        return None
    if isinstance(parameters, Mapping):
        return dict(parameters)
    if isinstance(parameters, _NO_SEQUENCES) or not isinstance(parameters, Iterable):
        kind = type(parameters).__name__
        raise ProgrammingError(f"parameters: a sequence or a mapping of values, not {kind}: write [x] for a single one")
    return list(parameters)


def to_param_sets(sets: Iterable[Parameters]) -> Iterator[list[Any] | dict[str, Any]]:
    """Convert each set of parameters to what the service accepts.

    Raises:
        ProgrammingError: as of :func:`to_params`.
    """
    return (values if (values := to_params(one)) is not None else [] for one in sets)
