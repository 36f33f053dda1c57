"""The rows of one statement: all at once, as they come, or from a cursor declared in PostgreSQL."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, Self

from rpcclient.stubs.database import Column, Page

from .errors import Error, ProgrammingError
from .port import Pages

if TYPE_CHECKING:
    from .statements import Parameters

Row = tuple[Any, ...]
_FIRST_ROWS, _MOST_ROWS = 64, 4096


class Results(Protocol):
    """The results of a statement.

    Attributes:
        columns: of its rows; none where it gave none.
        gives_rows: whether it gave rows, which in PostgreSQL may have no columns.
        rowcount: rows found or changed; -1 where not known.
        last_insert_id: the key that an INSERT was given, where the database says so.
        notices: what the statement asked for and did not get, though it is no error.
    """

    columns: tuple[Column, ...]
    gives_rows: bool
    rowcount: int
    last_insert_id: int | None
    notices: list[str]

    async def take(self, limit: int | None) -> list[Row]:
        """The next rows, or all remaining ones if ``limit`` is ``None``; none after the last."""
        ...

    async def close(self) -> None:
        """Stop: the rows that have not arrived are not needed."""
        ...


class Session(Protocol):
    """What results use of the session in which their statement runs.

    Attributes:
        epoch: counts the transactions that have ended.
        has_failed: whether the transaction has failed.
        closed: whether the connection is closed.
    """

    epoch: int

    @property
    def has_failed(self) -> bool: ...
    @property
    def closed(self) -> bool: ...
    async def ready(self, sql: str) -> None:
        """Begin a transaction where the statement needs one."""
        ...

    async def pages(self, sql: str, parameters: Parameters) -> Pages:
        """Start a statement."""
        ...

    def learn(self, error: Error) -> None:
        """Note what an error says of the transaction."""
        ...

    def learn_page(self, page: Page) -> None:
        """Note what a last page says of it."""
        ...

    def release(self, results: StreamedRows) -> None:
        """Note that these results no longer need the session."""
        ...


class BufferedRows:
    """All rows, read before anything else happens."""

    def __init__(self, pages: list[Page]) -> None:
        last = pages[-1]
        self.columns, self.gives_rows = pages[0].columns, pages[0].gives_rows
        self.rowcount = last.rowcount
        self.last_insert_id = last.last_insert_id
        self.notices = last.notices
        self.rows: Iterator[Row] = itertools.chain.from_iterable(page.rows.tuples() for page in pages)

    @classmethod
    async def start(cls, session: Session, sql: str, parameters: Parameters) -> Self:
        """Run a statement."""
        stream = await session.pages(sql, parameters)
        pages: list[Page] = []
        try:
            while (page := await stream.next()) is not None:
                pages.append(page)
        except Error as error:
            session.learn(error)
            raise
        except BaseException:
            await stream.close()
            raise
        session.learn_page(pages[-1])
        return cls(pages)

    async def take(self, limit: int | None) -> list[Row]:
        return list(self.rows if limit is None else itertools.islice(self.rows, limit))

    async def close(self) -> None:
        self.rows = iter(())


class StreamedRows:
    """Rows as they arrive. Until the last has arrived, the session can do nothing else: whoever needs the session calls
    :meth:`keep_rest` first."""

    def __init__(self, session: Session, pages: Pages) -> None:
        self.columns: tuple[Column, ...] = ()
        self.gives_rows = True
        self.rowcount = -1
        self.last_insert_id: int | None = None
        self.notices: list[str] = []
        self._session = session
        self._pages: Pages | None = pages
        self._last: Page | None = None
        self._rows: deque[Row] = deque()

    async def start(self) -> None:
        """Wait for the first page."""
        page = await self._more()
        assert page is not None, "a stream has a page at least"
        self.columns, self.gives_rows = page.columns, page.gives_rows
        if not self.gives_rows:
            await self.keep_rest()

    async def _more(self) -> Page | None:
        if self._pages is None:
            return None
        try:
            page = await self._pages.next()
        except Error as error:
            self._end()
            self._session.learn(error)
            raise
        except BaseException:
            await self.close()
            raise
        if page is None:
            self._end()
            if self._last is not None:
                self._session.learn_page(self._last)
            return None
        self._last = page
        self._rows.extend(page.rows.tuples())
        self.rowcount, self.last_insert_id, self.notices = page.rowcount, page.last_insert_id, page.notices
        return page

    def _end(self) -> None:
        self._pages = None
        self._session.release(self)

    async def keep_rest(self) -> None:
        """Read the remaining rows into memory: the session is needed for something else."""
        while await self._more() is not None:
            pass

    async def take(self, limit: int | None) -> list[Row]:
        while (limit is None or len(self._rows) < limit) and await self._more() is not None:
            pass
        return _take_rows(self._rows, limit)

    async def close(self) -> None:
        pages = self._pages
        self._rows.clear()
        self._end()
        if pages is not None:
            await pages.close()


class DeclaredCursor:
    """Rows of a cursor declared in PostgreSQL: several may be open in a transaction, and other statements run beside
    them (https://www.postgresql.org/docs/current/sql-declare.html)."""

    def __init__(self, session: Session, name: str) -> None:
        self.columns: tuple[Column, ...] = ()
        self.gives_rows = True
        self.rowcount = -1
        self.last_insert_id: int | None = None
        self.notices: list[str] = []
        self._session = session
        self._name = name
        self._open = False
        self._epoch = 0
        self._rows: deque[Row] = deque()
        self._next = _FIRST_ROWS

    @classmethod
    async def start(cls, session: Session, name: str, sql: str, parameters: Parameters) -> Self:
        """Declare the cursor, and fetch the first rows."""
        cursor = cls(session, name)
        await BufferedRows.start(session, f'DECLARE "{name}" NO SCROLL CURSOR FOR {sql}', parameters)
        cursor._open, cursor._epoch = True, session.epoch
        cursor.columns = (await cursor._fetch())[0].columns
        return cursor

    async def _fetch(self) -> list[Page]:
        """The next rows: as many as filled about one page of the server before."""
        session = self._session
        if session.epoch != self._epoch:
            self._open = False
            raise ProgrammingError("the transaction of this server-side cursor has ended: fetch before it does")
        limit = self._next
        await session.ready("FETCH")
        stream = await session.pages(f'FETCH FORWARD {limit} FROM "{self._name}"', None)
        pages: list[Page] = []
        try:
            while (page := await stream.next()) is not None:
                pages.append(page)
        except Error as error:
            self._open = False
            session.learn(error)
            raise
        except BaseException:
            self._open = False
            await stream.close()
            raise
        count = sum(len(page) for page in pages)
        self._rows.extend(itertools.chain.from_iterable(page.rows.tuples() for page in pages))
        self._next = min(_MOST_ROWS, limit * 2) if len(pages) == 1 else max(1, limit // len(pages))
        if count < limit:
            await self._finish(certain=True)
        return pages

    async def _finish(self, *, certain: bool) -> None:
        is_open, self._open = self._open, False
        session = self._session
        if not is_open or session.epoch != self._epoch or session.has_failed or session.closed:
            return
        # A rollback to a savepoint may have closed it, and closing it again would fail the transaction.
        there = "SELECT 1 FROM pg_catalog.pg_cursors WHERE name = $1"
        if certain or await (await BufferedRows.start(session, there, [self._name])).take(1):
            await BufferedRows.start(session, f'CLOSE "{self._name}"', None)

    async def take(self, limit: int | None) -> list[Row]:
        while self._open and (limit is None or len(self._rows) < limit):
            await self._fetch()
        return _take_rows(self._rows, limit)

    async def close(self) -> None:
        self._rows.clear()
        await self._finish(certain=False)


def _take_rows(rows: deque[Row], limit: int | None) -> list[Row]:
    if limit is None or limit >= len(rows):
        everything = list(rows)
        rows.clear()
        return everything
    return [rows.popleft() for _ in range(limit)]
