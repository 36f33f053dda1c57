"""A session with a remote database: it begins and ends transactions, and keeps track of their state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from rpcclient.portions import portions
from rpcclient.stubs.database import Changed, Isolation, Page, TxState
from rpcclient.stubs.database import Session as SessionInfo

from .copying import WatchedPieces
from .errors import Error, InterfaceError, rolled_back
from .port import Pages, Pieces, Port
from .results import BufferedRows, DeclaredCursor, Results, StreamedRows
from .statements import Parameters, begins_transaction, check_text, is_query, to_param_sets, to_params

_OPEN: Final = frozenset({TxState.ACTIVE, TxState.FAILED})


class Session:
    """The session behind a connection, synchronous or asynchronous.

    Attributes:
        autocommit: let each statement commit itself. It takes effect when no transaction is open.
        isolation: the level of the transactions to come; the database's own where ``None``.
        readonly: have the database refuse every change in the transactions to come.
        deferrable: PostgreSQL: let a serializable transaction that only reads wait until it cannot fail. It takes no
            effect where the whole connection only reads.
        database: the name of the database.
        dialect: its kind, as the server tells it.
        epoch: counts the transactions that have ended.
    """

    def __init__(
        self, port: Port, database: str, *, autocommit: bool, isolation: Isolation | None, readonly: bool
    ) -> None:
        self.autocommit = autocommit
        self.isolation = isolation
        self.readonly = readonly
        self.deferrable = False
        self.database = database
        self.dialect = ""
        self.epoch = 0
        self._port = port
        self._id = ""
        self._only_reads = readonly
        self._state = TxState.NONE
        self._why_closed = "the connection is closed"
        self._closed = False
        self._is_lost = False
        self._why_failed: Error | None = None
        self._reading: StreamedRows | None = None
        self._cursors = 0

    @property
    def closed(self) -> bool:
        """Whether the session is closed or lost."""
        return self._closed

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, as the server reports it."""
        return self._state in _OPEN

    @property
    def has_failed(self) -> bool:
        """Whether the open transaction can only be rolled back."""
        return self._state is TxState.FAILED

    def _become(self, state: TxState) -> None:
        if self._state in _OPEN and state not in _OPEN:
            self.epoch += 1
        self._state = state

    def check(self) -> None:
        """Refuse to go on after the session is closed or lost: another session could not continue its work.

        Raises:
            InterfaceError: it is.
            OperationalError: it belongs to another process, or to an event loop that has ended.
        """
        if self._closed:
            error = InterfaceError(self._why_closed)
            error.disconnected = self._is_lost
            raise error
        try:
            self._port.check_life()
        except Error as error:
            self.learn(error)
            raise

    def check_here(self) -> None:
        """Refuse as :meth:`check` does, and in another event loop, too: for methods that wait for the connection.

        Raises:
            InterfaceError: it is closed; or it belongs to another event loop, which is not.
            OperationalError: as of :meth:`check`.
        """
        self.check()
        self._port.check_place()

    def check_place(self) -> None:
        """Refuse to close something of it where that cannot be done.

        Raises:
            InterfaceError: it belongs to another event loop, which is not closed.
        """
        if not self._closed:
            self._port.check_place()

    async def open(self) -> None:
        """Begin the session."""
        info: SessionInfo = await self.call("connect", self.database, readonly=self.readonly)
        self._id, self.dialect, self._only_reads = info.id, info.dialect, info.readonly

    async def call(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Call a method of the service, and learn from its errors."""
        self.check_here()
        try:
            return await self._port.call(method, *arguments, **keywords)
        except Error as error:
            self.learn(error)
            raise

    def learn(self, error: Error) -> None:
        """Take note of what an error says of the session."""
        if error.disconnected:
            if self._is_lost:
                return
            self._closed = self._is_lost = True
            self._why_closed = f"the connection was lost ({error}): connect anew"
            self._reading = None
            self._become(TxState.ENDED)
        elif error.tx_state is not None:
            if not self.has_failed:
                self._why_failed = rolled_back(error)  # Later errors say only that the transaction has failed.
            self._become(TxState(error.tx_state))

    def learn_page(self, page: Page) -> None:
        """Take note of what the last page of a statement says of the transaction."""
        self._become(page.tx_state)

    def release(self, results: StreamedRows) -> None:
        """Note that all rows of a statement have arrived, or are no longer needed."""
        if self._reading is results:
            self._reading = None

    async def ready(self, sql: str) -> None:
        """Make sure that a statement can be sent, with a transaction open where one is to be."""
        self.check_here()
        check_text(sql)
        if self._reading is not None:
            await self._reading.keep_rest()
        if not self.autocommit and not self.in_transaction and begins_transaction(sql, self.dialect):
            await self.begin()

    async def begin(self) -> None:
        """Begin a transaction."""
        isolation, readonly = self.isolation, self.readonly
        if self.deferrable and self.dialect == "postgresql" and not self._only_reads:
            level = f" ISOLATION LEVEL {isolation.value.upper()}" if isolation else ""
            sql = f"BEGIN{level} READ {'ONLY' if readonly else 'WRITE'} DEFERRABLE"
            await self.call("execute", self.database, sql, transaction=self._id)
        else:
            await self.call("begin", self.database, isolation=isolation, readonly=readonly, session=self._id)
        self._become(TxState.ACTIVE)

    async def end(self, *, commit: bool) -> None:
        """Commit or roll back the open transaction, if there is one.

        Raises:
            Error: it is to be committed, and has failed: the error of the statement that it failed with. Tools such as
                pandas commit after an error, too, and raise what comes last. It has been rolled back.
        """
        self.check_here()
        if self._reading is not None:
            await self._reading.keep_rest()
        if self.in_transaction:
            why = self._why_failed if commit and self.has_failed else None
            self._become(TxState.NONE)  # In any case: a commit that fails is rolled back.
            await self.call("rollback" if why is not None or not commit else "commit", self._id)
            if why is not None:
                raise why

    async def pages(self, sql: str, parameters: Parameters) -> Pages:
        """Start a statement, without any preparation."""
        self.check_here()
        try:
            return await self._port.stream(self.database, sql, to_params(parameters), self._id)
        except Error as error:
            self.learn(error)
            raise

    async def execute(self, sql: str, parameters: Parameters, *, server_side: bool) -> Results:
        """Run a statement.

        Parameters:
            sql: the statement.
            parameters: for its placeholders.
            server_side: leave rows in the database until they are asked for.
        """
        await self.ready(sql)
        if server_side and self.dialect == "postgresql" and self.in_transaction and is_query(sql):
            self._cursors += 1
            return await DeclaredCursor.start(self, f"rpc_{self._cursors}", sql, parameters)
        if server_side:
            self._reading = results = StreamedRows(self, await self.pages(sql, parameters))
            await results.start()
            return results
        return await BufferedRows.start(self, sql, parameters)

    async def executemany(self, sql: str, sets: Iterable[Parameters]) -> int:
        """Run a statement once for each set of parameters: all of them, or none.

        Returns:
            How many rows were changed; -1 where unknown.
        """
        parts = list(portions(to_param_sets(sets)))
        if not parts:
            return 0
        await self.ready(sql)
        alone = not self.in_transaction and len(parts) > 1
        if alone:
            await self.begin()
        counts: list[int] = []
        try:
            rows = 0
            for part in parts:
                done: Changed = await self.call(
                    "executemany", self.database, sql, part, transaction=self._id, first_row=rows
                )
                self._become(done.tx_state)
                counts.append(done.rowcount)
                rows += len(part)
        except BaseException:
            if alone and not self.closed:
                await self.end(commit=False)
            raise
        if alone:
            await self.end(commit=True)
        return -1 if -1 in counts else sum(counts)

    async def copy_in(self, sql: str, pieces: Iterator[bytes]) -> int:
        """Have a COPY read data.

        Parameters:
            sql: the statement.
            pieces: the data.

        Returns:
            How many rows were copied; -1 where unknown.

        Raises:
            Exception: what the pieces raise.
        """
        await self.ready(sql)
        watch = WatchedPieces(pieces)
        upload = self._port.to_upload(watch)
        try:
            done: Changed = await self.call("copy_in", self.database, sql, upload, transaction=self._id)
        except Error:
            if watch.error is not None:
                raise watch.error from None
            raise
        self._become(done.tx_state)
        return done.rowcount

    async def copy_out(self, sql: str) -> Pieces:
        """Start a COPY that writes to the client. Nothing else runs before it is over."""
        await self.ready(sql)
        try:
            return await self._port.copy_out(self.database, sql, self._id)
        except Error as error:
            self.learn(error)
            raise

    async def next_piece(self, pieces: Pieces) -> bytes:
        """The next piece of what a COPY writes; nothing after the last."""
        try:
            return await pieces.next() or b""
        except Error as error:
            self.learn(error)
            raise

    def abandon(self) -> None:
        """Give the session up, without a call to the server."""
        self._closed, self._reading = True, None
        self._become(TxState.ENDED)

    async def close(self) -> None:
        """Close the session. The database rolls an open transaction back."""
        self.check_place()
        try:
            if not self._closed:
                if self._reading is not None:
                    await self._reading.close()
                await self.call("disconnect", self._id)
        except Error:
            pass  # The server ends the session of a client that goes.
        finally:
            self._closed = True
            self._become(TxState.ENDED)
            await self._port.close()
