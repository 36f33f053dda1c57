"""Connections and cursors of PEP 249 over the synchronous client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from rpcclient.stubs.database import Page
from rpcclient.sync.client import Client
from rpcclient.sync.stream import Stream
from rpcwire.elsewhere import parent_error
from rpcwire.errors import RpcError
from rpcwire.forking import home

from . import errors
from .base import ConnectionBase, CursorBase
from .copying import PIECE_BYTES, CopyBase, copies_in, encode, pieces_of, row_text, taker_of
from .port import Pages, Pieces, run
from .session import Session
from .statements import Parameters, SentParameters


class SyncPages:
    """Pages read from a stream."""

    def __init__(self, stream: Stream[Page]) -> None:
        self._stream = stream

    async def next(self) -> Page | None:
        with errors.translate_errors():
            return next(self._stream, None)

    async def close(self) -> None:
        try:
            self._stream.close()
        except RpcError:
            pass  # It is over in any case.


class SyncPieces:
    """What a COPY writes, read from a stream."""

    def __init__(self, stream: Stream[bytes]) -> None:
        self._stream = stream

    async def next(self) -> bytes | None:
        with errors.translate_errors():
            return next(self._stream, None)

    async def close(self) -> None:
        try:
            self._stream.close()
        except RpcError:
            pass  # It is over in any case.


class SyncPort:
    """The way to the service over the synchronous client. Nothing in it waits in a coroutine's sense."""

    def __init__(self, client: Client, *, is_own: bool) -> None:
        self.client = client
        self._is_own = is_own
        self._home = home()

    def check_life(self) -> None:
        with errors.translate_errors():
            if self._home is not home():
                raise parent_error("the connection", "connect anew here")

    def check_place(self) -> None:
        """Threads may share it."""

    async def call(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        with errors.translate_errors():
            return getattr(self.client.database, method)(*arguments, **keywords)

    async def stream(self, database: str, sql: str, params: SentParameters, session: str) -> Pages:
        with errors.translate_errors():
            return SyncPages(self.client.database.stream(database, sql, params, transaction=session).open())

    def to_upload(self, pieces: Iterator[bytes]) -> Any:
        return pieces

    async def copy_out(self, database: str, sql: str, session: str) -> Pieces:
        with errors.translate_errors():
            return SyncPieces(self.client.database.copy_out(database, sql, transaction=session).open())

    async def close(self) -> None:
        if self._is_own:
            self.client.close()

    def abort(self) -> None:
        """End the connection at once, if it is this port's own."""
        if self._is_own:
            self.client.abort()


class Connection(ConnectionBase):
    """A session with a remote database. Statements run in a transaction that begins with the first of them (in SQLite,
    with the first that changes rows), unless ``autocommit`` is set. Made by :func:`rpcclient.dbapi.connect`."""

    def __init__(self, session: Session, port: SyncPort) -> None:
        self._session = session
        self._port = port
        run(session.open())

    @property
    def client(self) -> Client:
        """The client behind it, for everything else that the server offers."""
        return self._port.client

    def cursor(self, *, server_side: bool = False) -> Cursor:
        """A new cursor.

        Parameters:
            server_side: take rows from the database as they are fetched, and not all at once. In PostgreSQL several
                such cursors may be open in one transaction; elsewhere, and with ``autocommit``, the next statement on
                this connection makes the client take all rows that are still to come.
        """
        self._session.check()
        return Cursor(self, self._session, server_side=server_side)

    def execute(self, operation: str, parameters: Parameters = None) -> Cursor:
        """Run a statement with a new cursor, and return the cursor."""
        return self.cursor().execute(operation, parameters)

    def commit(self) -> None:
        """Commit the open transaction, if there is one."""
        run(self._session.end(commit=True))

    def rollback(self) -> None:
        """Roll back the open transaction, if there is one."""
        run(self._session.end(commit=False))

    def close(self) -> None:
        """Close it; an open transaction is rolled back."""
        run(self._session.close())

    def terminate(self) -> None:
        """End it at once, and wait for nothing. The server rolls back the open transaction when it sees the connection
        end; a client that was passed to :func:`connect` stays connected, and the session ends with that client."""
        self._session.abandon()
        self._port.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit, or roll back where an exception came; and close."""
        try:
            if kind is None:
                self.commit()
        finally:
            self.close()


class Copy(CopyBase):
    """A COPY of PostgreSQL, as a context manager. What is written to it is sent when the block is left, and nothing is
    where an exception leaves it. Made by :meth:`Cursor.copy`."""

    def __init__(self, session: Session, sql: str, note_rows: Callable[[int], None]) -> None:
        super().__init__(sql, reads=not copies_in(sql, session.dialect))
        self._session = session
        self._note_rows = note_rows
        self._pieces: Pieces | None = None

    def write(self, data: str | bytes | bytearray | memoryview) -> None:
        """Write some of the data, in the format that the statement says."""
        self._put(encode(data))

    def write_row(self, row: Sequence[Any]) -> None:
        """Write a row, where the statement says no format, or text.

        Raises:
            DataError: a value of a type that this cannot write.
        """
        self._put(row_text(row))

    def read(self) -> bytes:
        """What comes next of what the database writes; nothing at the end."""
        self._check_reading()
        return b"" if self._pieces is None else run(self._session.next_piece(self._pieces))

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read():
            yield piece

    def __enter__(self) -> Self:
        if self._reads:
            self._pieces = run(self._session.copy_out(self._sql))
        self._enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pieces is not None:
            run(self._pieces.close())
        elif kind is None:
            self._note_rows(run(self._session.copy_in(self._sql, self._leave())))
        self._drop()


class Cursor(CursorBase):
    """Runs statements and holds their rows.

    Attributes:
        connection: the connection.
        arraysize, server_side: see :class:`~rpcclient.dbapi.base.CursorBase`.
    """

    def __init__(self, connection: Connection, session: Session, *, server_side: bool = False) -> None:
        super().__init__(session, server_side=server_side)
        self.connection = connection

    def execute(self, operation: str, parameters: Parameters = None) -> Self:
        """Run a statement.

        Parameters:
            operation: SQL with ``?``, or with ``:name`` where the parameters have names; in PostgreSQL also with
                ``$1``. Without parameters, it is sent as it is.
            parameters: a sequence or a mapping.

        Raises:
            Error: of the class that PEP 249 names for it.
        """
        self._check()
        self._drop()
        self._results = run(self._session.execute(operation, parameters, server_side=self.server_side))
        return self

    def executemany(self, operation: str, seq_of_parameters: Iterable[Parameters]) -> Self:
        """Run a statement once for each set of parameters: all of them, or none. Many sets go in several calls.

        Parameters:
            operation: as of :meth:`execute`.
            seq_of_parameters: the sets.
        """
        self._check()
        self._drop()
        self._change_count = run(self._session.executemany(operation, seq_of_parameters))
        return self

    def copy_expert(self, sql: str, file: Any, size: int = PIECE_BYTES) -> None:
        """PostgreSQL: run a COPY that reads from a file of this machine, or writes to one, as psycopg2 has it.

        Parameters:
            sql: ``COPY … FROM STDIN`` or ``COPY … TO STDOUT``.
            file: open, of text or bytes.
            size: how much to read from it at a time.

        Raises:
            NotSupportedError: the database is not PostgreSQL.
            Error: of the class that PEP 249 names for it.
        """
        self._check()
        self._drop()
        if copies_in(sql, self._session.dialect):
            self._change_count = run(self._session.copy_in(sql, pieces_of(file, size)))
            return
        take = taker_of(file)
        with Copy(self._session, sql, self._note_rows) as copy:
            for piece in copy:
                take(piece)

    def copy(self, statement: str) -> Copy:
        """PostgreSQL: a COPY to write to or to read from, as psycopg has it.

        ::

            with cursor.copy("COPY zone (id, name) FROM STDIN") as copy:
                copy.write_row((1, "north"))

        Parameters:
            statement: ``COPY … FROM STDIN`` or ``COPY … TO STDOUT``.

        Raises:
            NotSupportedError: the database is not PostgreSQL.
        """
        self._check()
        self._drop()
        return Copy(self._session, statement, self._note_rows)

    def _note_rows(self, rows: int) -> None:
        self._change_count = rows

    def _drop(self) -> None:
        results, self._results, self._change_count = self._results, None, -1
        if results is not None:
            run(results.close())

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row; ``None`` after the last."""
        here, row = self._next_at_hand()
        return row if here else next(iter(run(self._rows().take(1))), None)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """The next rows, at most ``size``, or :attr:`arraysize`.

        Raises:
            ProgrammingError: the number is negative, or the last statement gave no rows.
        """
        return run(self._rows().take(self._size(size)))

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that are left."""
        return run(self._rows().take(None))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while (row := self.fetchone()) is not None:
            yield row

    def close(self) -> None:
        """Close it; rows that are still to come stop in the database."""
        self._closed = True
        if self._results is not None:  # The number of rows and the key stay available.
            run(self._results.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
