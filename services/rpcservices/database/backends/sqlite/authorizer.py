"""Decides what a statement may do in SQLite. SQLite's parser asks these functions; nobody guesses from the text.

Source: https://sqlite.org/c3ref/set_authorizer.html and https://sqlite.org/c3ref/c_alter_table.html
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from .pragmas import RefusedPragma, is_allowed

Authorizer = Callable[[int, str | None, str | None, str | None, str | None], int]

_READING = frozenset({
    sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE, sqlite3.SQLITE_SAVEPOINT,
})  # fmt: skip

_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", "fsdir", "lsdir"})
"""Functions that reach beyond the database."""

_OK, _DENY = sqlite3.SQLITE_OK, sqlite3.SQLITE_DENY


def _pragma(name: str | None, argument: str | None, *, writing: bool, session: bool = False) -> int:
    return _OK if is_allowed(name or "", argument, writing=writing, session=session) else _DENY


def authorize_reading(
    action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
) -> int:
    """Allow only reading. Nobody is told here how a transaction begins: BEGIN IMMEDIATE would lock the file, so that
    nobody else could write. So this denies the beginning, and :func:`authorize_begin` allows one that locks nothing."""
    if action in _READING or (action == sqlite3.SQLITE_TRANSACTION and first != "BEGIN"):
        return _OK
    if action == sqlite3.SQLITE_FUNCTION:
        return _DENY if (second or "").lower() in _FUNCTIONS else _OK
    if action == sqlite3.SQLITE_PRAGMA:
        return _pragma(first, second, writing=False)
    return _DENY


def authorize_begin(
    action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
) -> int:
    """Allow that a transaction begins, and nothing else."""
    return _OK if action == sqlite3.SQLITE_TRANSACTION and first == "BEGIN" else _DENY


def authorize_describing(
    action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
) -> int:
    """Allow what only reads, and the beginning of a transaction, for a statement that does not run."""
    if authorize_begin(action, first, second, database, trigger) == _OK:
        return _OK
    return authorize_reading(action, first, second, database, trigger)


def authorize_writing(
    action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
) -> int:
    """Allow everything within the database: no other file, no extension, no setting of the connection."""
    if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
        return _DENY
    if action == sqlite3.SQLITE_FUNCTION:
        return _DENY if (second or "").lower() in _FUNCTIONS else _OK
    if action == sqlite3.SQLITE_PRAGMA:
        return _pragma(first, second, writing=True)
    return _OK


def authorize_vacuum(
    action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
) -> int:
    """Allow what :func:`authorize_writing` allows, and the nameless temporary database that VACUUM attaches while it
    runs (VACUUM INTO names a file). Use it only for statements that attach nothing themselves."""
    if action == sqlite3.SQLITE_ATTACH and first == "":
        return _OK
    return authorize_writing(action, first, second, database, trigger)


def authorize_session(
    action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
) -> int:
    """Allow what :func:`authorize_writing` allows, and settings of the connection, which only the session uses."""
    if action == sqlite3.SQLITE_PRAGMA:
        return _pragma(first, second, writing=True, session=True)
    return authorize_writing(action, first, second, database, trigger)


def authorize_reading_session(
    action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
) -> int:
    """Allow what :func:`authorize_reading` allows, and settings of the connection, which only the session uses."""
    if action == sqlite3.SQLITE_PRAGMA:
        return _pragma(first, second, writing=False, session=True)
    return authorize_reading(action, first, second, database, trigger)


def ignoring_pragmas(authorizer: Authorizer, refusals: list[RefusedPragma]) -> Authorizer:
    """Make an authorizer for a PRAGMA. One that may not run does nothing if it needs no error.

    Parameters:
        authorizer: decides what is allowed.
        refusals: gets each PRAGMA that is not allowed.
    """

    def authorize(action: int, first: str | None, second: str | None, database: str | None, trigger: str | None) -> int:
        verdict = authorizer(action, first, second, database, trigger)
        if action != sqlite3.SQLITE_PRAGMA or verdict != _DENY:
            return verdict
        pragma = RefusedPragma((first or "").lower(), second, database)
        refusals.append(pragma)
        return sqlite3.SQLITE_IGNORE if pragma.is_ignored else _DENY

    return authorize
