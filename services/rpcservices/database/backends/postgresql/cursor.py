"""A statement of PostgreSQL under way. Its rows arrive in chunks as the reader takes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from sys import getsizeof
from typing import Any, Protocol

import psycopg
from psycopg.abc import PQGen
from psycopg.generators import fetch, send
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from rpcservices.database.backends.base import Cursor
from rpcservices.database.backends.slices import FIRST_ROWS, ROOM_BYTES
from rpcservices.database.errors import DatabaseNotSupportedError

from .columns import KnownColumns, with_dimensions
from .connection import CANCEL_WAIT_S
from .pipeline import COPYING, rest_of, send_behind, sync
from .types import Types, oids_of
from .values import TURN_ARRAY_NODES, Cells, Converting

CHUNK_ROWS = 8
"""Rows that the driver holds at a time. Few, since they may be wide, and the number cannot change midway."""

_CHUNK = ExecStatus.TUPLES_CHUNK
_NARROW_BYTES = 4 * 1024
"""If rows are narrower than this, all that have arrived are taken at once."""
_WIDE_BYTES = 64 * 1024
"""If rows are wider than this, none is kept while the next ones are read."""


def _ready(connection: PGconn, limit: int) -> PQGen[list[PGresult]]:
    """Wait for the next result, and take it with the others that have arrived, about ``limit`` rows at most."""
    results: list[PGresult] = []
    result: PGresult | None = yield from fetch(connection)
    most = limit // CHUNK_ROWS
    while result is not None:
        results.append(result)
        # No result follows the last one of a statement, so nothing may wait for one here.
        if result.status != _CHUNK or len(results) > most or connection.is_busy():
            break
        result = connection.get_result()
    return results


def _size_of(result: PGresult) -> int:
    return sum(
        len(result.get_value(row, column) or b"") for row in range(result.ntuples) for column in range(result.nfields)
    )


def no_copy(step: int | None = None) -> DatabaseNotSupportedError:
    """The error for a COPY whose data the client would have to send or to read."""
    return DatabaseNotSupportedError(
        "COPY from and to the client goes by copy_in and copy_out", executed="no", step=step
    )


def encoding_changed() -> DatabaseNotSupportedError:
    """The error for rows of a statement that has changed the encoding, so that nobody knows how to read them."""
    return DatabaseNotSupportedError(
        "client_encoding: a statement that gives rows has set it, and text is sent as UTF-8: leave it out"
    )


class Chunks(Converting):
    """Psycopg's cursor, taken chunk by chunk, for one statement after another. It uses what psycopg's own ``stream()``
    uses."""

    def send(self, sql: bytes, params: Sequence[Any] | None, size: int) -> PQGen[PGresult | None]:
        """Send a statement. Returns the first of its results."""
        yield from self._start_query(sql)
        self._execute_send(self._convert_query(sql, params), force_extended=True)
        self._pgconn.set_chunked_rows_mode(size)
        yield from send(self._pgconn)
        result: PGresult | None = yield from fetch(self._pgconn)
        return result

    def _last_words(self) -> Exception | None:
        """The server's reason for closing the connection; ``None`` where it gave none."""
        result = self._pgconn.get_result() if self.driver.closed else None
        return None if result is None or result.status != ExecStatus.FATAL_ERROR else self.failure(result)

    def send_between(
        self, before: Sequence[bytes], sql: bytes, params: Sequence[Any] | None, size: int, behind: Sequence[bytes]
    ) -> PQGen[PGresult | None]:
        """Send commands, a statement, and more commands in one trip. The commands behind the statement run even if it
        fails, and their answers wait to be read. Returns the first of the statement's results."""
        yield from self._start_query(sql)
        query = self._convert_query(sql, params)
        driver, connection = self.driver, self._pgconn
        try:
            connection.enter_pipeline_mode()
            for command in before:
                connection.send_query_params(command, None)
            self._execute_send(query, force_extended=True)
            sync(driver)
            send_behind(driver, behind)
            yield from send(connection)
        except psycopg.OperationalError as exc:
            raise self._last_words() or exc from None
        for _ in before:
            while (result := (yield from fetch(connection))) is not None:
                if result.status == ExecStatus.FATAL_ERROR:
                    failure = self.failure(result)
                    with suppress(psycopg.OperationalError):  # The connection is lost: the failure tells why.
                        yield from rest_of(driver)
                    raise failure
        connection.set_chunked_rows_mode(size)
        first_result: PGresult | None = yield from fetch(connection)
        return first_result


class Learning(Protocol):
    """The link to which a cursor belongs."""

    is_broken: bool
    types: Types
    known_columns: KnownColumns

    async def learn(self, oids: list[int], *, free: bool) -> None:
        """Look up types.

        Parameters:
            oids: their numbers.
            free: whether the last statement has been read to its end.
        """
        ...

    def was_cancelled(self) -> None:
        """Note that a request to stop may still be under way."""
        ...

    async def settle(self) -> None:
        """Bring the connection to where the next statement can run."""
        ...


