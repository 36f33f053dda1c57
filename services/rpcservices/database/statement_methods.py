"""The methods that run statements."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated, TypeVar

from pydantic import Field

from rpcserver import Context, InvalidParams, Value, method
from rpcwire.errors import count_rows

from .backends.base import finish
from .backends.parameters import Params
from .batches import run_batch
from .core import ERRORS, DatabaseCore, LentLink
from .errors import DatabaseNotSupportedError
from .models import Changed, DatabaseInfo, Page, Result, Step, StepResult
from .page_stream import PageStream
from .placeholders import check_text
from .pool import Target
from .reading import FIRST_ROWS, Limits, collect, open_cursor, pages
from .scripts import run_script
from .uploads import next_item

_PARTS_S = 3600.0
"""How long a statement for any number of sets of parameters may take, if the caller says nothing, in seconds."""
_PartT = TypeVar("_PartT")


class StatementMethods(DatabaseCore):
    """Statements: one, many, streamed, in a batch, in a script."""

    @method(permission="database.query", kind="read", errors=ERRORS)
    async def databases(self, *, ctx: Context) -> list[DatabaseInfo]:
        """The databases that the caller may use in some way."""
        return [
            DatabaseInfo(
                name=target.name,
                dialect=target.dialect,
                driver=target.driver,
                readonly=target.config.readonly,
                max_rows=target.config.max_rows,
                max_bytes=target.config.max_bytes,
            )
            for target in map(self._targets.get, self._access_of(ctx.principal).rights)
            if target is not None
        ]

    @method(permission="database.query", kind="read", errors=ERRORS, message_bytes=None)
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
        check_text(sql)
        target = self._target(database)
        async with self._lend(ctx, target, transaction, readonly=True) as loan:
            return await _collect(loan, target, sql, params, max_rows)

    @method(permission="database.execute", kind="once", errors=ERRORS, message_bytes=None)
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
        check_text(sql)
        target = self._target(database)
        async with self._lend(ctx, target, transaction, readonly=False) as loan:
            return await _collect(loan, target, sql, params, max_rows)

    @method(permission="database.query", kind="read", errors=ERRORS, window=16, message_bytes=None)
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
        database's work, and so does reading nothing for the configured ``stream_idle_s``.

        Parameters:
            database, sql, params, transaction: as of :meth:`query`. A transaction runs nothing else meanwhile.
            page_rows: rows in one page at most; the database's own limit where not given, or where it is lower.

        Returns:
            Pages of rows, at least one.

        Raises:
            DatabaseError, UnknownDatabase, TransactionLost: as of :meth:`query`.
        """
        check_text(sql)
        target = self._target(database)
        config = target.config
        size = min(config.page_rows, config.page_rows if page_rows is None else max(1, page_rows))
        stack = AsyncExitStack()
        try:
            loan = await stack.enter_async_context(self._lend(ctx, target, transaction, readonly=True))
            link = loan.link
            cursor = await loan.run(open_cursor(link, sql, params, min(FIRST_ROWS, size), within=loan.within))
        except BaseException:
            await finish(stack.aclose())
            raise

        async def close_cursor() -> None:
            await link.run(cursor.close(), timeout_s=None if cursor.whole else 10.0, goes_on=True)

        stack.push_async_callback(close_cursor)
        limits = {"page_rows": size, "page_bytes": config.page_bytes, "max_row_bytes": config.max_row_bytes}
        source = pages(link, cursor, loan.state, **limits)
        return PageStream(source, stack.aclose, loan.error_for, config.stream_idle_s)

    @method(permission="database.execute", kind="once", errors=ERRORS, message_bytes=None)
    async def executemany(
        self,
        database: str,
        sql: str,
        params: list[dict[str, Value]] | list[list[Value]],
        *,
        transaction: str | None = None,
        first_row: Annotated[int, Field(ge=0)] = 0,
        ctx: Context,
    ) -> Changed:
        """Run one statement once for each set of parameters: all of them, or none.

        Parameters:
            database, sql, transaction: as of :meth:`execute`.
            params: a list of dictionaries (``:name``) or of lists (``?``).
            first_row: the number of the first set in errors, where the sets of one statement go in several calls.

        Returns:
            How many rows were changed.

        Raises:
            DatabaseError, UnknownDatabase, TransactionLost: as of :meth:`query`.
        """
        check_text(sql)
        target = self._target(database)
        async with self._lend(ctx, target, transaction, readonly=False) as loan:
            link = loan.link
            count = await loan.run(self._within(loan, lambda: link.execute_many(sql, params, first_row), atomic=True))
            return Changed(count, len(params), loan.state())

    @method(permission="database.execute", kind="once", errors=ERRORS, deadline_s=_PARTS_S)
    async def executemany_parts(
        self,
        database: str,
        sql: str,
        params: AsyncIterator[list[dict[str, Value]] | list[list[Value]]],
        *,
        ctx: Context,
    ) -> Changed:
        """Run one statement once for each set of parameters, of which there may be any number: all of them, or none.

        Parameters:
            database, sql: as of :meth:`execute`.
            params: the sets, in parts, each of which is as the parameter of :meth:`executemany`. Whoever sends nothing
                for the configured ``stream_idle_s`` ends it, and nothing is changed.

        Returns:
            How many rows were changed.

        Raises:
            DatabaseError, UnknownDatabase: as of :meth:`query`.
            InvalidParams: a set does not fit.
        """
        check_text(sql)
        target = self._target(database)
        async with self._lend(ctx, target, None, readonly=False) as loan:
            counts: list[int] = []
            rows = 0

            async def run_parts() -> None:
                nonlocal rows
                while (part := await self._next_part(params, target, rows)) is not None:
                    counts.append(await loan.run(loan.link.execute_many(sql, part, rows)))
                    rows += len(part)

            await self._in_own_transaction(loan, run_parts)
            return Changed(-1 if -1 in counts else sum(counts), rows, loan.state(), loan.link.notices)

    async def _next_part(self, parts: AsyncIterator[_PartT], target: Target, rows: int) -> _PartT | None:
        """Wait for the next part; the errors of its sets count the sets before it."""
        try:
            return await next_item(parts, target.config.stream_idle_s, "statement")
        except InvalidParams as exc:
            raise count_rows(exc, rows) from None

    @method(permission="database.execute", kind="once", errors=ERRORS, message_bytes=None)
    async def batch(
        self,
        database: str,
        steps: list[Step],
        *,
        atomic: bool = True,
        transaction: str | None = None,
        max_rows: int | None = None,
        ctx: Context,
    ) -> list[StepResult]:
        """Run several statements in one call. A step is skipped unless all its conditions on earlier steps hold.

        Parameters:
            database, transaction: as of :meth:`execute`.
            steps: the statements, their parameters and conditions.
            atomic: run all in one transaction; the first error undoes all and is raised, with its ``step``. Otherwise
                each commits itself, an error becomes the step's result, and the batch goes on.
            max_rows: rows to return at most, for each step.

        Returns:
            What became of each step.

        Raises:
            DatabaseError: a step of an atomic batch, or of one in a transaction, failed.
            InvalidParams: a condition names a step that is not earlier, or parameters of a step do not fit: nothing
                has run.
            UnknownDatabase, TransactionLost: as of :meth:`query`.
        """
        target = self._target(database)
        limits = _limits(target, max_rows)
        async with self._lend(ctx, target, transaction, readonly=False) as loan:
            whole = atomic or loan.within
            work = self._within(loan, lambda: run_batch(loan, steps, limits, atomic=whole), atomic=atomic)
            return await loan.run(work)

    @method(permission="database.script", kind="once", errors=ERRORS, message_bytes=None)
    async def script(
        self, database: str, sql: str, *, atomic: bool = True, transaction: str | None = None, ctx: Context
    ) -> Changed:
        """Run several statements, one after another, without parameters; their rows are dropped.

        Parameters:
            database, transaction: as of :meth:`execute`.
            sql: the statements, separated by semicolons.
            atomic: run all in one transaction, which a script that says COMMIT or ROLLBACK cannot be (in MariaDB and
                MySQL, statements that define tables, and COMMIT, commit anyway).

        Returns:
            How many statements ran, and how many rows they changed.

        Raises:
            DatabaseNotSupportedError: the database, or the transaction, only reads.
            DatabaseError, UnknownDatabase, TransactionLost: as of :meth:`query`.
        """
        check_text(sql)
        target = self._target(database)
        async with self._lend(ctx, target, transaction, readonly=False) as loan:
            if loan.readonly:
                raise DatabaseNotSupportedError("a script may change anything, and here is only reading: use query")
            counts = await loan.run(self._within(loan, lambda: run_script(loan, sql, atomic=atomic), atomic=atomic))
            loan.refuse_open_transaction()
            known_counts = [count for count in counts if count >= 0]
            return Changed(sum(known_counts) if known_counts else -1, len(counts), loan.state(), loan.link.notices)


def _limits(target: Target, max_rows: int | None) -> Limits:
    config = target.config
    rows = config.max_rows if max_rows is None else min(config.max_rows, max(0, max_rows))
    return Limits(rows, config.max_bytes, config.page_rows)


async def _collect(loan: LentLink, target: Target, sql: str, params: Params, max_rows: int | None) -> Result:
    limits = _limits(target, max_rows)
    work = collect(loan.link, sql, params, limits, within=loan.within, session=loan.session, once=loan.own)
    result, _ = await loan.run(work)
    loan.refuse_open_transaction()
    return result
