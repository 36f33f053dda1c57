"""Open transactions: each belongs to one client's connection, and has a link of its own until it ends."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rpcserver import Busy, Connection

from .backends.base import Link, log
from .errors import TransactionLost
from .models import Isolation, Transaction, TxState
from .pool import Pool, Target

_REMEMBERED = 1024
"""Ended transactions whose end can still be explained."""


def _nothing() -> None:
    """No owner to forget."""


class OpenTransaction:
    """A transaction, its link, and its clocks.

    Attributes:
        info: what the client was told.
        link: where its statements run.
        lock: one statement at a time.
    """

    def __init__(self, info: Transaction, link: Link, pool: Pool, owner: Connection) -> None:
        self.info = info
        self.link = link
        self.pool = pool
        self.owner = owner
        self.lock = asyncio.Lock()
        self.ended = False
        self.idle: asyncio.TimerHandle | None = None
        self.total: asyncio.TimerHandle | None = None
        self.forget_owner: Callable[[], None] = _nothing

    def stop_clocks(self) -> None:
        """It is over: nothing more is to come at its time."""
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
        mine = sum(1 for tx in self._open.values() if tx.owner is owner)
        if mine >= config.transactions_per_connection:
            raise Busy(f"{mine} transactions are open on this connection: end one first")
        readonly = readonly or config.readonly
        isolation = isolation or config.isolation
        pool = target.pool(readonly=readonly)
        link = await pool.acquire()
        try:
            await link.run(link.begin(isolation, readonly=readonly))
        except BaseException:
            pool.release(link)
            raise
        info = Transaction(
            id=secrets.token_urlsafe(12), database=target.name, readonly=readonly, isolation=isolation,
            idle_s=config.transaction_idle_s, total_s=config.transaction_total_s,
        )  # fmt: skip
        tx = OpenTransaction(info, link, pool, owner)
        self._open[info.id] = tx
        loop = asyncio.get_running_loop()
        self._rewind(tx)
        tx.total = loop.call_later(info.total_s, self._expire, tx, f"open for {info.total_s:g} s")
        tx.forget_owner = owner.on_close(lambda: self._expire(tx, "the connection closed"))
        return info

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
                if not tx.ended:
                    if tx.link.broken or tx.link.tx_state() in (TxState.NONE, TxState.ENDED):
                        self._remove(tx, "the database ended it")
                        tx.pool.release(tx.link)
                    else:
                        self._rewind(tx)

    async def end(self, tx_id: str, owner: Connection, *, commit: bool) -> TxState:
        """Commit or roll back.

        Raises:
            TransactionLost: it is no more.
            DatabaseError: the commit failed; the transaction has been rolled back.
        """
        async with self.use(tx_id, None, owner) as tx:
            self._remove(tx, "it was committed" if commit else "it was rolled back")
            try:
                await tx.link.run(tx.link.commit() if commit else tx.link.rollback())
            finally:
                tx.pool.release(tx.link)
        return TxState.ENDED

    async def close(self) -> None:
        """Roll all back."""
        for tx in list(self._open.values()):
            self._expire(tx, "the service stopped")
        while self._ending:
            await asyncio.wait(set(self._ending))

    def _find(self, tx_id: str, database: str | None, owner: Connection) -> OpenTransaction:
        tx = self._open.get(tx_id)
        if tx is None or tx.owner is not owner:
            reason = self._reasons.get(tx_id, "no transaction of this connection has this id")
            raise TransactionLost(
                f"transaction: {reason}; begin a new one", transaction=tx_id[:64], reason=reason, executed="no"
            )
        if database is not None and tx.info.database != database:
            reason = f"it is open on the database {tx.info.database!r}"
            raise TransactionLost(f"transaction: {reason}", transaction=tx_id, reason=reason, executed="no")
        return tx

    def _rewind(self, tx: OpenTransaction) -> None:
        idle_s = tx.info.idle_s
        tx.idle = asyncio.get_running_loop().call_later(idle_s, self._expire, tx, f"unused for {idle_s:g} s")

    def _remove(self, tx: OpenTransaction, reason: str) -> None:
        tx.ended = True
        tx.stop_clocks()
        self._open.pop(tx.info.id, None)
        self._reasons[tx.info.id] = reason
        while len(self._reasons) > _REMEMBERED:
            self._reasons.popitem(last=False)

    def _expire(self, tx: OpenTransaction, reason: str) -> None:
        if tx.ended:
            return
        self._remove(tx, f"it was rolled back: {reason}")
        log.info("the transaction %s on %s is rolled back: %s", tx.info.id, tx.info.database, reason)
        task = asyncio.ensure_future(self._give_back(tx))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _give_back(self, tx: OpenTransaction) -> None:
        while tx.lock.locked():  # A statement runs: its caller is being cancelled, or must be stopped.
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
                tx.link.broken = True
            tx.pool.release(tx.link)
