"""Transactions and savepoints of the asynchronous client, as context managers."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from rpcclient.portions import divide, join
from rpcclient.stubs.database import (
    Changed,
    Description,
    Isolation,
    Page,
    Plan,
    Result,
    Step,
    StepResult,
    Transaction,
    TransactionLost,
    TxState,
)
from rpcclient.transactions import Note, TransactionState
from rpcwire.aio.cancelling import gives_way
from rpcwire.errors import InvalidParams, RpcError, count_rows
from rpcwire.values.tagged import Value

from .calling import AsyncCalls
from .stream import AsyncStream
from .stubs.database import AsyncDatabase

_T = TypeVar("_T")


class AsyncDatabaseTransaction(TransactionState):
    """A transaction. As a context manager it begins, commits at the end of the block, and rolls back if the block
    raises. ``begin``, ``commit`` and ``rollback`` do the same one by one.

    ::

        async with client.database.transaction("main") as tx:
            await tx.execute("UPDATE account SET cents = cents - 100 WHERE id = ?", [1])
            await tx.execute("UPDATE account SET cents = cents + 100 WHERE id = ?", [2])

    It belongs to the connection: if the connection is lost, the server rolls back. Each statement renews its lease
    (``info.idle_s``), up to ``info.total_s``.
    """

    def __init__(
        self,
        database: AsyncDatabase,
        calls: AsyncCalls,
        name: str,
        isolation: Isolation | None = None,
        *,
        readonly: bool = False,
    ) -> None:
        super().__init__()
        self._database = database
        self._calls = calls
        self._name = name
        self._isolation = isolation
        self._readonly = readonly

    # --- its life -----------------------------------------------------------------------------------------------

    @gives_way
    async def begin(self) -> Transaction:
        """Begin the transaction, or a new one if it has ended.

        Returns:
            The server's answer: id, isolation, leases.

        Raises:
            DatabaseProgrammingError: it is open already.
            DatabaseError, UnknownDatabase: the database refuses, or does not exist.
        """
        self._check_may_begin()
        info = await self._database.begin(self._name, isolation=self._isolation, readonly=self._readonly)
        self._note_begin(info)
        return info

    @gives_way
    async def commit(self) -> None:
        """Commit the transaction.

        Raises:
            DatabaseError: the database refused, and has rolled back.
            TransactionLost: it is no more.
        """
        transaction_id = self.id
        self._calls.connector.enter()
        try:
            await self._database.commit(transaction_id)
        finally:
            self._note_end()

    @gives_way
    async def rollback(self) -> None:
        """Roll the transaction back.

        Raises:
            DatabaseError: the database refused; its connection is closed, which rolls back.
            TransactionLost: it is no more.
        """
        transaction_id = self.id
        self._calls.connector.enter()
        try:
            await self._database.rollback(transaction_id)
        finally:
            self._note_end()

    async def renew(self) -> TxState:
        """Renew the lease of the transaction, and return its state.

        Raises:
            TransactionLost: it is no more.
        """
        state = await self._run(self._database.renew)
        self.state = state
        return state

    async def __aenter__(self) -> Self:
        await self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if exc is None:
            if not self._is_settled:
                await self.commit()
        elif self._wants_rollback:
            try:
                await self.rollback()
            except RpcError as error:  # The server rolls back by itself. The first error stays the error.
                if not isinstance(error, TransactionLost):
                    exc.add_note(f"the rollback failed: {error}")

    # --- statements ---------------------------------------------------------------------------------------------

    async def query(
        self, sql: str, params: dict[str, Value] | list[Value] | None = None, *, max_rows: int | None = None
    ) -> Result:
        """Read rows; see :meth:`Database.query`."""
        return await self._run(
            lambda transaction_id: self._database.query(
                self._name, sql, params, transaction=transaction_id, max_rows=max_rows
            )
        )

    async def execute(
        self, sql: str, params: dict[str, Value] | list[Value] | None = None, *, max_rows: int | None = None
    ) -> Result:
        """Run a statement that may change the database; see :meth:`Database.execute`."""
        return await self._run(
            lambda transaction_id: self._database.execute(
                self._name, sql, params, transaction=transaction_id, max_rows=max_rows
            )
        )

    def stream(
        self, sql: str, params: dict[str, Value] | list[Value] | None = None, *, page_rows: int | None = None
    ) -> AsyncStream[Page]:
        """Read any number of rows, page by page; see :meth:`Database.stream`. Until the stream is read or
        closed, other statements of the transaction wait."""
        stream = self._database.stream(self._name, sql, params, transaction=self.id, page_rows=page_rows)
        return AsyncNotedStream(stream, self._note_failure)

    async def executemany(self, sql: str, params: list[dict[str, Value]] | list[list[Value]]) -> Changed:
        """Run a statement once for each set of parameters; see :meth:`Database.executemany`. If they are too many for
        one message, they go in several, after a savepoint, so that still all of them count, or none."""
        parts = divide(params)
        if len(parts) == 1:
            return await self._many(sql, parts[0])
        async with self.savepoint():
            changes: list[Changed] = []
            rows = 0
            for part in parts:
                changes.append(await self._many(sql, part, rows))
                rows += len(part)
        return join(changes)

    async def _many(self, sql: str, params: list[dict[str, Value]] | list[list[Value]], first_row: int = 0) -> Changed:
        try:
            return await self._run(
                lambda transaction_id: self._database.executemany(
                    self._name, sql, params, transaction=transaction_id, first_row=first_row
                )
            )
        except InvalidParams as exc:
            raise count_rows(exc, first_row) from None

    async def copy_in(self, sql: str, data: AsyncIterable[bytes]) -> Changed:
        """PostgreSQL: run ``COPY … FROM STDIN``; see :meth:`Database.copy_in`."""
        return await self._run(
            lambda transaction_id: self._database.copy_in(self._name, sql, data, transaction=transaction_id)
        )

    def copy_out(self, sql: str) -> AsyncStream[bytes]:
        """PostgreSQL: run ``COPY … TO STDOUT``; see :meth:`Database.copy_out`. Until the stream is read or
        closed, other statements of the transaction wait."""
        return AsyncNotedStream(self._database.copy_out(self._name, sql, transaction=self.id), self._note_failure)

    async def batch(self, steps: list[Step], *, max_rows: int | None = None) -> list[StepResult]:
        """Run several statements in one call; see :meth:`Database.batch`."""
        return await self._run(
            lambda transaction_id: self._database.batch(
                self._name, steps, transaction=transaction_id, max_rows=max_rows
            )
        )

    async def script(self, sql: str) -> Changed:
        """Run several statements without parameters; see :meth:`Database.script`."""
        return await self._run(
            lambda transaction_id: self._database.script(self._name, sql, transaction=transaction_id)
        )

    async def explain(
        self, sql: str, params: dict[str, Value] | list[Value] | None = None, *, analyze: bool = False
    ) -> Plan:
        """Return how the database would run a statement; see :meth:`Database.explain`."""
        return await self._run(
            lambda transaction_id: self._database.explain(
                self._name, sql, params, analyze=analyze, transaction=transaction_id
            )
        )

    async def describe(self, sql: str) -> Description:
        """Return what a statement takes and returns; see :meth:`Database.describe`."""
        return await self._run(
            lambda transaction_id: self._database.describe(self._name, sql, transaction=transaction_id)
        )

    def savepoint(self, name: str | None = None) -> AsyncSavepoint:
        """Make a savepoint. It is set when its block is entered. Savepoints may be nested.

        ::

            async with tx.savepoint():
                await tx.execute("INSERT INTO tag VALUES ('new')")  # If it fails, only this is undone.

        Parameters:
            name: letters, digits and underscores; if not given, it gets a name of its own.
        """
        return AsyncSavepoint(self, name)

    @gives_way
    async def _run(self, call: Callable[[str], Awaitable[_T]]) -> _T:
        transaction_id = self.id
        try:
            result = await call(transaction_id)
        except BaseException as exc:
            self._note_failure(exc)
            raise
        self._note_success(result)
        return result


class AsyncSavepoint:
    """A point in a transaction to which one can go back. As a context manager it is set, and forgotten at the end of
    the block. If the block raises, its changes are undone, and the transaction itself goes on."""

    def __init__(self, transaction: AsyncDatabaseTransaction, name: str | None = None) -> None:
        self._transaction = transaction
        self.name = name or transaction._next_savepoint()

    async def set(self) -> None:
        """Set the savepoint.

        Raises:
            DatabaseError: the database refused.
            TransactionLost: the transaction is no more.
        """
        tx = self._transaction
        await tx._run(lambda transaction_id: tx._database.savepoint(transaction_id, self.name))

    async def rollback(self) -> None:
        """Undo everything since the savepoint. The savepoint stays, and a failed transaction is active again.

        Raises:
            DatabaseError, TransactionLost: as of :meth:`set`.
        """
        tx = self._transaction
        await tx._run(lambda transaction_id: tx._database.rollback_to(transaction_id, self.name))
        tx.state = TxState.ACTIVE

    async def release(self) -> None:
        """Forget the savepoint. What was done since then stays.

        Raises:
            DatabaseError, TransactionLost: as of :meth:`set`.
        """
        tx = self._transaction
        await tx._run(lambda transaction_id: tx._database.release(transaction_id, self.name))

    async def __aenter__(self) -> Self:
        await self.set()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        tx = self._transaction
        if exc is None:
            if not tx._is_settled:
                await self.release()
        elif tx._wants_rollback:
            try:
                await self.rollback()
                await self.release()
            except RpcError as error:
                exc.add_note(f"going back to the savepoint {self.name} failed: {error}")


class AsyncNotedStream(AsyncStream[Any]):
    """A stream that notes its errors in the state of its transaction."""

    def __init__(self, stream: AsyncStream[Any], note: Note) -> None:
        super().__init__(stream._begin)
        self._note = note

    async def open(self) -> Self:
        try:
            return await super().open()
        except BaseException as exc:
            self._note(exc)
            raise

    async def __anext__(self) -> Any:
        try:
            return await super().__anext__()
        except StopAsyncIteration:
            raise
        except RpcError as exc:
            self._note(exc)
            raise
