"""SQLite by aiosqlite. Each connection does all its work in its own thread. One trip there runs a statement and reads
its first rows."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, PoolProxiedConnection

from rpcservices.database.apart import read_sql
from rpcservices.database.backends.base import Cursor, Link, unsupported_isolation
from rpcservices.database.backends.parameters import Params, Values, parameters_of
from rpcservices.database.backends.slices import Slices
from rpcservices.database.config import DatabaseConfig
from rpcservices.database.errors import DatabaseNotSupportedError, DatabaseProgrammingError
from rpcservices.database.models import Column, Description, Isolation, ParameterInfo, TxState
from rpcwire.sql import first_word

from .authorizer import (
    Authorizer,
    authorize_begin,
    authorize_describing,
    authorize_reading,
    authorize_reading_session,
    authorize_session,
    authorize_vacuum,
    authorize_writing,
    ignoring_pragmas,
)
from .pragmas import OF_THE_CONNECTION, RefusedPragma
from .values import as_written, column_types, convert, declared_column

_T = TypeVar("_T")
_VIRTUAL_TABLES = "SELECT name FROM {}.sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL TABLE%'"
_MADE_BY = "SELECT sql FROM {}.sqlite_master WHERE type = 'table' AND lower(name) = lower(?)"
_UNSAFE_TABLE = re.compile(r'unsafe use of virtual table "(?P<name>.*)"', re.DOTALL)
_NAME = r"""(?:"(?:[^"]|"")*"|'(?:[^']|'')*'|`(?:[^`]|``)*`|\[[^\]]*\]|\w+)"""
_HARMLESS_MODULES = re.compile(
    rf"CREATE VIRTUAL TABLE {_NAME}\s*USING\s*[\"\[`']?(?:fts[345]|rtree|rtree_i32|geopoly)\b", re.IGNORECASE
)
"""These modules store their data in tables of the same file; newer versions of SQLite call them innocuous."""
_PROBE = "EXPLAIN SELECT 1 FROM {}.{}"
_NOT_READY = ("not authorized", "prohibited", "vtable constructor failed")
_STEPS = 1000
"""Steps of SQLite's virtual machine between two checks whether the statement must stop."""


def _is_denied(exc: sqlite3.Error) -> bool:
    """Whether the authorizer refused. If SQLite prepared the statement again meanwhile, the code is SQLITE_SCHEMA."""
    code = getattr(exc, "sqlite_errorcode", None)
    return code == sqlite3.SQLITE_AUTH or (code == sqlite3.SQLITE_SCHEMA and "not authorized" in str(exc))


def _is_not_ready(exc: sqlite3.Error) -> bool:
    """Whether SQLite may have refused to prepare a statement because a virtual table is not ready yet. The message of a
    broken constraint may have any words: that statement has run, and must not run again."""
    return not isinstance(exc, sqlite3.IntegrityError) and any(words in str(exc) for words in _NOT_READY)


def _may_be_ready_later(exc: sqlite3.Error) -> bool:
    """Whether SQLite has refused to prepare a statement that it may accept once the connection is made ready for it."""
    is_unsafe = isinstance(exc, sqlite3.OperationalError) and _UNSAFE_TABLE.search(str(exc)) is not None
    return is_unsafe or _is_not_ready(exc)


def _not_authorized(why: str) -> DatabaseProgrammingError:
    return DatabaseProgrammingError(f"not authorized: {why}")


def attach(execute: Callable[[str, tuple[str, ...]], Any], config: DatabaseConfig) -> None:
    """Attach the other configured files to a connection. This must happen before its authorizer is set, which allows no
    file. If a lock on a file interrupts it, it may be called again."""
    there = {name for _, name, _ in execute("PRAGMA database_list", ())} if config.attached else set()
    for name, file in config.attached.items():
        if name in there:
            continue
        path = f"file:{quote(str(file.absolute()))}?mode=ro" if config.readonly else str(file)
        execute(f'ATTACH DATABASE ? AS "{name}"', (path,))


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_SMALL_SQL = 16 * 1024
"""The length of statements that Python may keep prepared, in characters: it keeps the latest 128 of a connection."""
_PREPARED_SQL = 1024 * 1024
"""The most characters of larger statements that it may keep."""
_PREPARED_STATEMENTS = 128
"""The number of prepared statements that Python keeps (``cached_statements`` of ``sqlite3.connect``)."""


