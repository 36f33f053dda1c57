"""PostgreSQL by psycopg 3. Each statement goes by the extended protocol, which takes exactly one, and its rows arrive
in chunks as the reader takes them: nothing is loaded whole, and one trip is enough for a small result."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from sys import getsizeof
from typing import Any, ClassVar

import psycopg
from psycopg import AsyncRawCursor
from psycopg.abc import PQGen
from psycopg.generators import execute, fetch, send
from psycopg.postgres import types as pg_types
from psycopg.pq import ConnStatus, ExecStatus, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult
from sqlalchemy import URL, PoolProxiedConnection

from rpcservices.database.config import DatabaseConfig
from rpcservices.database.errors import DatabaseNotSupportedError, DatabaseOperationalError
from rpcservices.database.failures import translate_error
from rpcservices.database.hints import is_query
from rpcservices.database.models import Column, ColumnType, Description, Isolation, TxState
from rpcservices.database.placeholders import Style, step_at, translate

from .base import Cursor, Link, Params, parameters_of
from .postgresql_connection import StoppingConnection
from .postgresql_describe import described, kept, reads_only
from .postgresql_nullable import nullability
from .postgresql_params import Values
from .postgresql_portal import PortalCursor
from .postgresql_values import Cells, Converting, register
from .slices import FIRST_ROWS, ROOM_BYTES

CHUNK_ROWS = 8
"""Rows that the driver holds at a time: few, since they may be wide, and it cannot be told otherwise midway."""

_BEGIN_READING, _FIRST_QUERY = b"BEGIN READ ONLY", b"SELECT 1"
_ONLY_READS = b"SELECT pg_catalog.set_config('transaction_read_only', 'on', true)"
_CHUNK = ExecStatus.TUPLES_CHUNK
_NARROW_BYTES = 4 * 1024
"""After a row as narrow as this, whatever has arrived is taken at once."""
_WIDE_BYTES = 64 * 1024
"""A row as wide as this is not kept while the next are on their way."""

_KINDS = {
    ColumnType.INTEGER: ("int2", "int4", "int8", "oid", "xid", "cid"),
    ColumnType.FLOAT: ("float4", "float8"),
    ColumnType.DECIMAL: ("numeric",),
    ColumnType.BOOLEAN: ("bool",),
    ColumnType.BYTES: ("bytea",),
    ColumnType.DATE: ("date",),
    ColumnType.TIME: ("time", "timetz"),
    ColumnType.DATETIME: ("timestamp",),
    ColumnType.DATETIME_TZ: ("timestamptz",),
    ColumnType.DURATION: ("interval",),
    ColumnType.UUID: ("uuid",),
    ColumnType.JSON: ("json", "jsonb"),
}
_TYPE_OF = {name: kind for kind, names in _KINDS.items() for name in names}

_PRIVILEGED = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_roles g
    WHERE (pg_has_role(current_user, g.oid, 'MEMBER') OR pg_has_role(session_user, g.oid, 'MEMBER'))
    AND (g.rolsuper
         OR g.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
         OR g.rolcreaterole AND current_setting('server_version_num')::int < 160000
         OR EXISTS (
             SELECT FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace
             AND p.proname IN ('pg_read_file', 'pg_read_binary_file', 'lo_import', 'lo_export')
             AND has_function_privilege(g.oid, p.oid, 'EXECUTE'))))
"""
"""Whether the role reaches the machine's files, itself or as one that it may become. Before PostgreSQL 16, CREATEROLE
was enough to become a member of the roles that do."""


@lru_cache(maxsize=512)
def _column(name: str, oid: int, modifier: int) -> Column:
    info = pg_types.get(oid)
    if info is None:
        return Column(name, ColumnType.TEXT, _type_name(oid))
    if info.array_oid == oid:
        return Column(name, ColumnType.ARRAY, _type_name(oid))
    precision = scale = None
    if info.name == "numeric" and modifier >= 4:
        precision, scale = (modifier - 4) >> 16, (((modifier - 4) & 0x7FF) ^ 1024) - 1024
    return Column(name, _TYPE_OF.get(info.name, ColumnType.TEXT), info.name, None, precision, scale)


def _columns(result: PGresult) -> tuple[Column, ...]:
    return tuple(
        _column((result.fname(i) or b"").decode(), result.ftype(i), result.fmod(i)) for i in range(result.nfields)
    )


