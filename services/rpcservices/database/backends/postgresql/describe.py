"""Finds out what a statement in PostgreSQL takes and gives, and whether it only reads, without running it. In a
transaction a savepoint undoes everything, so that an error does not fail the transaction."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.abc import PQGen
from psycopg.generators import execute
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from rpcwire.sql import first_word

_POINT = b'"rpc described"'
_CHANGES = re.compile(r'"Node Type": "(?:ModifyTable|LockRows)"')
_UNKNOWN = frozenset({"DO", "CALL", "EXECUTE", "SET", "RESET", "FETCH", "MOVE", "BEGIN", "START", "DECLARE"})
"""What these do depends on a function, another statement or a setting."""


@asynccontextmanager
async def undo_afterwards(driver: psycopg.AsyncConnection[Any]) -> AsyncIterator[None]:
    """Undo whatever happens in a ``with`` block, an error included, and leave the transaction as it was."""
    if driver.info.transaction_status != TransactionStatus.INTRANS:
        yield
        return
    await driver.execute(b"SAVEPOINT " + _POINT)
    try:
        yield
    finally:
        if driver.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            await driver.execute(b"ROLLBACK TO SAVEPOINT " + _POINT)
            await driver.execute(b"RELEASE SAVEPOINT " + _POINT)


def describe_query(driver: psycopg.AsyncConnection[Any], query: bytes) -> PQGen[PGresult]:
    """Prepare a statement without a name, and ask what it takes and gives.

    Raises:
        psycopg.Error: PostgreSQL does not understand it.
    """
    connection = driver.pgconn
    connection.send_prepare(b"", query)
    (answer,) = yield from execute(connection)
    if answer.status != ExecStatus.COMMAND_OK:
        raise psycopg.errors.error_from_result(answer)
    connection.send_describe_prepared(b"")
    results: list[PGresult] = yield from execute(connection)
    return results[0]


async def reads_only(driver: psycopg.AsyncConnection[Any], sql: str) -> bool | None:
    """Whether a statement that PostgreSQL understands changes nothing; ``None`` where that is not known.

    Parameters:
        driver: the connection, in :func:`undo_afterwards`.
        sql: the statement, with PostgreSQL's own placeholders.
    """
    word = first_word(sql, "postgresql")
    if word == "SHOW":
        return True
    if word == "EXPLAIN":
        return None if re.search(r"\banaly[sz]e\b", sql, re.IGNORECASE) else True
    if driver.info.server_version < 160000:
        return None  # Before version 16 EXPLAIN needs the values of the parameters.
    try:
        cursor = await driver.execute(b"EXPLAIN (GENERIC_PLAN, FORMAT JSON) " + sql.encode())
        plan = await cursor.fetchone()
    except psycopg.errors.SyntaxError:
        return None if word in _UNKNOWN else False  # It cannot be explained, so it is not a query.
    return plan is None or not _CHANGES.search(str(plan[0]))
