"""The methods of transactions."""

from __future__ import annotations

import re

from rpcserver import Context, InvalidParams, method

from .core import ERRORS, DatabaseCore
from .failures import translate_error
from .models import Isolation, Session, Transaction, TxState

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,57}")


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        message = "letters, digits and underscores, at most 58, not a digit first"
        raise InvalidParams(f"name: {message}", errors=[{"loc": ["name"], "msg": message, "type": "savepoint"}])
    return name


class TransactionMethods(DatabaseCore):
    """Transactions and savepoints."""

    @method(permission="database.transaction", kind="once", errors=ERRORS, group=False)
    async def begin(
        self,
        database: str,
        *,
        isolation: Isolation | None = None,
        readonly: bool = False,
        session: str | None = None,
        ctx: Context,
    ) -> Transaction:
        """Open a transaction. It belongs to this connection: it is rolled back when the connection ends, when it is
        unused for too long, or open for too long.

        Parameters:
            database: its name.
            isolation: the isolation level; the configured one, or else the database's own, where not given.
            readonly: have the database refuse every change in it.
            session: the id of a session to begin it in; the transaction has the same id.

        Returns:
            The transaction; its ``id`` goes with each statement that belongs to it, and each renews its lease.

        Raises:
            DatabaseError, UnknownDatabase: as of :meth:`query`.
        """
        target = self._target(database)
        owner = ctx.connection
        try:
            if session is not None:
                return await self._transactions.begin_within(session, target, owner, isolation, readonly=readonly)
            return await self._transactions.begin(target, owner, isolation, readonly=readonly)
        except Exception as exc:
            raise translate_error(exc) from None

    @method(permission="database.transaction", kind="once", errors=ERRORS, group=False)
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

    @method(permission="database.transaction", kind="once", errors=ERRORS, group=False)
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

    @method(permission="database.transaction", kind="once", errors=ERRORS, group=False)
    async def connect(self, database: str, *, readonly: bool = False, ctx: Context) -> Session:
        """Keep one connection to the database for this client: what it sets stays from statement to statement. For
        drivers that look like a connection of their own; a mere transaction costs less.

        Parameters:
            database: its name.
            readonly: have the database refuse every change.

        Returns:
            The session; its ``id`` is given as ``transaction`` to statements.

        Raises:
            DatabaseError, UnknownDatabase: as of :meth:`query`.
        """
        target = self._target(database)
        try:
            return await self._transactions.open_session(target, ctx.connection, readonly=readonly)
        except Exception as exc:
            raise translate_error(exc) from None

    @method(permission="database.transaction", kind="once", errors=ERRORS, group=False)
    async def disconnect(self, session: str, *, ctx: Context) -> None:
        """End a session; what is open in it is rolled back.

        Parameters:
            session: its id.

        Raises:
            TransactionLost: it is no more.
        """
        await self._transactions.close_session(session, ctx.connection)

    @method(permission="database.transaction", kind="idempotent", errors=ERRORS, group=False)
    async def renew(self, transaction: str, *, ctx: Context) -> TxState:
        """Keep a transaction from being rolled back as unused: its idle time starts anew, its total time goes on.

        Parameters:
            transaction: its id.

        Returns:
            Its state; after a statement that was cancelled, this is the way to learn it.

        Raises:
            TransactionLost: it is no more.
        """
        async with self._transactions.use(transaction, None, ctx.connection) as tx:
            return tx.link.tx_state()

    @method(permission="database.transaction", kind="once", errors=ERRORS, group=False)
    async def savepoint(self, transaction: str, name: str, *, ctx: Context) -> None:
        """Set a savepoint in a transaction.

        Parameters:
            transaction: its id.
            name: letters, digits and underscores.

        Raises:
            DatabaseError: the database refused.
            TransactionLost: it is no more.
        """
        await self._point(ctx, transaction, "savepoint", name)

    @method(permission="database.transaction", kind="once", errors=ERRORS, group=False)
    async def rollback_to(self, transaction: str, name: str, *, ctx: Context) -> None:
        """Undo everything since a savepoint, which stays. A failed transaction is active again afterwards.

        Parameters and errors are those of :meth:`savepoint`.
        """
        await self._point(ctx, transaction, "rollback_to", name)

    @method(permission="database.transaction", kind="once", errors=ERRORS, group=False)
    async def release(self, transaction: str, name: str, *, ctx: Context) -> None:
        """Forget a savepoint; what was done since stays.

        Parameters and errors are those of :meth:`savepoint`.
        """
        await self._point(ctx, transaction, "release", name)

    async def _point(self, ctx: Context, transaction: str, action: str, name: str) -> None:
        _check_name(name)
        async with self._transactions.use(transaction, None, ctx.connection) as tx:
            link = tx.link
            work = {"savepoint": link.savepoint, "rollback_to": link.rollback_to, "release": link.release}[action]
            try:
                await link.run(work(name))
            except Exception as exc:
                raise translate_error(exc, tx_state=link.tx_state().value) from None