def _type_name(oid: int) -> str:
    info = pg_types.get(oid)
    return f"oid {oid}" if info is None else f"{info.name}[]" if info.array_oid == oid else info.name


def _ready(connection: PGconn, limit: int) -> PQGen[list[PGresult]]:
    """Wait for the next result, and take those that have arrived with it, until they hold about ``limit`` rows."""
    found: list[PGresult] = []
    result: PGresult | None = yield from fetch(connection)
    most = limit // CHUNK_ROWS
    while result is not None:
        found.append(result)
        # The last of a statement leaves none behind, and must not be waited for here.
        if result.status != _CHUNK or len(found) > most or connection.is_busy():
            break
        result = connection.get_result()
    return found


def _rest(driver: psycopg.AsyncConnection[Any]) -> PQGen[PGresult | None]:
    """Take the results that are still to come and leave the pipeline; the last of them, or the first error."""
    connection = driver.pgconn
    piped = connection.pipeline_status != PipelineStatus.OFF
    last: PGresult | None = None
    while True:
        result = yield from fetch(connection)
        if result is None:
            if not piped or connection.status == ConnStatus.BAD:
                return last
        elif result.status == ExecStatus.PIPELINE_SYNC:
            connection.exit_pipeline_mode()
            return last
        elif last is None or last.status != ExecStatus.FATAL_ERROR:
            last = result


def _simple(driver: psycopg.AsyncConnection[Any], sql: bytes) -> PQGen[list[PGresult]]:
    """Run several statements; the results of all, up to the first error."""
    driver.pgconn.send_query(sql)
    results: list[PGresult] = yield from execute(driver.pgconn)
    return results


def _no_copy(step: int | None = None) -> DatabaseNotSupportedError:
    return DatabaseNotSupportedError(
        "COPY from and to the client is not offered: use executemany or stream", executed="no", step=step
    )


def _cleaned(driver: psycopg.AsyncConnection[Any]) -> PQGen[None]:
    """End the transaction and forget all that the last user set, in one trip."""
    connection = driver.pgconn
    connection.enter_pipeline_mode()
    for command in (b"ROLLBACK", b"DISCARD ALL"):
        connection.send_query_params(command, None)
        connection.pipeline_sync()
    yield from send(connection)
    synchronized = 0
    while synchronized < 2:
        result = yield from fetch(connection)
        if connection.status == ConnStatus.BAD:
            raise psycopg.OperationalError("the connection is lost")
        if result is not None and result.status == ExecStatus.PIPELINE_SYNC:
            synchronized += 1
        elif result is not None and result.status == ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result)
    connection.exit_pipeline_mode()


def _translated(sql: str, params: Params) -> tuple[str, Values | None]:
    if params is None:
        return sql, None
    statement = translate(sql, "postgresql", "numeric_dollar", isinstance(params, Mapping))
    return statement.sql, Values(statement, params)


class _Chunks(Converting):
    """Psycopg's cursor, taken chunk by chunk. It uses what psycopg's own ``stream()`` uses."""

    def send(self, sql: bytes, params: Sequence[Any] | None, size: int) -> PQGen[PGresult | None]:
        """Send a statement; the first of its results."""
        yield from self._start_query(sql)
        self._execute_send(self._convert_query(sql, params), force_extended=True)
        self._pgconn.set_chunked_rows_mode(size)
        yield from send(self._pgconn)
        result: PGresult | None = yield from fetch(self._pgconn)
        return result

    def send_behind(
        self, before: Sequence[bytes], sql: bytes, params: Sequence[Any] | None, size: int
    ) -> PQGen[PGresult | None]:
        """Send commands and behind them a statement, in one trip; the first of the statement's results."""
        yield from self._start_query(sql)
        query = self._convert_query(sql, params)
        connection = self._pgconn
        connection.enter_pipeline_mode()
        for command in before:
            connection.send_query_params(command, None)
        self._execute_send(query, force_extended=True)
        connection.pipeline_sync()
        yield from send(connection)
        for _ in before:
            while (result := (yield from fetch(connection))) is not None:
                if result.status == ExecStatus.FATAL_ERROR:
                    yield from _rest(self._conn)
                    raise self.failure(result)
        connection.set_chunked_rows_mode(size)
        found: PGresult | None = yield from fetch(connection)
        return found

    def cells(self) -> Cells:
        """What reads the rows of the statement."""
        return Cells(self._conn, self._tx)

    def failure(self, result: PGresult) -> psycopg.Error:
        """The exception for a result that is an error."""
        return psycopg.errors.error_from_result(result, encoding=self._encoding)


