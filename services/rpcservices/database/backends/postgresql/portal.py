"""A query in a transaction of PostgreSQL, read through a cursor of the database. A reader that has read enough closes
the cursor, and the transaction goes on; cancelling a statement would fail the transaction."""

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

from .columns import arrays_of, columns_of, with_dimensions
from .connection import StoppingConnection
from .cursor import encoding_changed
from .pipeline import end_part, sync
from .types import Types, oids_of
from .values import Cells, Converting

_NAME = b'"rpc rows"'
"""The name of our savepoint and cursor. It has a blank; the names that :meth:`Link.savepoint` makes have none."""


class _Statement(Converting):
    """Psycopg's cursor, which converts the parameters."""

    def declare(self, sql: bytes, params: Sequence[Any] | None, size: int) -> PQGen[list[PGresult]]:
        """Declare the cursor and fetch from it, in one trip. A savepoint undoes an error before the first row."""
        yield from self._start_query(sql)
        query = self._convert_query(b"DECLARE " + _NAME + b" NO SCROLL CURSOR FOR " + sql, params)
        connection = self._pgconn
        connection.enter_pipeline_mode()
        connection.send_query_params(b"SAVEPOINT " + _NAME, None)
        self._execute_send(query, force_extended=True)
        connection.send_query_params(b"RELEASE SAVEPOINT " + _NAME, None)
        connection.send_query_params(_fetch_command(size), None)
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
        last: PGresult | None = None
        while (result := (yield from fetch(self._pgconn))) is not None:
            last = result
        if last is None:
            raise psycopg.OperationalError("the connection is lost")
        if last.status == ExecStatus.FATAL_ERROR:
            raise self.failure(last)
        return last


def _fetch_command(count: int) -> bytes:
    return b"FETCH FORWARD %d FROM %s" % (count, _NAME)


class PortalCursor(Cursor):
    """A query under way. The database computes only the rows that are fetched.

    Parameters:
        connection: a connection in a transaction.
        types: the known types of the database.
    """

    def __init__(self, connection: StoppingConnection, types: Types) -> None:
        self._connection = connection
        self._types = types
        self._statement = _Statement(connection)
        self._cells: Cells | None = None
        self._pending: list[tuple[Any, ...]] | None = None
        self._result: PGresult | None = None
        self._at = 0
        self._row_count = 0
        self.open = False
        self.is_stopped = False
        """Whether it was interrupted: it fetches no more."""

    async def start(self, sql: bytes, params: Sequence[Any] | None, size: int) -> bool:
        """Declare it and fetch the first rows.

        Returns:
            Whether it did. Otherwise a cursor cannot run this statement, or it is wrong; nothing has happened.
        """
        results = await self._connection.wait(self._statement.declare(sql, params, size))
        last = results[-1]
        if len(results) == 4 and last.status == ExecStatus.TUPLES_OK:
            self.open = True
            if unknown := self._types.unknown(oids_of(last)):
                await self._types.learn(unknown, self._connection)
            self.columns = columns_of(last, self._types, self._connection.pgconn)
            self.without_columns = not self.columns
            self._pending = await self._take(last, size)
            self.columns = with_dimensions(self.columns, self._pending)
            return True
        failure = next(result for result in results if result.status == ExecStatus.FATAL_ERROR)
        if results.index(failure) != 1:
            raise self._statement.failure(failure)
        for command in (b"ROLLBACK TO SAVEPOINT ", b"RELEASE SAVEPOINT "):
            await self._connection.wait(self._statement.command(command + _NAME))
        return False

    async def _take(self, result: PGresult, limit: int) -> list[tuple[Any, ...]]:
        self._row_count += result.ntuples
        if result.ntuples < limit:
            self.rowcount = self._row_count
            await self.close()
        if not self._connection.speaks_utf8:
            await self.close()
            raise encoding_changed()
        if self._cells is None:
            self._cells = self._statement.cells(arrays_of(self.columns))
        self._cells.use(result)
        self._result, self._at = result, 0
        return self._load()

    def _load(self) -> list[tuple[Any, ...]]:
        """Convert rows of the current result."""
        assert self._cells is not None
        assert self._result is not None
        most = self._result.ntuples
        begin, self._at = self._at, self._cells.fitting(self._at, most)
        if self._at >= most:
            self._result = None
        return self._cells.rows(begin, self._at)

    async def fetch(self, limit: int) -> list[tuple[Any, ...]]:
        if self._pending is not None:
            rows, self._pending = self._pending, None
            return rows
        if self._cells is not None:
            await self._cells.give_way()
        if self._result is not None:
            return self._load()
        if not self.open:
            return []
        if self.is_stopped:
            raise DatabaseOperationalError("the statement was stopped", sqlstate="57014")
        return await self._take(await self._connection.wait(self._statement.command(_fetch_command(limit))), limit)

    async def close(self) -> None:
        self._result = None
        if self.open:
            self.open = False
            if self._connection.info.transaction_status == TransactionStatus.INTRANS:
                await self._connection.wait(self._statement.command(b"CLOSE " + _NAME))
