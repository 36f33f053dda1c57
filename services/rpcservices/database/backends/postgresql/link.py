"""PostgreSQL by psycopg 3. Each statement goes by the extended protocol, which takes exactly one, and its rows arrive
in chunks as the reader takes them: nothing is loaded whole, and one trip is enough for a small result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import psycopg
from psycopg import AsyncRawCursor
from psycopg.abc import PQGen
from psycopg.generators import execute
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.waiting import Ready
from sqlalchemy import URL, Dialect, PoolProxiedConnection

from rpcservices.database.apart import read_sql
from rpcservices.database.backends.base import CopyIn, CopyOut, Cursor, Link, log
from rpcservices.database.backends.parameters import Params, Values, parameters_of
from rpcservices.database.backends.sockets import has_ended, is_silent, unread
from rpcservices.database.config import DatabaseConfig
from rpcservices.database.errors import DatabaseNotSupportedError, DatabaseOperationalError
from rpcservices.database.failures import translate_error
from rpcservices.database.hints import is_query
from rpcservices.database.models import Description, Isolation, TxState
from rpcservices.database.placeholders import Style, step_at, translate
from rpcwire.sql import Syntax

from .columns import KnownColumns, columns_of, type_without_name
from .connection import CANCEL_WAIT_S, StoppingConnection, goodbye, readable
from .copy import PostgresCopyIn, PostgresCopyOut, begin
from .cursor import CHUNK_ROWS, Chunks, PostgresCursor, no_copy
from .describe import describe_query, reads_only, undo_afterwards
from .nullable import nullability
from .only_reads import command_for, tell_changes
from .params import Arguments
from .pipeline import CLEANING, COPYING, clean, rest_of, take_rest
from .portal import PortalCursor
from .privileges import reaches_beyond
from .types import Types, oids_of
from .values import failure_of, register

_BEGIN_READING, _FIRST_QUERY = b"BEGIN READ ONLY", b"SELECT 1"
_EXACT = "-c extra_float_digits=3"
"""Makes numbers keep all their digits, whatever the settings of the role are."""


def _simple(driver: psycopg.AsyncConnection[Any], sql: bytes) -> PQGen[list[PGresult]]:
    """Run several statements. Returns the results of all, up to the first error."""
    driver.pgconn.send_query(sql)
    results: list[PGresult] = yield from execute(driver.pgconn)
    return results


class PostgresLink(Link):
    """A connection to PostgreSQL."""

    dialect: ClassVar[str] = "postgresql"
    style: Style = "numeric_dollar"
    cancel_safe: ClassVar[bool] = True

    def __init__(self, connection: PoolProxiedConnection, config: DatabaseConfig, *, readonly: bool) -> None:
        super().__init__(connection, config, readonly=readonly)
        driver = connection.driver_connection
        assert isinstance(driver, StoppingConnection)
        self.driver = driver
        driver.take_behind = self._take_cleaning
        driver.add_notice_handler(self._hear)
        self.types = Types(driver)
        self.known_columns = KnownColumns(self.types, driver.pgconn)
        self._is_used = False
        self._is_guarded_once = False
        self._taking: PQGen[PGresult | None] | None = None
        self._is_interrupted = False
        self._is_guarded = False
        self._reads = readonly
        self._portal: PortalCursor | None = None
        self._copy: CopyIn | CopyOut | None = None
        self._transaction_start: Any = None
        self._goodbye: DatabaseOperationalError | None = None
        self._own_settings: tuple[bytes, ...] = ()
        self._only_reads = command_for(driver.info.server_version)

    @classmethod
    def engine_options(cls, url: URL, config: DatabaseConfig, *, readonly: bool) -> tuple[URL, dict[str, Any]]:
        options = f"{_EXACT} -c default_transaction_read_only=on" if readonly else _EXACT
        url_options = url.query.get("options", "")
        return url.difference_update_query(["options", "client_encoding"]), {
            "connect_timeout": max(1, round(config.connect_timeout_s)),
            "options": f"{url_options} {options}".strip(),
            "client_encoding": "UTF8",
            "application_name": "rpcserver",
            "async_creator_fn": StoppingConnection.connect,
        }

    @classmethod
    def teach(cls, dialect: Dialect) -> None:
        dialect.supports_native_json_deserialization = False  # JSON comes as text here, not as objects.
        # The loader of hstore must not depend on whether the type existed when the first connection was made.
        dialect.use_native_hstore = False  # type: ignore[attr-defined]

    async def prepare(self) -> None:
        driver = self.driver
        await driver.set_autocommit(True)
        driver.prepare_threshold = None
        register(driver.adapters)
        self._chunks = Chunks(driver)
        self._own_settings = readable(driver)
        for command in self._own_settings:
            await driver.execute(command)
        await self.types.learn_all()
        if not self.config.allow_privileged_role and await reaches_beyond(driver):
            raise DatabaseOperationalError(
                "the role, or one that it may become, may read files or run programs on the database's machine: "
                "use a role without that, or set allow_privileged_role",
                executed="no",
            )

    @property
    def syntax(self) -> Syntax:
        off = self.driver.pgconn.parameter_status(b"standard_conforming_strings") == b"off"
        return "postgresql escaping" if off else "postgresql"

    async def _speak_utf8(self) -> None:
        """Make the server read the client's next statement as UTF-8, whatever the client has set. In a failed
        transaction nothing can be set, and the server accepts only the end of the transaction."""
        driver = self.driver
        if not driver.speaks_utf8 and driver.info.transaction_status != TransactionStatus.INERROR:
            await driver.execute(b"SET client_encoding TO 'UTF8'")

    async def _translate(self, sql: str, params: Params) -> tuple[str, Arguments | None]:
        if params is None:
            return sql, None
        try:
            statement = await read_sql(translate, sql, self.syntax, "numeric_dollar", isinstance(params, Mapping))
            return statement.sql, Arguments(statement, params)
        except Exception:
            self._is_guarded = self._is_guarded_once = False  # This guard was for this statement only.
            raise

    async def execute(self, sql: str, params: Params, first: int) -> Cursor:
        text, arguments = await self._translate(sql, params)
        # A guarded statement has a transaction of its own, which may be lost: it may be cancelled.
        return await self._start(text, arguments, first, cancels=self._is_guarded)

    async def _start(self, sql: str, arguments: Arguments | None, first: int, *, cancels: bool) -> Cursor:
        if not self.driver.speaks_utf8:
            await self._speak_utf8()
        self._is_used = True
        cursor = PostgresCursor(self, self._chunks, cancels=cancels)
        before = self._before()
        behind = self._cleaning if self._is_guarded_once else ()
        if self._is_guarded_once:
            self._is_guarded_once = self._is_used = False
        try:
            await cursor.start(sql, arguments, max(2, min(first, CHUNK_ROWS)), before=before, behind=behind)
        except DatabaseNotSupportedError:
            self.is_broken = True  # The connection is in the midst of a COPY.
            raise
        except psycopg.errors.InvalidTextRepresentation as exc:
            with tell_changes():
                raise exc from None
        return cursor

    @property
    def _cleaning(self) -> tuple[bytes, ...]:
        return (*CLEANING, *self._own_settings)

    def _before(self) -> tuple[bytes, ...]:
        """The commands before the next statement that let it only read. They end with a query, which fixes the mode of
        the transaction: before a query the server would obey SET TRANSACTION READ WRITE. The transaction may also be
        one that COMMIT AND CHAIN or ABORT AND CHAIN has just begun; the second forgets the mode of a failed one."""
        if self._is_guarded:
            self._is_guarded = False
            return (_BEGIN_READING, _FIRST_QUERY)
        status = self.driver.info.transaction_status
        if status == TransactionStatus.IDLE:
            self._reads = self.readonly
        return (self._only_reads,) if self._reads and status == TransactionStatus.INTRANS else ()

    async def _keep_reading(self) -> None:
        """Run these commands by themselves."""
        with tell_changes():
            for command in self._before():
                await self.driver.execute(command)

    async def stream(self, sql: str, params: Params, first: int) -> Cursor:
        text, arguments = await self._translate(sql, params)
        query = is_query(sql, self.dialect)
        if query and self.driver.info.transaction_status == TransactionStatus.INTRANS:
            await self._speak_utf8()
            self._is_used = True
            await self._keep_reading()
            self._portal = PortalCursor(self.driver, self.types)
            if await self._portal.start(text.encode(), arguments, max(2, min(first, CHUNK_ROWS))):
                return self._portal
        return await self._start(text, arguments, first, cancels=self._is_guarded or (query and self._alone()))

    def _alone(self) -> bool:
        return self.driver.info.transaction_status == TransactionStatus.IDLE

    async def execute_many(self, sql: str, sets: Sequence[Values], first_row: int = 0) -> int:
        await self._speak_utf8()
        self._is_used = True
        if not sets:
            return 0
        statement = await read_sql(translate, sql, self.syntax, "numeric_dollar", isinstance(sets[0], Mapping))
        rows = [Arguments(statement, one, row) for row, one in enumerate(sets, first_row)]
        await self._keep_reading()
        async with AsyncRawCursor(self.driver) as cursor:
            try:
                await cursor.executemany(statement.sql.encode(), rows)
            except Exception as exc:
                if getattr(exc, "sqlstate", None) is not None:
                    raise
                raise next(filter(None, (row.refusal(self.driver) for row in rows)), exc) from None
            return cursor.rowcount

    async def copy_in(self, sql: str) -> CopyIn:
        await self._before_copy(sql, ExecStatus.COPY_IN)
        self._copy = copy = PostgresCopyIn(self.driver)
        return copy

    async def copy_out(self, sql: str) -> CopyOut:
        cancels = await self._before_copy(sql, ExecStatus.COPY_OUT)
        self._copy = copy = PostgresCopyOut(self, self.driver, cancels=cancels)
        return copy

    async def _before_copy(self, sql: str, way: ExecStatus) -> bool:
        """Begin a COPY, which cannot travel with other commands. Returns whether it runs outside a transaction and only
        reads."""
        await self._speak_utf8()
        self._is_used = True
        is_guarded, self._is_guarded, self._is_guarded_once = self._is_guarded, False, False
        if is_guarded:
            await self.begin(None, readonly=True)
        else:
            await self._keep_reading()
        alone = is_guarded or self._alone()
        await begin(self.driver, sql, way)
        return alone

    async def run_script(self, sql: str) -> list[int]:
        await self._speak_utf8()
        self._is_used = True
        results = await self.driver.wait(_simple(self.driver, sql.encode()))
        last = results[-1]
        if last.status == ExecStatus.FATAL_ERROR:
            error = failure_of(self.driver, last)
            step = len(results) - 1
            place = error.diag.statement_position if isinstance(error, psycopg.Error) else None
            if step == 0 and place:  # The server did not understand the text as a whole.
                step = await read_sql(step_at, sql, self.syntax, int(place))
            raise translate_error(error, step=step)
        if last.status in COPYING:
            self.is_broken = True  # The connection is in the midst of it.
            raise no_copy(step=len(results) - 1)
        return [-1 if result.command_tuples is None else result.command_tuples for result in results]

    async def mark(self) -> None:
        self._transaction_start = await self._read_transaction_start()

    async def is_marked(self) -> bool:
        return bool(await self._read_transaction_start() == self._transaction_start)

    async def _read_transaction_start(self) -> Any:
        """When the transaction began. A script may have begun another one since; that has another time."""
        await self._speak_utf8()
        cursor = await self.driver.execute("SELECT now()::text")
        return await cursor.fetchone()

    def explain_sql(self, sql: str, *, analyze: bool) -> str:
        return f"EXPLAIN (ANALYZE, BUFFERS) {sql}" if analyze else f"EXPLAIN {sql}"

    async def describe(self, sql: str) -> Description:
        await self._speak_utf8()
        self._is_used = True
        if self._is_guarded:
            self._is_guarded = False
            await self.begin(None, readonly=True)
        statement, parameters = await read_sql(parameters_of, sql, self.syntax, "numeric_dollar")
        async with undo_afterwards(self.driver):
            query = statement.sql.encode()
            answer = await self.driver.wait(describe_query(self.driver, query))
            readonly = await reads_only(self.driver, statement.sql)
        nullable: list[bool | None] = [None] * answer.nfields
        async with undo_afterwards(self.driver):
            if readonly is not False:
                nullable = await nullability(self.driver, answer, query, is_plannable=readonly is True)
        takes = [answer.param_type(index) for index in range(answer.nparams)]
        types = self.types
        if unknown := types.unknown([*takes, *oids_of(answer)]):
            await types.learn(unknown, self.driver)
        gives = columns_of(answer, types, self.driver.pgconn)
        columns = [replace(column, nullable=may_be_null) for column, may_be_null in zip(gives, nullable, strict=True)]
        order = statement.numbers or range(1, len(takes) + 1)
        names = {
            place: (types.find(oid) or type_without_name(oid)).name for place, oid in zip(order, takes, strict=False)
        }
        return Description(
            [replace(parameter, db_type=names.get(parameter.position)) for parameter in parameters],
            columns,
            readonly=readonly,
        )

    async def learn(self, oids: list[int], *, free: bool) -> None:
        """Look up types. While a statement is read on this connection, another connection is asked.

        Parameters:
            oids: their numbers.
            free: whether the last statement has been read to its end.
        """
        if free:
            await self._finish_pipeline()
            await self.types.learn(oids, self.driver)
            return
        arguments = {**self.connect_arguments}
        connect = arguments.pop("async_creator_fn")
        try:
            side = await connect(**arguments)
            try:
                await side.set_autocommit(True)
                await self.types.learn(oids, side)
            finally:
                await side.close()
        except psycopg.Error as exc:
            log.info("the types %s could not be asked for: %s", oids, type(exc).__name__)

    async def guard(self, *, once: bool = False) -> None:
        # The session's default is not enough: DO $$ ... COMMIT; INSERT ... $$ could change it midway.
        self._is_guarded = self.readonly  # The guard travels with the statement.
        self._is_guarded_once = once and self.readonly

    async def begin(self, isolation: Isolation | None, *, readonly: bool) -> None:
        self._is_used = True
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
            self._reads = False  # Whatever it has changed is undone.
            await self._command("ROLLBACK")

    def tx_state(self) -> TxState:
        status = self.driver.info.transaction_status
        if status == TransactionStatus.IDLE:
            return TxState.NONE
        if status == TransactionStatus.INERROR:
            return TxState.FAILED
        return TxState.ENDED if status == TransactionStatus.UNKNOWN else TxState.ACTIVE

    async def interrupt(self) -> None:
        self._is_interrupted = True
        if self._portal is not None:
            self._portal.is_stopped = True
        await self.driver.cancel_safe(timeout=CANCEL_WAIT_S)

    def was_cancelled(self) -> None:
        self._is_interrupted = True  # psycopg has asked the server to stop.

    def must_reset(self) -> bool:
        return self._is_used or self._is_interrupted or self.driver.closed or self._is_working()

    def is_ready(self) -> bool:
        return self._take_cleaning() and not self._is_used and not self.has_ended()

    def _take_cleaning(self) -> bool:
        """Read what has arrived of the answers to the cleaning. Returns whether that was all."""
        driver = self.driver
        if not driver.parts:
            return True
        has_begun = self._taking is not None
        self._taking = taking = self._taking or take_rest(driver)
        try:
            driver.pgconn.consume_input()
            taking.send(Ready.R) if has_begun else next(taking)
        except StopIteration as done:
            self._is_used = self._is_used or done.value is not None
        except psycopg.Error:
            self._is_used = True
            driver.unwatch()
        else:
            return False
        self._taking = None
        return True

    async def _finish_pipeline(self) -> None:
        """Wait for the remaining answers of the pipeline."""
        taking, self._taking = self._taking or take_rest(self.driver), None
        # If this task is cancelled, the server is asked to stop, and that may hit the cleaning.
        was_used, self._is_used = self._is_used, True
        if await self.driver.wait(taking) is None:
            self._is_used = was_used

    async def regain(self) -> None:
        await self._finish_pipeline()
        if self.has_ended():
            self.is_broken = True
        elif self._is_used:
            await self.reset()

    def _hear(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        """Remember an error that no statement has caused: libpq reads it along with the answers to the last
        statement."""
        if diagnostic.severity_nonlocalized in ("FATAL", "PANIC"):
            self._goodbye = DatabaseOperationalError(diagnostic.message_primary or "", sqlstate=diagnostic.sqlstate)

    def has_ended(self) -> bool:
        if self.driver.closed:
            return True
        if not self.driver.parts:
            self.driver.pgconn.is_busy()  # This makes libpq parse what it has read and nobody has asked for.
        socket = self.driver.pgconn.socket
        if is_silent(socket):
            return self._goodbye is not None
        self._goodbye = self._goodbye or goodbye(unread(socket))
        return self._goodbye is not None or has_ended(socket)

    def why_lost(self, exc: Exception) -> Exception:
        unsaid = isinstance(exc, psycopg.Error) and exc.sqlstate is None
        return self._goodbye if unsaid and self._goodbye is not None else exc

    async def ping(self) -> None:
        await self.regain()
        await super().ping()

    def _is_working(self) -> bool:
        """Whether the results of a statement have not all been read."""
        driver = self.driver
        if driver.parts:
            return driver.parts > driver.behind
        return driver.info.transaction_status == TransactionStatus.ACTIVE

    async def settle(self) -> None:
        driver = self.driver
        copy, self._copy = self._copy, None
        if copy is not None:
            await copy.abort("it was cancelled")
        if self._is_working():
            await driver.cancel_safe(timeout=CANCEL_WAIT_S)
            if not driver.parts:
                await driver.wait(rest_of(driver))
        await self._finish_pipeline()
        if self._is_interrupted:
            await self._absorb_cancel()
            self._is_interrupted = False

    async def reset(self) -> None:
        await self.settle()
        await self.driver.wait(clean(self.driver, self._cleaning))
        self._is_guarded = self._is_guarded_once = False
        self._reads = self.readonly
        self._is_used = False

    async def _absorb_cancel(self) -> None:
        """Run an empty statement, so that a request to cancel that came too late stops this one and no other."""
        try:
            await self.driver.execute("SELECT 1")
        except psycopg.Error:
            if self.driver.info.transaction_status == TransactionStatus.UNKNOWN:
                raise
