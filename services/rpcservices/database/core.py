"""What all parts of the database service share: the databases, the transactions, and how a statement gets a link."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from rpcserver import Context, Health, Service, ServiceConfigError

from .backends.base import Link, finish
from .config import DatabaseServiceConfig
from .errors import (
    DatabaseDataError,
    DatabaseError,
    DatabaseIntegrityError,
    DatabaseInternalError,
    DatabaseNotSupportedError,
    DatabaseOperationalError,
    DatabaseProgrammingError,
    DatabaseRefused,
    TransactionLost,
    UnknownDatabase,
)
from .failures import is_refused, translate_error
from .models import TxState
from .pool import Pool, Target, close_all
from .reading import state_after
from .roles import Right
from .transactions import Transactions

_T = TypeVar("_T")

ERRORS = (
    DatabaseError, DatabaseDataError, DatabaseOperationalError, DatabaseIntegrityError, DatabaseInternalError,
    DatabaseProgrammingError, DatabaseRefused, DatabaseNotSupportedError, UnknownDatabase, TransactionLost,
)  # fmt: skip


def _never() -> None:
    """Nothing ends but by its own statements."""


@dataclass(frozen=True, slots=True)
class Lent:
    """A link for one call.

    Attributes:
        link: where its statements run.
        within: whether that is in a transaction of the client's.
        readonly: whether the database refuses every change there.
        session: whether the link stays with the client afterwards.
        own: whether the link is the call's own, and goes back to the pool after it.
        lost: the error to raise where the transaction has ended while a statement ran.
    """

    link: Link
    within: bool
    readonly: bool
    session: bool = False
    own: bool = False
    lost: Callable[[], TransactionLost | None] = _never

    async def clear(self) -> None:
        """End what a statement that stands alone has left open: what guarded it, or what it opened by itself."""
        kept = self.session and not self.link.readonly
        if not (self.within or kept) and self.link.tx_state() not in (TxState.NONE, TxState.ENDED):
            await self.link.rollback()

    async def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do a piece of work on the link, stopped when the caller is cancelled; every exception becomes ours."""
        try:
            return await self.link.run(work)
        except Exception as exc:
            raise self.failed(exc) from None

    def failed(self, exc: Exception, step: int | None = None) -> Exception:
        """The error of this service that stands for an exception of the driver."""
        lost = self.lost()
        if lost is not None:
            return lost
        error = translate_error(exc, tx_state=self.state().value, step=step)
        if error is not exc and isinstance(error, DatabaseError) and (remedy := self._remedy(error)):
            error.message += f"; {remedy}"
            error.args = (error.message,)
        return error

    def _remedy(self, error: DatabaseError) -> str | None:
        """What to tell whose statement was understood and refused: the database's own words name no way out."""
        if not is_refused(error):
            return None
        if self.link.config.readonly:
            return "the server's configuration makes this database read-only"
        if self.session or self.within:
            if self.readonly:
                return f"this {'transaction' if self.within else 'session'} only reads"
        elif self.readonly:
            return "query and stream only read: use execute"
        if error.driver_code == "SQLITE_AUTH":
            return "other files, extensions and settings of the connection are for the server's configuration to say"
        return None

    def state(self) -> TxState:
        """The state to tell after a statement."""
        return state_after(self.link, within=self.within, session=self.session)

    def refuse_open_transaction(self) -> None:
        """Refuse a statement that opened a transaction by itself: it will be rolled back with its link."""
        if not (self.within or self.session or self.link.readonly) and self.link.tx_state() is not TxState.NONE:
            raise DatabaseProgrammingError(
                "the statement opened a transaction, which has been rolled back: call begin, and give its id"
            )