class _Stop:
    """Tells SQLite, which asks every few steps, whether one statement must stop. Each statement has its own."""

    __slots__ = ("is_wanted",)

    def __init__(self) -> None:
        self.is_wanted = False

    def __call__(self) -> bool:
        return self.is_wanted


class SqliteCursor(Cursor):
    """A statement under way in SQLite."""

    def __init__(self, link: SqliteLink, cursor: sqlite3.Cursor, first: int, changes: int) -> None:
        self._link = link
        self._cursor = cursor
        self._changes = changes
        self._slices = Slices()
        self._first: list[tuple[Any, ...]] | None = None
        self._more = False
        if cursor.description is not None:
            self._first = rows = self._take(first)
            self.columns = column_types([column[0] for column in cursor.description], rows)
            if not self._more:
                self.rowcount = max(cursor.rowcount, len(rows))
        else:
            self.rowcount = cursor.rowcount
            self._count()

    def _count(self) -> None:
        """Count the changes of a statement that has ended."""
        self.change_count = self._cursor.connection.total_changes - self._changes

    async def fetch(self, limit: int) -> list[tuple[Any, ...]]:
        if self._first is not None:
            rows, self._first = self._first, None
            return rows
        if not self._more:
            return []
        return await self._link.in_thread(self._take, limit)

    def _take(self, limit: int) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        slices = self._slices
        slices.begin(limit)
        while count := slices.next_size():
            fresh = self._cursor.fetchmany(count)
            slices.record(fresh, count)
            rows += fresh
        self._more = not slices.over
        if not self._more:
            self._count()
        return rows

    def _end(self) -> None:
        self._cursor.close()
        self._count()

    async def close(self) -> None:
        if self._more or self._first:
            self._first, self._more = None, False
            await self._link.in_thread(self._end)


