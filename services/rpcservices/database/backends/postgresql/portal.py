"""A query within a transaction of PostgreSQL, read through a cursor of the database. Whoever has read enough closes it,
and the transaction goes on; to cancel a statement would fail the transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.abc import PQGen
from psycopg.generators import fetch, send
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from rpcservices.database.backends.base import Cursor
from rpcservices.database.errors import DatabaseOperationalError

from .columns import columns_of, with_dimensions
from .connection import StoppingConnection
from .cursor import strayed
from .pipeline import end_part, sync
from .types import Types, oids_of
from .values import Cells, Converting

_NAME = b'"rpc rows"'
"""No savepoint or cursor of a client is called so: those of :meth:`Link.savepoint` have no blank."""


class _Statement(Converting):
    """Psycopg's cursor, which converts the parameters."""

    def declared(self, sql: bytes, params: Sequence[Any] | None, size: int) -> PQGen[list[PGresult]]:
        """Declare the cursor and fetch from it, in one trip; a savepoint undoes what fails before the first row."""
        yield from self._start_query(sql)
        query = self._convert_query(b"DECLARE " + _NAME + b" NO SCROLL CURSOR FOR " + sql, params)
        connection = self._pgconn
        connection.enter_pipeline_mode()
        connection.send_query_params(b"SAVEPOINT " + _NAME, None)
        self._execute_send(query, force_extended=True)
        connection.send_query_params(b"RELEASE SAVEPOINT " + _NAME, None)
        connection.send_query_params(_fetching(size), None)
        sync(self.driver)
        yield from send(connection)
        results: list[PGresult] = []
        while True:
            result = yield from fetch(connection)
            if connection.status == ConnStatus.BAD:
                raise psycopg.OperationalError("the connection is lost")
            if result is not None and result.status == ExecStatus.PIPELINE_SYNC:
                end_part(self.driver)
                return results
            if result is not None:
                results.append(result)

    def command(self, sql: bytes) -> PQGen[PGresult]:
        """Run a command and take its one result."""
        self._pgconn.send_query_params(sql, None)
        yield from send(self._pgconn)
        found: PGresult | None = None
        while (result := (yield from fetch(self._pgconn))) is not None:
            found = result
        if found is None:
            raise psycopg.OperationalError("the connection is lost")
        if found.status == ExecStatus.FATAL_ERROR:
            raise self.failure(found)
        return found


def _fetching(count: int) -> bytes:
    return b"FETCH FORWARD %d FROM %s" % (count, _NAME)


class PortalCursor(Cursor):
    """A query under way, of which the database makes no more than is fetched.

    Parameters:
        connection: a connection in a transaction.
        types: what is known of its types.
    """

    def __init__(self, connection: StoppingConnection, types: Types) -> None:
        self._connection = connection
        self._types = types
        self._statement = _Statement(connection)
        self._cells: Cells | None = None
        self._pending: list[tuple[Any, ...]] | None = None
        self._found = 0
        self.open = False
        self.stopped = False
        """Whether it was interrupted: it fetches no more."""

    async def start(self, sql: bytes, params: Sequence[Any] | None, size: int) -> bool:
        """Declare it and fetch the first rows.

        Returns:
            Whether it did; otherwise the statement is none that has a cursor, or is wrong, and nothing has happened.
        """
        results = await self._connection.wait(self._statement.declared(sql, params, size))
        last = results[-1]
        if len(results) == 4 and last.status == ExecStatus.TUPLES_OK:
            self.open = True
            if unknown := self._types.unknown(oids_of(last)):
                await self._types.learn(unknown, self._connection)
            self.columns = columns_of(last, self._types, self._connection.pgconn)
            self.without_columns = not self.columns
            self._pending = await self._taken(last, size)
            self.columns = with_dimensions(self.columns, self._pending)
            return True
        failed = next(result for result in results if result.status == ExecStatus.FATAL_ERROR)
        if results.index(failed) != 1:
            raise self._statement.failure(failed)
        for command in (b"ROLLBACK TO SAVEPOINT ", b"RELEASE SAVEPOINT "):
            await self._connection.wait(self._statement.command(command + _NAME))
        return False

    async def _taken(self, result: PGresult, asked: int) -> list[tuple[Any, ...]]:
        self._found += result.ntuples
        if result.ntuples < asked:
            self.rowcount = self._found
            await self.close()
        if not self._connection.speaks_utf8:
            await self.close()
            raise strayed()
        if self._cells is None:
            self._cells = self._statement.cells()
        return self._cells.all(result)

    async def fetch(self, limit: int) -> list[tuple[Any, ...]]:
        if self._pending is not None:
            rows, self._pending = self._pending, None
            return rows
        if not self.open:
            return []
        if self.stopped:
            raise DatabaseOperationalError("the statement was stopped", sqlstate="57014")
        return await self._taken(await self._connection.wait(self._statement.command(_fetching(limit))), limit)

    async def close(self) -> None:
        if self.open:
            self.open = False
            if self._connection.info.transaction_status == TransactionStatus.INTRANS:
                await self._connection.wait(self._statement.command(b"CLOSE " + _NAME))