class PostgresCursor(Cursor):
    """A statement under way in PostgreSQL.

    Parameters:
        link: where it runs.
        chunks: of the link's connection.
        cancels: whether closing it early may cancel the statement, which undoes it and fails its transaction; otherwise
            closing it reads and drops the rest.
    """

    def __init__(self, link: Learning, chunks: Chunks, *, cancels: bool) -> None:
        self._link = link
        self._connection = chunks.driver
        self.whole = not cancels
        self._chunks = chunks
        self._cells: Cells | None = None
        self._pending: list[tuple[Any, ...]] | None = None
        self._results: deque[PGresult] = deque()
        self._result: PGresult | None = None
        self._at = 0
        self._width = ROOM_BYTES // FIRST_ROWS
        self._is_over = False
        self._done = False

    async def start(
        self,
        sql: str,
        params: Sequence[Any] | None,
        size: int,
        *,
        before: Sequence[bytes] = (),
        behind: Sequence[bytes] = (),
    ) -> None:
        """Send the statement together with commands before and behind it, and wait for its first rows."""
        text, chunks = sql.encode(), self._chunks
        if before:
            sending = chunks.send_between(before, text, params, size, behind)
        else:
            sending = chunks.send(text, params, size)
        result = await self._connection.wait(sending)
        try:
            self._pending = await self._take(result, first=True)
            if self._cells is not None and self._cells.has_arrays:
                self.columns = with_dimensions(self.columns, self._pending)
        except DatabaseNotSupportedError:
            raise
        except Exception:
            await self.close()
            raise

    async def _take(self, result: PGresult | None, *, first: bool = False) -> list[tuple[Any, ...]]:
        assert result is not None
        status = result.status
        rows: list[tuple[Any, ...]] = []
        if status in (ExecStatus.TUPLES_CHUNK, ExecStatus.TUPLES_OK):
            if first or self._cells is None:
                known = self._link.known_columns.find(result)
                if known is None:
                    await self._learn(result)
                    known = self._link.known_columns.learn(result)
                self.columns, arrays = known
                self._cells = self._chunks.cells(arrays)
                self.without_columns = not self.columns
            self._cells.use(result)
            self._result, self._at = result, 0
            rows = self._load()
            if status == ExecStatus.TUPLES_CHUNK:
                return rows
            while self._result is not None:
                rows += self._load()
        elif status in COPYING:
            raise no_copy()
        elif status not in (ExecStatus.COMMAND_OK, ExecStatus.EMPTY_QUERY):
            failure = self._chunks.failure(result)
            with suppress(psycopg.OperationalError):  # The connection is lost: the failure tells why.
                await self._drain()
            self._done = True
            raise failure
        self.rowcount = -1 if result.command_tuples is None else result.command_tuples
        await self._drain()
        if self.gives_rows and not self._connection.speaks_utf8:
            raise encoding_changed()
        return rows

    async def _learn(self, first: PGresult) -> None:
        """Look up the unknown types of the columns. The connection can answer only after all rows have arrived, so they
        are held until then. If there is not room for all, the rest stays unread, and another connection is asked."""
        unknown = self._link.types.unknown(oids_of(first))
        if not unknown:
            return
        last, held_bytes = first, _size_of(first)
        while last.status == _CHUNK and held_bytes < ROOM_BYTES:
            fresh = await self._connection.wait(_ready(self._connection.pgconn, CHUNK_ROWS))
            self._results.extend(fresh)
            last = fresh[-1]
            held_bytes += sum(map(_size_of, fresh))
        if last.status != _CHUNK:
            await self._connection.wait(rest_of(self._connection))
            self._is_over = True
        await self._link.learn(unknown, free=self._is_over and last.status != ExecStatus.FATAL_ERROR)

    def _load(self) -> list[tuple[Any, ...]]:
        """Convert rows of the current result, as many as their width allows."""
        assert self._result is not None
        assert self._cells is not None
        most = self._result.ntuples
        end = self._cells.fitting(self._at, min(most, self._at + max(1, ROOM_BYTES // self._width)))
        rows = self._cells.rows(self._at, end)
        self._at = end
        if rows:
            self._width = 1 + sum(map(getsizeof, rows[-1]))
        if end >= most:
            self._result = None
            if self._width > _WIDE_BYTES:
                self._cells.use(None)
        return rows

    async def _drain(self) -> PGresult | None:
        result = self._results.pop() if self._results else None
        self._results.clear()
        last = None if self._is_over else await self._connection.wait(rest_of(self._connection))
        self._done = True
        return last or result

    async def fetch(self, limit: int) -> list[tuple[Any, ...]]:
        if self._pending is not None:
            rows, self._pending = self._pending, None
            return rows
        rows = []
        cells = self._cells
        if cells is not None:
            await cells.give_way()
        if not (self._done or self._results or self._result):
            self._results.extend(await self._connection.wait(_ready(self._connection.pgconn, limit)))
        if self._results and self._width < _NARROW_BYTES and not self._result:
            assert cells is not None
            rows = [] if cells.has_arrays else cells.narrow(self._results)
            self._width = 1 + sum(map(getsizeof, rows[-1])) if rows else self._width
        while (self._result or self._results) and len(rows) < limit and len(rows) * self._width < ROOM_BYTES:
            rows += self._load() if self._result else await self._take(self._results.popleft())
            if cells is not None and cells.array_nodes >= TURN_ARRAY_NODES:
                break
        return rows

    async def close(self) -> None:
        self._pending = self._result = None
        if self._done:
            return
        if not self.whole:
            try:
                await self._cancel()
            except psycopg.OperationalError:
                self._link.is_broken = True  # The connection is lost, and the statement with it.
            return
        last = await self._drain()
        if last is not None and last.status == ExecStatus.FATAL_ERROR:
            raise self._chunks.failure(last)
        if last is not None and last.command_tuples is not None:
            self.rowcount = last.command_tuples

    async def _cancel(self) -> None:
        if all(result.status == _CHUNK for result in self._results):
            await self._connection.cancel_safe(timeout=CANCEL_WAIT_S)
        await self._drain()
        self._link.was_cancelled()  # The request may still reach the next statement.
        await self._link.settle()
