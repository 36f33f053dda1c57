# Generated from rpcclient/aio/database.py by `make stubs`. Do not edit: change that, and generate anew.

"""The database service for the synchronous client: its stub, and transactions as context managers."""

from __future__ import annotations

from rpcclient.stubs.database import Isolation
from rpcclient.transactions import IsolationName, isolation_of

from .stubs import database as stub
from .transaction import DatabaseTransaction


class Database(stub.Database):
    """Queries and changes databases. What the service offers, as :mod:`rpcclient.sync.stubs.database` has it, and
    :meth:`transaction`."""

    def transaction(
        self, database: str, *, isolation: Isolation | IsolationName | None = None, readonly: bool = False
    ) -> DatabaseTransaction:
        """A transaction as a context manager: committed at the end, rolled back where an exception leaves the block.

        ::

            with client.database.transaction("main", isolation="serializable") as tx:
                tx.execute("INSERT INTO zone VALUES (:id, :name)", {"id": 5, "name": "east"})

        Parameters:
            database: its name.
            isolation: the isolation level; the configured one, or else the database's own, where not given.
            readonly: have the database refuse every change in it.

        Returns:
            The transaction. It begins when it is entered, or by its ``begin``.

        Raises:
            InvalidParams: there is no such isolation level.
        """
        return DatabaseTransaction(self, self._calls, database, isolation_of(isolation), readonly=readonly)
