"""The methods for COPY of PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack

from rpcserver import Context, method
from rpcwire.sql import first_word

from .backends.base import CopyOut, Link, finish
from .core import ERRORS, DatabaseCore, LentLink
from .errors import DatabaseProgrammingError
from .models import Changed
from .page_stream import PageStream
from .placeholders import check_text
from .uploads import next_item

_END_S = 10.0
"""How long it may take to end a COPY early."""


def _check(sql: str, link: Link) -> None:
    """Refuse a statement that is not a COPY, before it runs."""
    if first_word(sql, link.syntax) != "COPY" and link.dialect == "postgresql":
        raise DatabaseProgrammingError("sql: a COPY is wanted here: other statements run by execute", executed="no")


class CopyMethods(DatabaseCore):
    """COPY from and to the client."""

    @method(permission="database.execute", kind="once", errors=ERRORS)
    async def copy_in(
        self, database: str, sql: str, data: AsyncIterator[bytes], *, transaction: str | None = None, ctx: Context
    ) -> Changed:
        """PostgreSQL: run ``COPY … FROM STDIN``, and have it read what the client sends. All rows go in, or none.

        Parameters:
            database, transaction: as of :meth:`execute`.
            sql: the statement, which says the format: text, csv or binary.
            data: the rows in that format, in pieces of any length; text in UTF-8. Whoever sends nothing for the
                configured ``stream_idle_s`` ends it.

        Returns:
            How many rows were copied.

        Raises:
            DatabaseNotSupportedError: the database is not PostgreSQL.
            DatabaseError, UnknownDatabase, TransactionLost: as of :meth:`query`.
        """
        check_text(sql)
        target = self._target(database)
        async with self._lend(ctx, target, transaction, readonly=False) as loan:
            link = loan.link
            _check(sql, link)
            if not loan.within:
                await link.guard()
            copy = await loan.run(link.copy_in(sql))
            try:
                while (piece := await next_item(data, target.config.stream_idle_s, "copy")) is not None:
                    await loan.run(copy.write(piece))
                count = await loan.run(copy.end())
            except BaseException:
                await finish(link.run(copy.abort("the client did not send all of it"), timeout_s=_END_S))
                raise
            loan.refuse_open_transaction()
            return Changed(count, 1, loan.state())

    @method(permission="database.query", kind="read", errors=ERRORS, window=16)
    async def copy_out(
        self, database: str, sql: str, *, transaction: str | None = None, ctx: Context
    ) -> AsyncIterator[bytes]:
        """PostgreSQL: run ``COPY … TO STDOUT``, and give what it writes. Closing the stream stops the database's work,
        and so does reading nothing for the configured ``stream_idle_s``.

        Parameters:
            database, transaction: as of :meth:`query`.
            sql: the statement, which says the format: text, csv or binary.

        Returns:
            The rows in that format, in pieces of any length; text in UTF-8.

        Raises:
            DatabaseNotSupportedError: the database is not PostgreSQL.
            DatabaseError, UnknownDatabase, TransactionLost: as of :meth:`query`.
        """
        check_text(sql)
        target = self._target(database)
        stack = AsyncExitStack()
        try:
            loan = await stack.enter_async_context(self._lend(ctx, target, transaction, readonly=True))
            link = loan.link
            _check(sql, link)
            if not loan.within:
                await link.guard()
            copy = await loan.run(link.copy_out(sql))
        except BaseException:
            await finish(stack.aclose())
            raise

        async def end() -> None:
            await link.run(copy.abort("nobody reads it any more"))

        stack.push_async_callback(end)
        return PageStream(_pieces(loan, copy), stack.aclose, loan.error_for, target.config.stream_idle_s)


async def _pieces(loan: LentLink, copy: CopyOut) -> AsyncGenerator[bytes, None]:
    while piece := await loan.run(copy.read()):
        yield piece
