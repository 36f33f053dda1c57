"""The database service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

from rpcserver import Context, Health, Service, Value, method

from .backends.base import Link, Params, finish
from .config import DatabaseServiceConfig
from .errors import (
    DatabaseDataError,
    DatabaseError,
    DatabaseIntegrityError,
    DatabaseInternalError,
    DatabaseNotSupportedError,
    DatabaseOperationalError,
    DatabaseProgrammingError,
    TransactionLost,
    UnknownDatabase,
)
from .failures import translate_error
from .models import DatabaseInfo, Isolation, Page, Result, Transaction, TxState
from .pool import Target, close_all
from .reading import FIRST_ROWS, PageStream, collect, open_cursor, pages, state_after
from .transactions import Transactions

ERRORS = (
    DatabaseError, DatabaseDataError, DatabaseOperationalError, DatabaseIntegrityError, DatabaseInternalError,
    DatabaseProgrammingError, DatabaseNotSupportedError, UnknownDatabase, TransactionLost,
)  # fmt: skip


class Database(Service[DatabaseServiceConfig]):
    """Queries and changes databases: SQLite, PostgreSQL, MariaDB and MySQL, and others that SQLAlchemy knows.

    Clients name a database, never a URL. Parameters in SQL are ``:name`` with a dictionary, or ``?`` with a list.
    Each statement outside a transaction commits itself. ``query`` and ``stream`` read only, and the database itself
    sees to that; ``execute`` may change.
    """

    async def start(self) -> None:
        self._transactions = Transactions()
        state_dir: Path = self.runtime.state_dir
        self._targets = {name: Target(name, config, state_dir) for name, config in self.config.databases.items()}

    async def stop(self) -> None:
        await self._transactions.close()
        await close_all(*(target.close() for target in self._targets.values()))

    async def health(self) -> Health:
        if not self._targets:
            return Health(ok=False, reason="no database is configured")
        return Health()

    def _target(self, name: str) -> Target:
        target = self._targets.get(name)
        if target is None:
            known = ", ".join(sorted(self._targets)) or "none"
            raise UnknownDatabase(
                f"database: no database is named {name[:64]!r}; there are: {known}", database=name[:64]
            )
        return target

    # --- statements -----------------------------------------------------------------------------------------------

    @method(permission="database.query", kind="read", errors=ERRORS)
    async def databases(self) -> list[DatabaseInfo]:
        """The databases that there are."""
        return [
            DatabaseInfo(
                name=target.name,
                dialect=target.dialect,
                driver=target.driver,
                readonly=target.config.readonly,
                max_rows=target.config.max_rows,
                max_bytes=target.config.max_bytes,
            )
            for target in self._targets.values()
        ]

    @method(permission="database.query", kind="read", errors=ERRORS)
    async def query(
        self,
        database: str,
        sql: str,
        params: dict[str, Value] | list[Value] | None = None,
        *,
        transaction: str | None = None,
        max_rows: int | None = None,
        ctx: Context,
    ) -> Result:
        """Read rows with one statement. Outside a transaction the database refuses any change; in one, the
        transaction's own mode decides.

        Parameters:
            database: its name, as :meth:`databases` lists it.
            sql: one statement.
            params: values for ``:name`` (a dictionary) or ``?`` (a list) in it.
            transaction: the id of an open transaction to run it in.
            max_rows: rows to return at most; the database's own limit where not given, or where it is lower.

        Returns:
            The rows and their columns; ``truncated`` where there were more.

        Raises:
            DatabaseError: the database refused; its subclasses say why.
            UnknownDatabase: no database has this name.
            TransactionLost: the transaction is no more.
        """
        return await self._run(ctx, database, sql, params, transaction, max_rows, readonly=True)

    @method(permission="database.execute", kind="once", errors=ERRORS)
    async def execute(
        self,
        database: str,
        sql: str,
        params: dict[str, Value] | list[Value] | None = None,
        *,
        transaction: str | None = None,
        max_rows: int | None = None,
        ctx: Context,
    ) -> Result:
        """Run one statement that may change the database, and return the rows it gives, if any (``RETURNING``).

        Parameters, result and errors are those of :meth:`query`.
        """
        return await self._run(ctx, database, sql, params, transaction, max_rows, readonly=False)

    async def _run(
        self,
        ctx: Context,
        database: str,
        sql: str,
        params: Params,
        transaction: str | None,
        max_rows: int | None,
        *,
        readonly: bool,
    ) -> Result:
        target = self._target(database)
        config = target.config
        async with AsyncExitStack() as stack:
            link = await self._link(stack, ctx, target, transaction, readonly=readonly)
            within = transaction is not None
            work = collect(
                link,
                sql,
                params,
                max_rows=min(config.max_rows, config.max_rows if max_rows is None else max(0, max_rows)),
                max_bytes=config.max_bytes,
                page_rows=config.page_rows,
                within=within,
            )
            try:
                result = await link.run(work)
            except Exception as exc:
                raise translate_error(exc, tx_state=state_after(link, within=within).value) from None
            self._settled(link, within=within)
            return result
        raise AssertionError("an exit stack swallows nothing")

    async def _link(
        self, stack: AsyncExitStack, ctx: Context, target: Target, transaction: str | None, *, readonly: bool
    ) -> Link:
        """A link for a statement: the transaction's, or one of its own."""
        if transaction is None:
            return await stack.enter_async_context(target.pool(readonly=readonly).link())
        tx = await stack.enter_async_context(self._transactions.use(transaction, target.name, ctx.connection))
        return tx.link

    @staticmethod
    def _settled(link: Link, *, within: bool) -> None:
        """Refuse a statement that opened a transaction by itself: it will be rolled back with its link."""
        if not within and not link.readonly and link.tx_state() is not TxState.NONE:
            raise DatabaseProgrammingError(
                "the statement opened a transaction, which has been rolled back: call begin, and give its id"
            )

    @method(permission="database.query", kind="read", errors=ERRORS)
    async def stream(
        self,
        database: str,
        sql: str,
        params: dict[str, Value] | list[Value] | None = None,
        *,
        transaction: str | None = None,
        page_rows: int | None = None,
        ctx: Context,
    ) -> AsyncIterator[Page]:
        """Read any number of rows, page by page; neither side ever holds them all. Closing the stream stops the
        database's work.

        Parameters:
            database, sql, params, transaction: as of :meth:`query`. A transaction runs nothing else meanwhile.
            page_rows: rows in one page at most; the database's own limit where not given, or where it is lower.

        Returns:
            Pages of rows, at least one.

        Raises:
            DatabaseError, UnknownDatabase, TransactionLost: as of :meth:`query`.
        """
        target = self._target(database)
        config = target.config
        size = min(config.page_rows, config.page_rows if page_rows is None else max(1, page_rows))
        stack = AsyncExitStack()
        within = transaction is not None
        try:
            link = await self._link(stack, ctx, target, transaction, readonly=True)
            try:
                cursor = await link.run(open_cursor(link, sql, params, min(FIRST_ROWS, size), within=within))
            except Exception as exc:
                raise translate_error(exc, tx_state=state_after(link, within=within).value) from None
        except BaseException:
            await finish(stack.aclose())
            raise

        async def close_cursor() -> None:
            await link.run(cursor.close(), timeout_s=10.0)

        def failed(exc: Exception) -> Exception:
            return translate_error(exc, tx_state=state_after(link, within=within).value)

        stack.push_async_callback(close_cursor)
        source = pages(link, cursor, page_rows=size, page_bytes=config.page_bytes, max_row_bytes=config.max_row_bytes)
        return PageStream(source, stack.aclose, failed)

    # --- transactions ---------------------------------------------------------------------------------------------

    @method(permission="database.transaction", kind="once", errors=ERRORS)
    async def begin(
        self, database: str, *, isolation: Isolation | None = None, readonly: bool = False, ctx: Context
    ) -> Transaction:
        """Open a transaction. It belongs to this connection: it is rolled back when the connection ends, when it is
        unused for too long, or open for too long.

        Parameters:
            database: its name.
            isolation: the isolation level; the configured one, or else the database's own, where not given.
            readonly: have the database refuse every change in it.

        Returns:
            The transaction; its ``id`` goes with each statement that belongs to it.

        Raises:
            DatabaseError, UnknownDatabase: as of :meth:`query`.
        """
        target = self._target(database)
        try:
            return await self._transactions.begin(target, ctx.connection, isolation, readonly=readonly)
        except Exception as exc:
            raise translate_error(exc) from None

    @method(permission="database.transaction", kind="once", errors=ERRORS)
    async def commit(self, transaction: str, *, ctx: Context) -> None:
        """Commit a transaction. Where that fails, it has been rolled back.

        Parameters:
            transaction: its id.

        Raises:
            DatabaseError: the database refused.
            TransactionLost: it is no more.
        """
        try:
            await self._transactions.end(transaction, ctx.connection, commit=True)
        except Exception as exc:
            raise translate_error(exc, tx_state="ended") from None

    @method(permission="database.transaction", kind="once", errors=ERRORS)
    async def rollback(self, transaction: str, *, ctx: Context) -> None:
        """Roll a transaction back.

        Parameters:
            transaction: its id.

        Raises:
            DatabaseError: the database refused; the connection to it is closed, which rolls back.
            TransactionLost: it is no more.
        """
        try:
            await self._transactions.end(transaction, ctx.connection, commit=False)
        except Exception as exc:
            raise translate_error(exc, tx_state="ended") from None