class Loan:
    """A link for a ``with`` block: of a transaction, or for this block alone.

    Parameters:
        pool: where a link comes from if there is no transaction.
        transaction: lends its link.
    """

    __slots__ = ("_link", "_pool", "_transaction")

    def __init__(self, pool: Pool, transaction: AbstractAsyncContextManager[Lent] | None) -> None:
        self._pool = pool
        self._transaction = transaction
        self._link: Link | None = None

    async def __aenter__(self) -> Lent:
        if self._transaction is not None:
            return await self._transaction.__aenter__()
        self._link = link = await self._pool.acquire()
        return Lent(link, within=False, readonly=link.readonly, own=True)

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._transaction is not None:
            return await self._transaction.__aexit__(kind, exc, trace)
        assert self._link is not None
        self._pool.release(self._link)
        return None


class DatabaseCore(Service[DatabaseServiceConfig]):
    """The databases and the open transactions."""

    async def start(self) -> None:
        self._transactions = Transactions()
        state_dir = self.runtime.state_dir
        self._targets: dict[str, Target] = {}
        try:
            for name, config in self.config.databases.items():
                self._targets[name] = Target(name, config, state_dir, self.config.secrets_dir)
            for target in self._targets.values():
                await target.open()
        except ValueError as exc:
            raise ServiceConfigError(str(exc)) from None

    async def stop(self) -> None:
        await self._transactions.close()
        await close_all(*(target.close() for target in self._targets.values()))

    async def health(self) -> Health:
        if not self._targets:
            return Health(ok=False, reason="no database is configured")
        return Health()

    def _seen(self, ctx: Context) -> list[Target]:
        """The databases that exist for a caller."""
        return [target for target in self._targets.values() if target.access.sees(ctx.principal)]

    def _target(self, ctx: Context, name: str, right: Right, *, writing: bool = False) -> Target:
        """A database, for a caller who may do something to it.

        Raises:
            UnknownDatabase: there is none of this name, as far as the caller is concerned.
            DatabaseRefused: the caller's role does not allow it.
        """
        target = self._targets.get(name)
        if target is None or not target.access.sees(ctx.principal):
            known = ", ".join(sorted(target.name for target in self._seen(ctx))) or "none"
            raise UnknownDatabase(
                f"database: no database is named {name[:64]!r}; there are: {known}", executed="no", database=name[:64]
            )
        target.access.check(ctx.principal, right, writing=writing and not target.config.readonly)
        return target

    def _lent(self, ctx: Context, target: Target, transaction: str | None, *, readonly: bool) -> Loan:
        """Lend a link for a call: the transaction's, or one of its own."""
        shared = None if transaction is None else self._shared(ctx, target, transaction)
        return Loan(target.pool(readonly=readonly), shared)

    @asynccontextmanager
    async def _shared(self, ctx: Context, target: Target, transaction: str) -> AsyncIterator[Lent]:
        async with self._transactions.use(transaction, target.name, ctx.connection) as tx:
            within = tx.active
            try:
                session = bool(tx.session_idle_s)
                lost = partial(self._transactions.lost, tx)
                yield Lent(tx.link, within=within, readonly=tx.readonly, session=session, lost=lost)
            finally:
                link = tx.link
                open_ = not link.broken and link.tx_state() not in (TxState.NONE, TxState.ENDED)
                if not within and link.readonly and open_:
                    await finish(link.run(link.rollback()))  # What guarded a statement that stood alone.

    async def _within(self, lent: Lent, work: Callable[[], Coroutine[Any, Any, _T]], *, atomic: bool) -> _T:
        """Do some work on a link, in a transaction of its own where ``atomic`` asks for one and none is open.

        Raises:
            DatabaseError: the work failed, and in an own transaction has been undone.
        """
        link = lent.link
        if lent.within or not atomic:
            return await work()
        await link.begin(None, readonly=link.readonly)
        try:
            result = await work()
            if link.tx_state() is not TxState.NONE:
                await link.commit()
        except BaseException as exc:
            try:
                await link.rollback()
            except Exception:
                link.broken = True  # Closing it rolls back.
            if isinstance(exc, DatabaseError) and exc.tx_state != "none":
                exc.tx_state = "none"
                exc.details = {**exc.details, "tx_state": "none"}
            raise
        return result
