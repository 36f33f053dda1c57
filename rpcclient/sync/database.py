# Generated from rpcclient/aio/database.py by `make stubs`. Do not edit: change that, and generate anew.

"""The database service for the synchronous client: its stub, and transactions as context managers."""

from __future__ import annotations

from rpcclient.stubs.database import Isolation
from rpcclient.transactions import IsolationName, isolation_of

from .stubs import database as stub
from .transaction import DatabaseTransaction


class Database(stub.Database):
    """Queries and changes databases: the methods of the service (:mod:`rpcclient.sync.stubs.database`), and
    :meth:`transaction`."""

    def transaction(
        self, database: str, *, isolation: Isolation | IsolationName | None = None, readonly: bool = False
    ) -> DatabaseTransaction:
        """Make a transaction. As a context manager it commits at the end, and rolls back if the block raises.

        ::

            with client.database.transaction("main", isolation="serializable") as tx:
                tx.execute("INSERT INTO zone VALUES (:id, :name)", {"id": 5, "name": "east"})

        Parameters:
            database: the database's name.
            isolation: the isolation level; if not given, the configured one, or else the database's own.
            readonly: let the database refuse every change in it.

        Returns:
            The transaction. It begins when its block is entered, or its ``begin`` is called.

        Raises:
            InvalidParams: there is no such isolation level.
        """
        return DatabaseTransaction(self, self._calls, database, isolation_of(isolation), readonly=readonly)
