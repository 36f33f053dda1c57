"""What a driver must know of a statement before it sends it: whether a transaction begins with it, and how large its
parameters are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rpcwire.sql import first_word

from .errors import ProgrammingError

Parameters = Sequence[Any] | Mapping[str, Any] | None
Sent = list[Any] | dict[str, Any] | None

MANY_ROWS = 2_000
"""Sets of parameters that :meth:`executemany` sends in one call, at most."""
MANY_BYTES = 512 * 1024
"""About how many bytes it sends in one call; a server takes messages of 1 MiB in JSON unless configured otherwise."""
_NODE_BYTES = 32
"""What each value and each name counts for besides its bytes. So a call has half as many of them, at most, as a server
takes in a message unless configured otherwise: 32,768."""
_TAGGED_BYTES = 4 * _NODE_BYTES
"""What a value counts for that JSON has no form of its own for: the wire writes an object around it."""

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


def sent(parameters: Parameters) -> Sent:
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


def _weight(value: Any) -> int:
    if isinstance(value, str):
        return len(value) * (1 if value.isascii() else 4) + _NODE_BYTES
    if value is None or isinstance(value, int | float):
        return _NODE_BYTES
    if isinstance(value, bytes | bytearray | memoryview):
        return len(value) * 4 // 3 + _TAGGED_BYTES
    if isinstance(value, Mapping):
        return sum(_weight(key) + _weight(item) for key, item in value.items()) + _NODE_BYTES
    if isinstance(value, list | tuple | set | frozenset):
        return sum(map(_weight, value)) + _NODE_BYTES
    return _TAGGED_BYTES


def portions(sets: Iterable[Parameters]) -> Iterator[list[Any]]:
    """Divide sets of parameters into portions, each of which fits into one call."""
    portion: list[Any] = []
    size = 0
    for one in sets:
        values = sent(one)
        weight = _weight(values)
        if portion and (size + weight > MANY_BYTES or len(portion) >= MANY_ROWS):
            yield portion
            portion, size = [], 0
        portion.append([] if values is None else values)
        size += weight
    if portion:
        yield portion
