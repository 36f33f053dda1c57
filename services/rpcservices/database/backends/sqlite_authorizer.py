"""What a statement may do in SQLite, decided by SQLite's own parser through its authorizer, not by looking at text.

Source: https://sqlite.org/c3ref/set_authorizer.html and https://sqlite.org/c3ref/c_alter_table.html
"""

from __future__ import annotations

import sqlite3

_READING = frozenset({
    sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE, sqlite3.SQLITE_TRANSACTION,
    sqlite3.SQLITE_SAVEPOINT,
})  # fmt: skip

_PRAGMAS = frozenset({
    "table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list",
    "foreign_key_check", "collation_list", "function_list", "module_list", "pragma_list", "compile_options",
    "database_list",
})  # fmt: skip
"""They only tell, whatever their argument."""

_TELLING = _PRAGMAS | {
    "user_version", "application_id", "schema_version", "data_version", "encoding", "foreign_keys", "journal_mode",
    "page_count", "page_size", "freelist_count", "integrity_check", "quick_check", "auto_vacuum", "cache_size",
    "synchronous", "case_sensitive_like", "recursive_triggers", "query_only", "busy_timeout", "read_uncommitted",
}  # fmt: skip
"""They tell where they have no argument."""

OF_THE_CONNECTION = {"foreign_keys": 1, "recursive_triggers": 0, "read_uncommitted": 0}
"""What a session may set for itself, and how a connection is given to the next user."""

_SETTING = frozenset({"user_version", "application_id", "defer_foreign_keys", "optimize", "wal_checkpoint"})
"""Where changes are allowed, these may be set: they belong to the database or the transaction, not the connection."""

_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", "fsdir", "lsdir"})
"""They reach beyond the database."""

_OK, _DENY = sqlite3.SQLITE_OK, sqlite3.SQLITE_DENY


def _pragma(name: str, argument: str | None, *, writing: bool) -> int:
    name = name.lower()
    if name in _PRAGMAS or (argument is None and name in _TELLING):
        return _OK
    return _OK if writing and name in _SETTING else _DENY


def authorize_reading(
    action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
) -> int:
    """Allow reading, and nothing else."""
    if action in _READING:
        return _OK
    if action == sqlite3.SQLITE_FUNCTION:
        return _DENY if (second or "").lower() in _FUNCTIONS else _OK
    if action == sqlite3.SQLITE_PRAGMA:
        return _pragma(first or "", second, writing=False)
    return _DENY


def authorize_writing(
    action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
) -> int:
    """Allow everything within the database: no other file, no extension, no setting of the connection."""
    if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
        return _DENY
    if action == sqlite3.SQLITE_FUNCTION:
        return _DENY if (second or "").lower() in _FUNCTIONS else _OK
    if action == sqlite3.SQLITE_PRAGMA:
        return _pragma(first or "", second, writing=True)
    return _OK


def authorize_vacuum(
    action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
) -> int:
    """Allow what writing allows, and the nameless temporary database that VACUUM attaches while it runs; VACUUM INTO
    names a file. Only for statements that attach nothing by themselves."""
    if action == sqlite3.SQLITE_ATTACH and first == "":
        return _OK
    return authorize_writing(action, first, second, database, trigger)


def authorize_session(
    action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
) -> int:
    """Allow what writing allows, and settings of the connection, which nobody else uses meanwhile."""
    if action == sqlite3.SQLITE_PRAGMA and (first or "").lower() in OF_THE_CONNECTION:
        return _OK
    return authorize_writing(action, first, second, database, trigger)
