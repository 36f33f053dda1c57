"""What the first word of a statement suggests. It only chooses between ways that are all right: what a statement may do
is decided by the database, never here."""

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
    """Whether a statement is, to all appearances, one that reads and whose rows may be left unread."""
    return first_word(sql, dialect) in _QUERIES


def is_change(sql: str, dialect: str = "") -> bool:
    """Whether a statement is, to all appearances, one that changes the rows that it gives or counts."""
    word = first_word(sql, dialect)
    return word in _CHANGES or (word == "WITH" and _RETURNING.search(sql) is not None)


def may_set(sql: str, dialect: str = "") -> bool:
    """Whether a statement may change settings of the connection, as far as its first word tells; a function that it
    calls may, too."""
    return first_word(sql, dialect) not in _KEEPING
