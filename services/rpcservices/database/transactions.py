"""The open transactions. Each belongs to one client's connection, and has a link of its own until it ends."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from rpcserver import Busy, Connection

from .backends.base import Link, log
from .errors import DatabaseOperationalError, DatabaseProgrammingError, TransactionLost
from .models import Isolation, Session, Transaction, TxState
from .pool import Pool, Target

_MOST_REASONS = 1024
"""The number of ended transactions whose end can still be explained."""


def _nothing() -> None:
    """Do nothing: there is no owner to forget."""


class OpenTransaction:
    """A transaction, its link, and its clocks.

    Attributes:
        info: what the client knows of it.
        link: the link on which its statements run.
        lock: held by the statement that runs; one at a time.
        session_idle_s: how long a session may be unused outside a transaction; 0 for a transaction without a session.
        only_reads: whether the transaction that is open in a session began as one that only reads.
    """

    def __init__(self, info: Transaction, link: Link, pool: Pool, owner: Connection, session_idle_s: float) -> None:
        self.info = info
        self.session_idle_s = session_idle_s
        self.link = link
        self.pool = pool
        self.owner = owner
        self.lock = asyncio.Lock()
        self.is_over = False
        self.only_reads = False
        self.idle: asyncio.TimerHandle | None = None
        self.total: asyncio.TimerHandle | None = None
        self.forget_owner: Callable[[], None] = _nothing

    @property
    def active(self) -> bool:
        """Whether a transaction is open; in a session there need not be one."""
        return not self.session_idle_s or self.link.tx_state() is not TxState.NONE

    @property
    def readonly(self) -> bool:
        """Whether the database refuses every change in it now."""
        return self.info.readonly or self.only_reads

    def stop_clocks(self) -> None:
        """Cancel its timers: it has ended."""
        for timer in (self.idle, self.total):
            if timer is not None:
                timer.cancel()
        self.forget_owner()


class Transactions:
    """All open transactions of the service."""

    def __init__(self) -> None:
        self._open: dict[str, OpenTransaction] = {}
        self._reasons: OrderedDict[str, str] = OrderedDict()
        self._ending: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._open)

    async def begin(
        self, target: Target, owner: Connection, isolation: Isolation | None, *, readonly: bool
    ) -> Transaction:
        """Open a transaction.

        Raises:
            Busy: the client has too many open already.
            DatabaseError: the database refuses.
        """
        config = target.config
        pool, link = await self._acquire(target, owner, readonly=readonly)
        isolation = isolation or config.isolation
        try:
            await link.run(link.begin(isolation, readonly=link.readonly))
        except BaseException:
            pool.release(link)
            raise
        info = Transaction(
            id=secrets.token_urlsafe(12), database=target.name, readonly=link.readonly, isolation=isolation,
            idle_s=config.transaction_idle_s, total_s=config.transaction_total_s,
        )  # fmt: skip
        tx = OpenTransaction(info, link, pool, owner, 0.0)
        self._add(tx)
        self._limit(tx)
        self._end_if_withdrawn(tx, target)
        return info

    async def open_session(self, target: Target, owner: Connection, *, readonly: bool) -> Session:
        """Keep a link for a client until the session ends.

        Raises:
            Busy: the client has too many open already.
            DatabaseError: the database refuses.
        """
        config = target.config
        pool, link = await self._acquire(target, owner, readonly=readonly)
        try:
            await link.keep()
        except BaseException:
            pool.release(link)
            raise
        info = Transaction(
            id=secrets.token_urlsafe(12), database=target.name, readonly=link.readonly,
            idle_s=config.transaction_idle_s, total_s=config.transaction_total_s,
        )  # fmt: skip
        session = OpenTransaction(info, link, pool, owner, config.session_idle_s)
        self._add(session)
        self._end_if_withdrawn(session, target)
        return Session(info.id, target.name, link.readonly, config.session_idle_s, target.dialect)

    async def begin_within(
        self, tx_id: str, target: Target, owner: Connection, isolation: Isolation | None, *, readonly: bool
    ) -> Transaction:
        """Begin a transaction in a session.

        Raises:
            TransactionLost: the session is no more.
            DatabaseError: the database refuses, or the session has an open transaction already.
        """
        async with self.use(tx_id, target.name, owner) as tx:
            if tx.active:
                raise DatabaseProgrammingError("a transaction is open in this session already")
            isolation = isolation or target.config.isolation
            await tx.link.run(tx.link.begin(isolation, readonly=readonly or tx.link.readonly))
            tx.only_reads = readonly
            self._limit(tx)
            return replace(tx.info, isolation=isolation, readonly=readonly or tx.info.readonly)

    async def close_session(self, tx_id: str, owner: Connection) -> None:
        """Roll back the open transaction of a session, and end the session.

        Raises:
            TransactionLost: it is no more.
        """
        async with self.use(tx_id, None, owner) as tx:
            self._remove(tx, "the session was closed")
            tx.pool.release(tx.link)

    async def _acquire(self, target: Target, owner: Connection, *, readonly: bool) -> tuple[Pool, Link]:
        mine = sum(1 for tx in self._open.values() if tx.owner is owner)
        if mine >= target.config.transactions_per_connection:
            raise Busy(f"{mine} transactions and sessions are open on this connection: end one first")
        pool = target.pool(readonly=readonly or target.config.readonly)
        return pool, await pool.acquire("" if owner.principal is None else owner.principal.name)

    def _add(self, tx: OpenTransaction) -> None:
        self._open[tx.info.id] = tx
        self._rewind(tx)
        tx.forget_owner = tx.owner.on_close(lambda: self._expire(tx, "the connection closed"))

    def _limit(self, tx: OpenTransaction) -> None:
        total_s = tx.info.total_s
        tx.total = asyncio.get_running_loop().call_later(total_s, self._expire, tx, f"open for {total_s:g} s")

    @asynccontextmanager
    async def use(self, tx_id: str, database: str | None, owner: Connection) -> AsyncIterator[OpenTransaction]:
        """Lend a transaction for one statement; others of the same transaction wait.

        Raises:
            TransactionLost: it is no more, never was, or belongs to another connection or database.
        """
        tx = self._find(tx_id, database, owner)
        async with tx.lock:
            tx = self._find(tx_id, database, owner)
            if tx.idle is not None:
                tx.idle.cancel()
                tx.idle = None
            try:
                yield tx
            finally:
                if not tx.is_over:
                    await self._after_statement(tx)

    async def end(self, tx_id: str, owner: Connection, *, commit: bool) -> None:
        """Commit or roll back.

        Raises:
            TransactionLost: it is no more.
            DatabaseError: the commit failed; the transaction has been rolled back.
        """
        async with self.use(tx_id, None, owner) as tx:
            if not tx.session_idle_s:
                self._remove(tx, "it was committed" if commit else "it was rolled back")
            link = tx.link
            try:
                if commit and link.tx_state() is TxState.FAILED:
                    # PostgreSQL would accept COMMIT, roll back, and report success.
                    raise DatabaseOperationalError(
                        "the transaction had failed, and has been rolled back: see the error before",
                        sqlstate="25P02", tx_state="ended",
                    )  # fmt: skip
                await link.run(link.commit() if commit else link.rollback())
            except Exception:
                if not (tx.is_over or link.is_broken) and link.tx_state() is not TxState.NONE:
                    await link.run(link.rollback())
                raise
            finally:
                if tx.is_over:
                    tx.pool.release(link)

    async def _after_statement(self, tx: OpenTransaction) -> None:
        """Find out, after a statement, whether the transaction goes on or has ended."""
        state = tx.link.tx_state()
        if tx.link.is_broken or state is TxState.ENDED or (state is TxState.NONE and not tx.session_idle_s):
            self._remove(tx, "the database ended it")
            tx.pool.release(tx.link)
            return
        tx.only_reads = tx.only_reads and state is not TxState.NONE
        if state is TxState.NONE and tx.total is not None:
            tx.total.cancel()
            tx.total = None
        elif state is not TxState.NONE and tx.total is None:
            self._limit(tx)  # A statement of the session has begun a transaction.
        self._rewind(tx)

    async def close(self) -> None:
        """Roll back all open transactions."""
        for tx in list(self._open.values()):
            self._expire(tx, "the service stopped")
        while self._ending:
            await asyncio.wait(set(self._ending))

    def withdraw(self, target: Target, reason: str, *, only_writing: bool = False) -> None:
        """Roll back the open transactions of a database, end its sessions, and let none begin any more.

        Parameters:
            target: the database.
            reason: why, for the clients.
            only_writing: whether those that only read go on.
        """
        target.withdrawn = reason
        for tx in list(self._open.values()):
            if tx.info.database == target.name and not (only_writing and tx.link.readonly):
                self._expire(tx, reason)

    def _end_if_withdrawn(self, tx: OpenTransaction, target: Target) -> None:
        """End a transaction that has begun while its database was withdrawn."""
        if target.withdrawn:
            self._expire(tx, target.withdrawn)

    def loss_of(self, tx: OpenTransaction) -> TransactionLost | None:
        """The error to raise if a transaction ended while a statement ran in it; ``None`` if it did not."""
        if not tx.is_over or tx.info.id not in self._reasons:
            return None
        reason = self._reasons[tx.info.id]
        return TransactionLost(f"transaction: {reason}; begin anew", transaction=tx.info.id, reason=reason)

    def _find(self, tx_id: str, database: str | None, owner: Connection) -> OpenTransaction:
        tx = self._open.get(tx_id)
        if tx is None or tx.owner is not owner:
            reason = self._reasons.get(tx_id, "no transaction of this connection has this id")
            raise TransactionLost(
                f"transaction: {reason}; begin anew", transaction=tx_id[:64], reason=reason, executed="no"
            )
        if database is not None and tx.info.database != database:
            reason = f"it is open on the database {tx.info.database!r}"
            raise TransactionLost(f"transaction: {reason}", transaction=tx_id[:64], reason=reason, executed="no")
        return tx

    def _rewind(self, tx: OpenTransaction) -> None:
        idle_s = tx.info.idle_s if tx.active else tx.session_idle_s
        tx.idle = asyncio.get_running_loop().call_later(idle_s, self._expire, tx, f"unused for {idle_s:g} s")

    def _remove(self, tx: OpenTransaction, reason: str) -> None:
        tx.is_over = True
        tx.stop_clocks()
        self._open.pop(tx.info.id, None)
        self._reasons[tx.info.id] = reason
        while len(self._reasons) > _MOST_REASONS:
            self._reasons.popitem(last=False)

    def _expire(self, tx: OpenTransaction, reason: str) -> None:
        if tx.is_over:
            return
        what = _describe_end(tx, reason)
        self._remove(tx, what)
        log.info("%s on %s: %s", tx.info.id, tx.info.database, what)
        task = asyncio.ensure_future(self._give_back(tx))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _give_back(self, tx: OpenTransaction) -> None:
        while tx.lock.locked():  # A statement runs: its caller is being cancelled, or we must stop it.
            try:
                await tx.link.interrupt()
            except Exception as exc:
                log.debug("interrupting a statement failed: %s", type(exc).__name__)
            try:
                async with asyncio.timeout(1.0), tx.lock:
                    break
            except TimeoutError:
                continue
        async with tx.lock:
            try:
                await tx.link.run(tx.link.rollback(), timeout_s=10.0)
            except Exception as exc:
                log.info("a transaction could not be rolled back, its connection is closed: %s", type(exc).__name__)
                tx.link.is_broken = True
            tx.pool.release(tx.link)


def _describe_end(tx: OpenTransaction, reason: str) -> str:
    """Say how a transaction or session ended, for a client that uses it later."""
    rolled_back = f"it was rolled back: {reason}"
    if not tx.session_idle_s:
        return rolled_back
    undone = ", and its transaction was rolled back" if tx.active else ""
    return f"the session was closed{undone}: {reason}; its settings and temporary tables are gone"
