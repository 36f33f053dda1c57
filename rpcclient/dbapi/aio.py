"""The asynchronous twin of :mod:`rpcclient.dbapi`: ``connection = await rpcclient.dbapi.aio.connect(...)``.

PEP 249 knows no asynchronous drivers: the names are its own, and whatever may wait is awaited.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

from rpcclient.aio.client import AsyncClient
from rpcclient.aio.life import Life, running_loop
from rpcclient.aio.stream import AsyncStream
from rpcclient.stubs.database import Isolation, Page
from rpcclient.targets import Access
from rpcwire.aio.cancelling import gives_way
from rpcwire.errors import LocalProtocolError, RpcError

from . import (
    BINARY,
    DATETIME,
    NUMBER,
    ROWID,
    STRING,
    Binary,
    DatabaseError,
    DataError,
    Date,
    DateFromTicks,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Time,
    TimeFromTicks,
    Timestamp,
    TimestampFromTicks,
    Warning,  # noqa: A004 - PEP 249 names it so
    apilevel,
    errors,
    paramstyle,
    threadsafety,
)
from .base import ConnectionBase, CursorBase, isolation_of
from .copying import PIECE_BYTES, CopyBase, copies_in, encode, pieces_of, row_text, taker_of
from .port import Pages, Pieces
from .session import Session
from .statements import Parameters, SentParameters
from .types import TIMEOUT_S


async def _close(stream: AsyncStream[Any]) -> None:
    """Stop reading a stream.

    Raises:
        LocalProtocolError: it belongs to another event loop, which is not closed.
    """
    try:
        await stream.aclose()
    except LocalProtocolError:
        raise
    except RpcError:
        pass  # The stream has ended in any case.


class AsyncPages:
    """Pages read from a stream."""

    def __init__(self, stream: AsyncStream[Page]) -> None:
        self._stream = stream

    async def next(self) -> Page | None:
        with errors.translate_errors():
            return await anext(self._stream, None)

    async def close(self) -> None:
        with errors.translate_errors():
            await _close(self._stream)


class AsyncPieces:
    """What a COPY writes, read from a stream."""

    def __init__(self, stream: AsyncStream[bytes]) -> None:
        self._stream = stream

    async def next(self) -> bytes | None:
        with errors.translate_errors():
            return await anext(self._stream, None)

    async def close(self) -> None:
        with errors.translate_errors():
            await _close(self._stream)


class AsyncPort:
    """The way to the service over the asynchronous client."""

    def __init__(self, client: AsyncClient, *, is_own: bool) -> None:
        self.client = client
        self._is_own = is_own
        self._life = Life(running_loop())

    def check_life(self) -> None:
        with errors.translate_errors():
            self._life.check_over("the connection", "connect anew here")

    def check_place(self) -> None:
        with errors.translate_errors():
            self._life.check_place("the connection")

    async def call(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        with errors.translate_errors():
            return await getattr(self.client.database, method)(*arguments, **keywords)

    async def stream(self, database: str, sql: str, params: SentParameters, session: str) -> Pages:
        with errors.translate_errors():
            return AsyncPages(await self.client.database.stream(database, sql, params, transaction=session).open())

    def to_upload(self, pieces: Iterator[bytes]) -> Any:
        return _to_async(pieces)

    async def copy_out(self, database: str, sql: str, session: str) -> Pieces:
        with errors.translate_errors():
            return AsyncPieces(await self.client.database.copy_out(database, sql, transaction=session).open())

    async def close(self) -> None:
        if self._is_own:
            with errors.translate_errors():
                await self.client.close()

    def abort(self) -> None:
        """End the connection at once, if it is this port's own."""
        if self._is_own:
            self.client.abort()


async def connect(
    url: str | None = None,
    *,
    database: str = "main",
    client: AsyncClient | None = None,
    autocommit: bool = False,
    isolation: Isolation | str | None = None,
    readonly: bool = False,
    timeout_s: float = TIMEOUT_S,
    **access: Unpack[Access],
) -> AsyncConnection:
    """Connect to a remote database. Parameters and errors are those of :func:`rpcclient.dbapi.connect`."""
    level = isolation_of(isolation)
    is_own = client is None
    with errors.translate_errors():
        if client is None:
            client = AsyncClient(url, **access)
            await client.connect()
    port = AsyncPort(client.options(timeout_s=timeout_s), is_own=is_own)
    session = Session(port, database, autocommit=autocommit, isolation=level, readonly=readonly)
    try:
        await session.open()
    except BaseException:
        await port.close()
        raise
    return AsyncConnection(session, port)


