"""Guesses from the first word of a statement. They only choose between ways that are all correct; the database alone
decides what a statement may do."""

from __future__ import annotations

import re

from rpcwire.sql import first_word

_QUERIES = frozenset({"SELECT", "WITH", "VALUES", "TABLE"})
_CHANGES = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE"})
_KEEPING = _QUERIES | _CHANGES | {
    "CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME", "GRANT", "REVOKE", "SHOW", "DESC", "DESCRIBE", "EXPLAIN",
    "ANALYZE", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "LOCK", "UNLOCK", "USE", "KILL", "OPTIMIZE",
    "CHECK", "REPAIR", "FLUSH",
}  # fmt: skip
_RETURNING = re.compile(r"\bRETURNING\b", re.IGNORECASE)


def is_query(sql: str, dialect: str = "") -> bool:
    """Whether a statement seems to be one that only reads, so that its rows may stay unread."""
    return first_word(sql, dialect) in _QUERIES


def is_change(sql: str, dialect: str = "") -> bool:
    """Whether a statement seems to be one that changes the rows that it gives or counts."""
    word = first_word(sql, dialect)
    return word in _CHANGES or (word == "WITH" and _RETURNING.search(sql) is not None)


def may_set(sql: str, dialect: str = "") -> bool:
    """Whether the first word of a statement says that it may change settings of the connection. A function that it
    calls may change them, too."""
    return first_word(sql, dialect) not in _KEEPING
