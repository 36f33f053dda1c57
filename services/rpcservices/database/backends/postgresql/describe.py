"""What a statement takes and gives in PostgreSQL, and whether it only reads, without running it. Within a transaction a
savepoint keeps that whole, whatever PostgreSQL says of the statement."""

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
"""They do what a function, a statement or a setting makes of them."""


@asynccontextmanager
async def kept(driver: psycopg.AsyncConnection[Any]) -> AsyncIterator[None]:
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


def described(driver: psycopg.AsyncConnection[Any], query: bytes) -> PQGen[PGresult]:
    """Prepare a statement without a name, and ask what it takes and gives.

    Raises:
        psycopg.Error: PostgreSQL does not understand it.
    """
    connection = driver.pgconn
    connection.send_prepare(b"", query)
    (prepared,) = yield from execute(connection)
    if prepared.status != ExecStatus.COMMAND_OK:
        raise psycopg.errors.error_from_result(prepared)
    connection.send_describe_prepared(b"")
    results: list[PGresult] = yield from execute(connection)
    return results[0]


async def reads_only(driver: psycopg.AsyncConnection[Any], sql: str) -> bool | None:
    """Whether a statement that PostgreSQL understands changes nothing by itself; ``None`` where that is not known.

    Parameters:
        driver: the connection, in :func:`kept`.
        sql: the statement, with PostgreSQL's own placeholders.
    """
    word = first_word(sql, "postgresql")
    if word == "SHOW":
        return True
    if word == "EXPLAIN":
        return None if re.search(r"\banaly[sz]e\b", sql, re.IGNORECASE) else True
    if driver.info.server_version < 160000:
        return None  # There EXPLAIN needs the parameters' values.
    try:
        cursor = await driver.execute(b"EXPLAIN (GENERIC_PLAN, FORMAT JSON) " + sql.encode())
        plan = await cursor.fetchone()
    except psycopg.errors.SyntaxError:
        return None if word in _UNKNOWN else False  # No query: it cannot be explained.
    return plan is None or not _CHANGES.search(str(plan[0]))
