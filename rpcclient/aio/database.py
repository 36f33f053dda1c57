"""The database service for the asynchronous client: its stub, and transactions as context managers."""

from __future__ import annotations

from rpcclient.stubs.database import Isolation
from rpcclient.transactions import IsolationName, isolation_of

from .stubs import database as stub
from .transaction import AsyncDatabaseTransaction


class AsyncDatabase(stub.AsyncDatabase):
    """Queries and changes databases. What the service offers, as :mod:`rpcclient.aio.stubs.database` has it, and
    :meth:`transaction`."""

    def transaction(
        self, database: str, *, isolation: Isolation | IsolationName | None = None, readonly: bool = False
    ) -> AsyncDatabaseTransaction:
        """A transaction as a context manager: committed at the end, rolled back where an exception leaves the block.

        ::

            async with client.database.transaction("main", isolation="serializable") as tx:
                await tx.execute("INSERT INTO zone VALUES (:id, :name)", {"id": 5, "name": "east"})

        Parameters:
            database: its name.
            isolation: the isolation level; the configured one, or else the database's own, where not given.
            readonly: have the database refuse every change in it.

        Returns:
            The transaction. It begins when it is entered, or by its ``begin``.

        Raises:
            InvalidParams: there is no such isolation level.
        """
        return AsyncDatabaseTransaction(self, self._calls, database, isolation_of(isolation), readonly=readonly)
