"""The database service for the asynchronous client: its stub, and transactions as context managers."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Any, cast

from rpcclient.portions import divide
from rpcclient.stubs.database import Changed, Isolation
from rpcclient.transactions import IsolationName, isolation_of
from rpcwire.values.tagged import Value

from .stubs import database as stub
from .transaction import AsyncDatabaseTransaction


class AsyncDatabase(stub.AsyncDatabase):
    """Queries and changes databases: the methods of the service (:mod:`rpcclient.aio.stubs.database`), and
    :meth:`transaction`."""

    async def executemany(
        self,
        database: str,
        sql: str,
        params: list[dict[str, Value]] | list[list[Value]],
        *,
        transaction: str | None = None,
        first_row: int = 0,
    ) -> Changed:
        """Run one statement once for each set of parameters: all of them, or none. If they are too many for one
        message, they go over a stream.

        Parameters:
            database: the database's name.
            sql: the statement.
            params: a list of dictionaries (``:name``) or of lists (``?``).
            transaction: the id of an open transaction. With it, all must fit into one message; a transaction of
                :meth:`transaction` divides them, too.
            first_row: the number of the first set in errors, with the id of a transaction.

        Returns:
            How many rows were changed.

        Raises:
            DatabaseError, UnknownDatabase, TransactionLost: as of :meth:`query`.
            TooLarge: they do not fit into one message, and go in an open transaction by its id.
        """
        parts = [params] if transaction is not None else divide(params)
        if len(parts) == 1:
            return await super().executemany(database, sql, params, transaction=transaction, first_row=first_row)
        return await super().executemany_parts(database, sql, cast("AsyncIterable[Any]", parts))

    def transaction(
        self, database: str, *, isolation: Isolation | IsolationName | None = None, readonly: bool = False
    ) -> AsyncDatabaseTransaction:
        """Make a transaction. As a context manager it commits at the end, and rolls back if the block raises.

        ::

            async with client.database.transaction("main", isolation="serializable") as tx:
                await tx.execute("INSERT INTO zone VALUES (:id, :name)", {"id": 5, "name": "east"})

        Parameters:
            database: the database's name.
            isolation: the isolation level; if not given, the configured one, or else the database's own.
            readonly: let the database refuse every change in it.

        Returns:
            The transaction. It begins when its block is entered, or its ``begin`` is called.

        Raises:
            InvalidParams: there is no such isolation level.
        """
        return AsyncDatabaseTransaction(self, self._calls, database, isolation_of(isolation), readonly=readonly)