class PostgresCursor(Cursor):
    """A statement under way in PostgreSQL.

    Parameters:
        link: where it runs.
        cancels: whether closing it early may cancel it, which undoes it and fails its transaction; otherwise the rest
            is read and dropped.
    """

    def __init__(self, link: PostgresLink, *, cancels: bool) -> None:
        self._link = link
        self._connection = link.driver
        self.whole = not cancels
        self._chunks = _Chunks(link.driver)
        self._cells: Cells | None = None
        self._pending: list[tuple[Any, ...]] | None = None
        self._arrived: deque[PGresult] = deque()
        self._result: PGresult | None = None
        self._at = 0
        self._width = ROOM_BYTES // FIRST_ROWS
        self._done = False

    async def start(self, sql: str, params: Sequence[Any] | None, size: int, *, before: Sequence[bytes]) -> None:
        """Send the statement, behind commands that go along with it, and wait for its first rows."""
        text, chunks = sql.encode(), self._chunks
        sending = chunks.send_behind(before, text, params, size) if before else chunks.send(text, params, size)
        result = await self._connection.wait(sending)
        try:
            self._pending = await self._take(result, first=True)
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
                self.columns, self._cells = _columns(result), self._chunks.cells()
            self._cells.use(result)
            self._result, self._at = result, 0
            rows = self._load()
            if status == ExecStatus.TUPLES_CHUNK:
                return rows
            while self._result is not None:
                rows += self._load()
        elif status in (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH):
            raise _no_copy()
        elif status not in (ExecStatus.COMMAND_OK, ExecStatus.EMPTY_QUERY):
            await self._drain()
            raise self._chunks.failure(result)
        self.rowcount = -1 if result.command_tuples is None else result.command_tuples
        await self._drain()
        return rows

    def _load(self) -> list[tuple[Any, ...]]:
        """Rows of the result at hand, as many as their width allows."""
        assert self._result is not None
        assert self._cells is not None
        most = self._result.ntuples
        end = min(most, self._at + max(1, ROOM_BYTES // self._width))
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
        arrived = self._arrived.pop() if self._arrived else None
        self._arrived.clear()
        last = await self._connection.wait(_rest(self._connection))
        last = last or arrived
        self._done = True
        return last

    async def fetch(self, limit: int) -> list[tuple[Any, ...]]:
        if self._pending is not None:
            rows, self._pending = self._pending, None
            return rows
        rows = []
        if not (self._done or self._arrived or self._result):
            self._arrived.extend(await self._connection.wait(_ready(self._connection.pgconn, limit)))
        if self._arrived and self._width < _NARROW_BYTES and not self._result:
            assert self._cells is not None
            rows = self._cells.narrow(self._arrived)
            self._width = 1 + sum(map(getsizeof, rows[-1])) if rows else self._width
        while (self._result or self._arrived) and len(rows) < limit and len(rows) * self._width < ROOM_BYTES:
            rows += self._load() if self._result else await self._take(self._arrived.popleft())
        return rows

    async def close(self) -> None:
        self._pending = self._result = None
        if self._done:
            return
        if not self.whole:
            if all(result.status == _CHUNK for result in self._arrived):
                await self._connection.cancel_safe(timeout=5.0)
            await self._drain()
            self._link.was_cancelled()  # The request may yet hit what comes next.
            await self._link.settle()
            return
        last = await self._drain()
        if last is not None and last.status == ExecStatus.FATAL_ERROR:
            raise self._chunks.failure(last)
        if last is not None and last.command_tuples is not None:
            self.rowcount = last.command_tuples


class PostgresLink(Link):
    """A connection to PostgreSQL."""

    dialect: ClassVar[str] = "postgresql"
    style: Style = "numeric_dollar"
    cancel_safe: ClassVar[bool] = True

    def __init__(self, connection: PoolProxiedConnection, config: DatabaseConfig, *, readonly: bool) -> None:
        super().__init__(connection, config, readonly=readonly)
        driver = connection.driver_connection
        assert isinstance(driver, psycopg.AsyncConnection)
        self.driver: psycopg.AsyncConnection[Any] = driver
        self._used = False
        self._interrupted = False
        self._guarded = False
        self._reads = readonly
        self._portal: PortalCursor | None = None
        self._begun: Any = None

    @classmethod
    def engine_options(cls, url: URL, config: DatabaseConfig, *, readonly: bool) -> tuple[URL, dict[str, Any]]:
        options = "-c default_transaction_read_only=on" if readonly else ""
        given = url.query.get("options", "")
        return url.difference_update_query(["options"]), {
            "connect_timeout": max(1, round(config.connect_timeout_s)),
            "options": f"{given} {options}".strip(),
            "application_name": "rpcserver",
            "async_creator_fn": StoppingConnection.connect,
        }

    async def prepare(self) -> None:
        driver = self.driver
        await driver.set_autocommit(True)
        driver.prepare_threshold = None
        register(driver.adapters)
        if not self.config.allow_privileged_role:
            cursor = await driver.execute(_PRIVILEGED)
            row = await cursor.fetchone()
            if row is None or row[0]:
                raise DatabaseOperationalError(
                    "the role, or one that it may become, may read files or run programs on the database's machine: "
                    "use a role without that, or set allow_privileged_role",
                    executed="no",
                )

    async def execute(self, sql: str, params: Params, first: int) -> Cursor:
        text, arguments = _translated(sql, params)
        # What only guards a statement that stands alone is thrown away with it, and may be cancelled.
        return await self._started(text, arguments, first, cancels=self._guarded)

    async def _started(self, sql: str, arguments: Values | None, first: int, *, cancels: bool) -> Cursor:
        self._used = True
        cursor = PostgresCursor(self, cancels=cancels)
        before = self._before()
        try:
            await cursor.start(sql, arguments, max(2, min(first, CHUNK_ROWS)), before=before)
        except DatabaseNotSupportedError:
            self.broken = True  # The connection is in the midst of a COPY.
            raise
        return cursor

    def _before(self) -> tuple[bytes, ...]:
        """What has to go before the next statement, so that only reading is possible in it. It is a query, which fixes
        the mode: before one, SET TRANSACTION READ WRITE would be obeyed. And the transaction may be one that has just
        begun, by COMMIT AND CHAIN, or by ABORT AND CHAIN, which forgets how a failed one was begun."""
        if self._guarded:
            self._guarded = False
            return (_BEGIN_READING, _FIRST_QUERY)
        status = self.driver.info.transaction_status
        if status == TransactionStatus.IDLE:
            self._reads = self.readonly
        return (_ONLY_READS,) if self._reads and status == TransactionStatus.INTRANS else ()

    async def stream(self, sql: str, params: Params, first: int) -> Cursor:
        text, arguments = _translated(sql, params)
        query = is_query(sql)
        if query and self.driver.info.transaction_status == TransactionStatus.INTRANS:
            self._used = True
            for command in self._before():
                await self.driver.execute(command)
            self._portal = PortalCursor(self.driver, _columns)
            if await self._portal.start(text.encode(), arguments, max(2, min(first, CHUNK_ROWS))):
                return self._portal
        return await self._started(text, arguments, first, cancels=self._guarded or (query and self._alone()))

    def _alone(self) -> bool:
        return self.driver.info.transaction_status == TransactionStatus.IDLE

    async def execute_many(self, sql: str, sets: Sequence[Params]) -> int:
        self._used = True
        if not sets or sets[0] is None:
            return 0
        statement = translate(sql, "postgresql", "numeric_dollar", isinstance(sets[0], Mapping))
        rows = [Values(statement, one or [], row) for row, one in enumerate(sets)]
        for command in self._before():
            await self.driver.execute(command)
        async with AsyncRawCursor(self.driver) as cursor:
            try:
                await cursor.executemany(statement.sql.encode(), rows)
            except Exception as exc:
                if getattr(exc, "sqlstate", None) is not None:
                    raise
                raise next(filter(None, (row.refusal(self.driver) for row in rows)), exc) from None
            return cursor.rowcount

    async def run_script(self, sql: str) -> list[int]:
        self._used = True
        results = await self.driver.wait(_simple(self.driver, sql.encode()))
        last = results[-1]
        if last.status == ExecStatus.FATAL_ERROR:
            error = psycopg.errors.error_from_result(last, encoding="utf-8")
            step = len(results) - 1
            if step == 0 and error.diag.statement_position:  # The whole text was not understood.
                step = step_at(sql, self.dialect, int(error.diag.statement_position))
            raise translate_error(error, step=step)
        if last.status in (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH):
            self.broken = True  # The connection is in the midst of it.
            raise _no_copy(step=len(results) - 1)
        return [-1 if result.command_tuples is None else result.command_tuples for result in results]

    async def mark(self) -> None:
        self._begun = await self._begun_at()

    async def is_marked(self) -> bool:
        return bool(await self._begun_at() == self._begun)

    async def _begun_at(self) -> Any:
        """When the transaction began, which tells it from one that a script has begun after it."""
        cursor = await self.driver.execute("SELECT now()::text")
        return await cursor.fetchone()

    def explained(self, sql: str, *, analyze: bool) -> str:
        return f"EXPLAIN (ANALYZE, BUFFERS) {sql}" if analyze else f"EXPLAIN {sql}"

    async def describe(self, sql: str) -> Description:
        self._used = True
        if self._guarded:
            self._guarded = False
            await self.begin(None, readonly=True)
        statement, parameters = parameters_of(sql, "postgresql", "numeric_dollar")
        async with kept(self.driver):
            query = statement.sql.encode()
            found = await self.driver.wait(described(self.driver, query))
            readonly = await reads_only(self.driver, statement.sql)
        nullable: list[bool | None] = [None] * found.nfields
        async with kept(self.driver):
            if readonly is not False:
                nullable = await nullability(self.driver, found, query, planned=readonly is True)
        types = [found.param_type(index) for index in range(found.nparams)]
        columns = [replace(column, nullable=known) for column, known in zip(_columns(found), nullable, strict=True)]
        return Description(
            [replace(known, db_type=_type_name(oid)) for known, oid in zip(parameters, types, strict=False)],
            columns,
            readonly=readonly,
        )

    async def guard(self) -> None:
        # The session's default would not do: DO $$ ... COMMIT; INSERT ... $$ could lift it midway.
        self._guarded = self.readonly  # It goes along with the statement.

    async def begin(self, isolation: Isolation | None, *, readonly: bool) -> None:
        self._used = True
        level = f" ISOLATION LEVEL {isolation.value.upper()}" if isolation else ""
        self._reads = readonly or self.readonly
        if self._reads:
            await self.driver.execute(f"BEGIN{level} READ ONLY; SELECT 1")
        else:
            await self.driver.execute(f"BEGIN{level} READ WRITE")

    async def commit(self) -> None:
        await self._command("COMMIT")

    async def rollback(self) -> None:
        if self.driver.info.transaction_status != TransactionStatus.IDLE:
            await self._command("ROLLBACK")

    def tx_state(self) -> TxState:
        status = self.driver.info.transaction_status
        if status == TransactionStatus.IDLE:
            return TxState.NONE
        if status == TransactionStatus.INERROR:
            return TxState.FAILED
        return TxState.ENDED if status == TransactionStatus.UNKNOWN else TxState.ACTIVE

    async def interrupt(self) -> None:
        self._interrupted = True
        if self._portal is not None:
            self._portal.stopped = True
        await self.driver.cancel_safe(timeout=5.0)

    def was_cancelled(self) -> None:
        self._interrupted = True  # psycopg has asked the server to stop.

    def must_reset(self) -> bool:
        return self._used

    async def settle(self) -> None:
        driver = self.driver
        if driver.info.transaction_status == TransactionStatus.ACTIVE:
            await driver.cancel_safe(timeout=5.0)
            await driver.wait(_rest(driver))
        elif driver.pgconn.pipeline_status != PipelineStatus.OFF:
            await driver.wait(_rest(driver))
        if self._interrupted:
            await self._absorb_cancel()
            self._interrupted = False

    async def reset(self) -> None:
        await self.settle()
        await self.driver.wait(_cleaned(self.driver))
        self._guarded = False
        self._reads = self.readonly
        self._used = False

    async def _absorb_cancel(self) -> None:
        """A request to cancel that came too late for its statement hits this one instead."""
        try:
            await self.driver.execute("SELECT 1")
        except psycopg.Error:
            if self.driver.info.transaction_status == TransactionStatus.UNKNOWN:
                raise