class SqliteLink(Link):
    """A connection to an SQLite file."""

    dialect: ClassVar[str] = "sqlite"
    cancel_safe: ClassVar[bool] = True

    def __init__(self, connection: PoolProxiedConnection, config: DatabaseConfig, *, readonly: bool) -> None:
        super().__init__(connection, config, readonly=readonly)
        driver: Any = connection.driver_connection
        self._driver = driver
        self._sqlite: sqlite3.Connection = driver._conn  # noqa: SLF001 - its interrupt() and handlers are needed
        self._stop_now = _Stop()
        self._in_transaction = False
        self._is_used = False
        self._only_reads = False
        self._is_session = False
        self._prepared_sql = 0

    @classmethod
    def engine_options(cls, url: URL, config: DatabaseConfig, *, readonly: bool) -> tuple[URL, dict[str, Any]]:
        if not url.database or url.database == ":memory:" or "mode=memory" in str(url):
            raise ValueError("url: an SQLite database needs a file: one in memory would differ for each connection")
        if config.readonly and not url.database.startswith("file:"):
            path = quote(str(Path(url.database).absolute()))
            url = url.set(database=f"file:{path}").update_query_dict({"mode": "ro", "uri": "true"})
        return url, {"timeout": 0.0, "cached_statements": _PREPARED_STATEMENTS}

    async def prepare(self) -> None:
        # The first connection sets up the file's index under a lock, which others that connect at once may meet.
        await self._wait_for_lock(self._prepare)

    def _prepare(self) -> None:
        connection = self._sqlite
        connection.isolation_level = None  # Autocommit: a transaction begins only with our BEGIN.
        self._set_up()
        connection.execute("PRAGMA trusted_schema=OFF")
        # SQLite refuses a larger value before it makes it.
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self.config.max_row_bytes)
        attach(connection.execute, self.config)
        # Create their virtual tables now, outside every file; later the authorizer would refuse that.
        connection.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')").close()
        connection.set_authorizer(self._authorizer())

    def _authorizer(self) -> Authorizer:
        if self.readonly or self._only_reads:
            return authorize_reading_session if self._is_session else authorize_reading
        return authorize_session if self._is_session else authorize_writing

    def _look(self) -> None:
        """Learn whether a transaction is open now. After one that only reads, the connection may write again."""
        self._in_transaction = self._sqlite.in_transaction
        if self._only_reads and not self._in_transaction:
            self._only_reads = False
            self._sqlite.set_authorizer(self._authorizer())

    def _set_up(self) -> None:
        for name, value in OF_THE_CONNECTION.items():
            self._sqlite.execute(f"PRAGMA {name}={value}")

    async def in_thread(self, function: Callable[..., _T], *args: Any) -> _T:
        """Run a function in the connection's thread. If the caller is cancelled, the statement there stops first."""
        driver = self._driver
        work: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        driver._tx.put_nowait((work, partial(function, *args)))  # noqa: SLF001 - its public methods take three trips
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            self._stop_now.is_wanted = True
            while not work.done():
                try:
                    await asyncio.wait([work])
                except asyncio.CancelledError:
                    continue
            work.exception()
            raise

    async def execute(self, sql: str, params: Params, first: int) -> Cursor:
        self._is_used = not self.readonly
        values: list[Any] = []
        if params is not None:
            sql, (values,) = await convert(sql, [params])
        return await self._wait_for_lock(partial(self._execute, sql, values, first))

    async def _wait_for_lock(self, action: Callable[[], _T]) -> _T:
        """Run an action, and repeat it while another connection holds a lock on the file, as long as the configuration
        allows. We do not let SQLite wait, since that could not be interrupted."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.config.busy_timeout_s
        pause = 0.002
        stop = self._stop_now = _Stop()
        while True:
            within = self._in_transaction
            try:
                return await self.in_thread(action)
            except sqlite3.OperationalError as exc:
                busy = exc.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY if hasattr(exc, "sqlite_errorcode") else False
                if not busy or stop.is_wanted or loop.time() > end:
                    raise
                if within and exc.sqlite_errorname == "SQLITE_BUSY_SNAPSHOT":
                    # Waiting cannot help: the transaction reads a state of the file that is no longer the latest.
                    raise
            await asyncio.sleep(pause)
            if stop.is_wanted:
                raise sqlite3.OperationalError("interrupted")
            pause = min(pause * 2, 0.1)

    def _execute(self, sql: str, values: Sequence[Any], first: int) -> SqliteCursor:
        connection = self._sqlite
        connection.set_progress_handler(self._stop_now, _STEPS)
        changes = connection.total_changes
        notices: tuple[str, ...] = ()
        try:
            # The first test is quick, and nearly all statements end with it.
            if "PRAGMA" in sql.upper() and first_word(sql, self.dialect) == "PRAGMA":
                cursor, notices = self._execute_pragma(sql, values)
            else:
                cursor = self._execute_statement(sql, values)
            result = SqliteCursor(self, cursor, first, changes)
            result.notices = notices
        except sqlite3.Warning as exc:
            raise DatabaseProgrammingError(str(exc)) from None
        finally:
            self._look()
            self._forget_large(sql)
        if cursor.description is None and result.change_count:
            result.last_insert_id = cursor.lastrowid
        return result

    def _forget_large(self, sql: str) -> None:
        """Have Python forget the statements that it keeps prepared, after enough of them were large. Each could keep
        several times its text in memory. Only other statements drive them out."""
        if len(sql) <= _SMALL_SQL:
            return
        self._prepared_sql += len(sql)
        if self._prepared_sql > _PREPARED_SQL:
            with suppress(sqlite3.Error):  # They were told to stop: the next large statement tries again.
                for number in range(_PREPARED_STATEMENTS):
                    self._sqlite.execute(f"SELECT {number}").close()
                self._prepared_sql = 0

    def _execute_statement(self, sql: str, values: Sequence[Any]) -> sqlite3.Cursor:
        try:
            return self._sqlite.execute(sql, values)  # Nearly all statements need no more.
        except sqlite3.DatabaseError as exc:
            if not (_is_denied(exc) or _may_be_ready_later(exc)):
                raise
        try:
            return self._with_virtual_tables(partial(self._sqlite.execute, sql, values), self._authorizer())
        except sqlite3.DatabaseError as exc:
            only_reads = self.readonly or self._only_reads
            is_allowed = self._begins_without_lock if only_reads else self._is_allowed_until_it_runs
            if not (_is_denied(exc) and is_allowed(sql)):
                raise
        self._sqlite.set_authorizer(authorize_begin if only_reads else authorize_vacuum)
        try:
            return self._sqlite.execute(sql, values)
        finally:
            self._sqlite.set_authorizer(self._authorizer())

    def _execute_pragma(self, sql: str, values: Sequence[Any]) -> tuple[sqlite3.Cursor, tuple[str, ...]]:
        """Run a PRAGMA, or ignore it. An ignored one gives the same rows as one that SQLite sets.

        Returns:
            Its cursor, and a notice where it was ignored.

        Raises:
            DatabaseProgrammingError: nobody may set it, or it asks for another value of a setting that cannot change.
        """
        usual = self._authorizer()
        refusals: list[RefusedPragma] = []
        authorizer = ignoring_pragmas(usual, refusals)
        self._sqlite.set_authorizer(authorizer)  # SQLite now asks again about statements that it has already prepared.
        try:
            cursor = self._with_virtual_tables(partial(self._sqlite.execute, sql, values), authorizer)
        except sqlite3.DatabaseError as exc:
            if refusals and _is_denied(exc) and refusals[-1].is_refused_everywhere:
                raise _not_authorized(f"no one can set PRAGMA {refusals[-1].name} through the server") from None
            raise
        finally:
            self._sqlite.set_authorizer(usual)
        if not refusals:
            return cursor, ()
        pragma = refusals[-1]
        rows = self._sqlite.execute(pragma.question).fetchall() if pragma.tells else []
        current = rows[0][0] if rows else None
        if pragma.must_be(current):
            raise _not_authorized(f"PRAGMA {pragma.name} is {current} here, and stays so")
        notice = pragma.notice(current)
        return self._sqlite.execute(pragma.question) if pragma.answers else cursor, () if notice is None else (notice,)

    def _with_virtual_tables(self, action: Callable[[], _T], authorizer: Authorizer) -> _T:
        """Run an action that may use a virtual table for the first time on this connection. SQLite prepares the table
        then, and asks the authorizer about changes that the statement does not make: in its table of tables, and for an
        R-tree in the tables behind it. So if the authorizer refused, prepare all virtual tables without it, and run the
        action once more with it.

        Parameters:
            action: runs the statement.
            authorizer: the authorizer that is set.
        """
        try:
            return self._with_trust(action, authorizer)
        except sqlite3.DatabaseError as exc:
            if not _is_not_ready(exc):
                raise
            self._sqlite.set_authorizer(None)
            try:
                has_tables = self._make_ready()
            finally:
                self._sqlite.set_authorizer(authorizer)
            if not has_tables:
                raise
        return self._with_trust(action, authorizer)

    def _with_trust(self, action: Callable[[], _T], authorizer: Authorizer) -> _T:
        """Run an action on a connection that does not trust the file: its views and triggers may use only harmless
        functions and tables (https://sqlite.org/pragma.html#pragma_trusted_schema). SQLite 3.40 wrongly counts
        full-text and R-tree tables as harmful. If it refuses a statement for one of these, the connection trusts the
        file from then on. The authorizer still denies what is dangerous, in views and triggers, too.

        Parameters:
            action: runs the statement.
            authorizer: the authorizer that is set.
        """
        try:
            return action()
        except sqlite3.OperationalError as exc:
            unsafe = _UNSAFE_TABLE.search(str(exc))
            if unsafe is None:
                raise
            self._sqlite.set_authorizer(None)
            try:
                if not self._is_harmless(unsafe["name"]):
                    raise
                self._sqlite.execute("PRAGMA trusted_schema=ON")
            finally:
                self._sqlite.set_authorizer(authorizer)
        return action()

    def _trust(self, value: int | str) -> int:
        """Make the connection trust the file, or not. Returns the setting before."""
        self._sqlite.set_authorizer(None)
        try:
            before: int = self._sqlite.execute("PRAGMA trusted_schema").fetchone()[0]
            self._sqlite.execute(f"PRAGMA trusted_schema={value}")
        finally:
            self._sqlite.set_authorizer(self._authorizer())
        return before

    def _is_harmless(self, table: str) -> bool:
        """Whether all virtual tables of a name are of kinds that can do no more than ordinary tables."""
        definitions = [
            sql
            for _, schema, _ in self._sqlite.execute("PRAGMA database_list").fetchall()
            for (sql,) in self._sqlite.execute(_MADE_BY.format(_quote(schema)), (table,)).fetchall()
        ]
        return bool(definitions) and all(_HARMLESS_MODULES.match(sql) for sql in definitions)

    def _make_ready(self) -> bool:
        """Make all virtual tables ready, by preparing a statement on each. Returns whether there are any."""
        tables = [
            (schema, name)
            for _, schema, _ in self._sqlite.execute("PRAGMA database_list").fetchall()
            for (name,) in self._sqlite.execute(_VIRTUAL_TABLES.format(_quote(schema))).fetchall()
        ]
        for schema, name in tables:
            with suppress(sqlite3.Error):  # A statement that uses this table will get the error.
                self._sqlite.execute(_PROBE.format(_quote(schema), _quote(name))).close()
        return bool(tables)

    def _is_allowed_until_it_runs(self, sql: str) -> bool:
        """Whether the authorizer denies a statement only for what it does while it runs, as it does VACUUM. EXPLAIN
        prepares the statement without running it, and SQLite asks about an ATTACH while it prepares."""
        try:
            self._sqlite.execute(f"EXPLAIN {sql}").close()
        except sqlite3.Error:
            return False
        return True

    def _begins_without_lock(self, sql: str) -> bool:
        """Whether a statement begins a transaction that takes no lock yet."""
        self._sqlite.set_authorizer(authorize_begin)
        try:
            program = self._sqlite.execute(f"EXPLAIN {sql}").fetchall()
        except sqlite3.Error:
            return False
        finally:
            self._sqlite.set_authorizer(self._authorizer())
        return all(instruction[1] != "Transaction" for instruction in program)

    async def execute_many(self, sql: str, sets: Sequence[Values], first_row: int = 0) -> int:
        if not sets:
            return 0
        statement, values = await convert(sql, sets, first_row)
        return await self._wait_for_lock(partial(self._execute_many, statement, values))

    def _execute_many(self, sql: str, sets: list[list[Any]]) -> int:
        self._sqlite.set_progress_handler(self._stop_now, _STEPS)
        try:
            authorizer = self._authorizer()
            return self._with_trust(partial(self._sqlite.executemany, sql, sets), authorizer).rowcount
        finally:
            self._look()
            self._forget_large(sql)

    def explain_sql(self, sql: str, *, analyze: bool) -> str:
        if analyze:
            raise DatabaseNotSupportedError("analyze: SQLite cannot measure while it explains")
        return f"EXPLAIN QUERY PLAN {sql}"

    async def describe(self, sql: str) -> Description:
        statement, parameters = await read_sql(parameters_of, sql, self.dialect, "null")
        return await self._wait_for_lock(partial(self._describe, statement.sql, parameters))

    def _describe(self, sql: str, parameters: list[ParameterInfo]) -> Description:
        connection = self._sqlite
        connection.set_authorizer(authorize_describing)
        try:
            if first_word(sql, self.dialect) in {"PRAGMA", "EXPLAIN"}:
                # These only read, or are denied; their columns are known only once they run.
                return Description(parameters, self._columns_by_running(sql), readonly=True)
            self._with_virtual_tables(lambda: connection.execute(f"EXPLAIN {sql}").close(), authorize_describing)
        except sqlite3.DatabaseError as exc:
            if not _is_denied(exc):
                raise
            return Description(parameters, [], readonly=False)
        finally:
            connection.set_authorizer(self._authorizer())
            self._forget_large(sql)
        return Description(parameters, self._declared_columns(sql), readonly=True)

    def _columns_by_running(self, sql: str) -> list[Column]:
        """Run a statement for the names of its columns."""
        self._sqlite.set_progress_handler(self._stop_now, _STEPS)
        cursor = self._sqlite.execute(sql)
        names = [column[0] for column in cursor.description or ()]
        cursor.close()
        return [Column(name) for name in names]

    def _declared_columns(self, sql: str) -> list[Column]:
        """The columns of a query with their declared types, taken from a temporary view of it."""
        connection = self._sqlite
        # The statement may use in our view what it may use by itself.
        trust = self._trust("ON")
        connection.set_authorizer(authorize_writing)
        try:
            connection.execute(f"CREATE TEMP VIEW rpc_described AS {sql}")
            rows = connection.execute("PRAGMA temp.table_info('rpc_described')").fetchall()
            connection.execute("DROP VIEW temp.rpc_described")
        except sqlite3.DatabaseError:
            return []  # A view cannot hold this: it has no rows, as SAVEPOINT, or is a PRAGMA.
        finally:
            self._trust(trust)
        names = as_written([name for _, name, *_ in rows])
        return [declared_column(name, db_type) for name, (_, _, db_type, *_) in zip(names, rows, strict=True)]

    async def begin(self, isolation: Isolation | None, *, readonly: bool) -> None:
        if isolation not in (None, Isolation.SERIALIZABLE):
            raise unsupported_isolation("SQLite", isolation)
        # IMMEDIATE takes the write lock now. If two transactions read first and asked for it later, each would wait for
        # the other.
        sql = "BEGIN" if readonly or self.readonly else "BEGIN IMMEDIATE"
        await self._wait_for_lock(partial(self._begin, sql, readonly))

    def _begin(self, sql: str, readonly: bool) -> None:
        self._sqlite.set_progress_handler(self._stop_now, _STEPS)
        if self.readonly:
            self._sqlite.set_authorizer(authorize_begin)
        try:
            self._sqlite.execute(sql)
        finally:
            if self.readonly:
                self._sqlite.set_authorizer(self._authorizer())
        self._in_transaction = True
        if readonly and not self.readonly:
            self._only_reads = True
            self._sqlite.set_authorizer(self._authorizer())

    async def commit(self) -> None:
        await self._wait_for_lock(partial(self._end, "COMMIT"))

    async def rollback(self) -> None:
        await self.in_thread(self._end, "ROLLBACK")

    def _end(self, sql: str) -> None:
        self._sqlite.set_progress_handler(None, 0)  # The statement that had to stop has ended.
        try:
            if self._sqlite.in_transaction:
                self._sqlite.execute(sql)
        finally:
            self._look()

    def tx_state(self) -> TxState:
        return TxState.ACTIVE if self._in_transaction else TxState.NONE

    async def interrupt(self) -> None:
        self._stop_now.is_wanted = True

    async def keep(self) -> None:
        self._is_session = True
        await self.in_thread(self._sqlite.set_authorizer, self._authorizer())

    def must_reset(self) -> bool:
        return self._in_transaction or self._is_used or self._is_session

    async def reset(self) -> None:
        self._stop_now = _Stop()
        await self.in_thread(self._reset)

    def _reset(self) -> None:
        self._end("ROLLBACK")
        self._is_used = False
        if self._is_session:
            self._set_up()
            self._is_session = False
            self._sqlite.set_authorizer(self._authorizer())
        if self._sqlite.execute("SELECT 1 FROM temp.sqlite_master LIMIT 1").fetchone():
            self.is_broken = True  # Temporary tables live as long as the connection.