class AsyncConnection(ConnectionBase):
    """The twin of :class:`rpcclient.dbapi.Connection`."""

    def __init__(self, session: Session, port: AsyncPort) -> None:
        self._session = session
        self._port = port

    @property
    def client(self) -> AsyncClient:
        """The client behind it, for everything else that the server offers."""
        return self._port.client

    def cursor(self, *, server_side: bool = False) -> AsyncCursor:
        """A new cursor; ``server_side`` as of :meth:`rpcclient.dbapi.Connection.cursor`."""
        self._session.check()
        return AsyncCursor(self, self._session, server_side=server_side)

    @gives_way
    async def execute(self, operation: str, parameters: Parameters = None) -> AsyncCursor:
        """Run a statement with a new cursor, and return the cursor."""
        return await self.cursor().execute(operation, parameters)

    @gives_way
    async def commit(self) -> None:
        """Commit the open transaction, if there is one."""
        await self._session.end(commit=True)

    @gives_way
    async def rollback(self) -> None:
        """Roll back the open transaction, if there is one."""
        await self._session.end(commit=False)

    async def close(self) -> None:
        """Close the connection. The database rolls an open transaction back."""
        await self._session.close()

    def terminate(self) -> None:
        """End it at once, and wait for nothing. The server rolls back the open transaction when it sees the connection
        end; a client that was passed to :func:`connect` stays connected, and the session ends with that client."""
        self._session.abandon()
        self._port.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit, or roll back where an exception came; and close."""
        try:
            if kind is None:
                await self.commit()
        finally:
            await self.close()


async def _to_async(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


class AsyncCopy(CopyBase):
    """The twin of :class:`rpcclient.dbapi.Copy`."""

    def __init__(self, session: Session, sql: str, note_rows: Callable[[int], None]) -> None:
        super().__init__(sql, reads=not copies_in(sql, session.dialect))
        self._session = session
        self._note_rows = note_rows
        self._pieces: Pieces | None = None

    @gives_way
    async def write(self, data: str | bytes | bytearray | memoryview) -> None:
        """Write some of the data, in the format that the statement says."""
        self._put(encode(data))

    @gives_way
    async def write_row(self, row: Sequence[Any]) -> None:
        """Write a row; see :meth:`rpcclient.dbapi.Copy.write_row`."""
        self._put(row_text(row))

    @gives_way
    async def read(self) -> bytes:
        """Read the next piece that the database writes; empty at the end."""
        self._check_reading()
        return b"" if self._pieces is None else await self._session.next_piece(self._pieces)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.read():
            yield piece

    async def __aenter__(self) -> Self:
        if self._reads:
            self._pieces = await self._session.copy_out(self._sql)
        self._enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pieces is not None:
            await self._pieces.close()
        elif kind is None:
            self._note_rows(await self._session.copy_in(self._sql, self._leave()))
        self._drop()


class AsyncCursor(CursorBase):
    """The twin of :class:`rpcclient.dbapi.Cursor`."""

    def __init__(self, connection: AsyncConnection, session: Session, *, server_side: bool = False) -> None:
        super().__init__(session, server_side=server_side)
        self.connection = connection

    @gives_way
    async def execute(self, operation: str, parameters: Parameters = None) -> Self:
        """Run a statement; see :meth:`rpcclient.dbapi.Cursor.execute`."""
        self._check()
        await self._drop()
        self._results = await self._session.execute(operation, parameters, server_side=self.server_side)
        return self

    @gives_way
    async def executemany(self, operation: str, seq_of_parameters: Iterable[Parameters]) -> Self:
        """Run a statement once for each set of parameters; see :meth:`rpcclient.dbapi.Cursor.executemany`."""
        self._check()
        await self._drop()
        self._change_count = await self._session.executemany(operation, seq_of_parameters)
        return self

    @gives_way
    async def copy_expert(self, sql: str, file: Any, size: int = PIECE_BYTES) -> None:
        """PostgreSQL: run a COPY that reads from a file of this machine, or writes to one; see
        :meth:`rpcclient.dbapi.Cursor.copy_expert`."""
        self._check()
        await self._drop()
        if copies_in(sql, self._session.dialect):
            self._change_count = await self._session.copy_in(sql, pieces_of(file, size))
            return
        take = taker_of(file)
        async with AsyncCopy(self._session, sql, self._note_rows) as copy:
            async for piece in copy:
                take(piece)

    def copy(self, statement: str) -> AsyncCopy:
        """PostgreSQL: a COPY to write to or to read from; see :meth:`rpcclient.dbapi.Cursor.copy`."""
        self._check()
        return AsyncCopy(self._session, statement, self._note_rows)

    def _note_rows(self, rows: int) -> None:
        self._change_count = rows

    async def _drop(self) -> None:
        results, self._results, self._change_count = self._results, None, -1
        if results is not None:
            await results.close()

    @gives_way
    async def fetchone(self) -> tuple[Any, ...] | None:
        """The next row; ``None`` after the last."""
        here, row = self._next_at_hand()
        return row if here else next(iter(await self._rows().take(1)), None)

    @gives_way
    async def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """The next rows, at most ``size``, or :attr:`arraysize`; see :meth:`rpcclient.dbapi.Cursor.fetchmany`."""
        return await self._rows().take(self._size(size))

    @gives_way
    async def fetchall(self) -> list[tuple[Any, ...]]:
        """Fetch all remaining rows."""
        return await self._rows().take(None)

    async def __aiter__(self) -> AsyncIterator[tuple[Any, ...]]:
        while (row := await self.fetchone()) is not None:
            yield row

    async def close(self) -> None:
        """Close the cursor. The database stops sending rows."""
        self._session.check_place()
        self._closed = True
        if self._results is not None:  # The number of rows and the key stay available.
            await self._results.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


__all__ = [
    "BINARY", "DATETIME", "NUMBER", "ROWID", "STRING", "AsyncConnection", "AsyncCopy", "AsyncCursor", "Binary",
    "DataError", "DatabaseError", "Date", "DateFromTicks", "Error", "IntegrityError", "InterfaceError",
    "InternalError", "NotSupportedError", "OperationalError", "ProgrammingError", "Time", "TimeFromTicks", "Timestamp",
    "TimestampFromTicks", "Warning", "apilevel", "connect", "paramstyle", "threadsafety",
]  # fmt: skip
