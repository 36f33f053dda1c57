"""Reads rows from a cursor: a whole result up to its limits, or page by page. Each row is encoded once, when it
arrives."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rpcwire.rows.rows import Rows, pack_rows

from .backends.base import Cursor, Link
from .backends.parameters import Params, missing_parameters
from .errors import DatabaseDataError, DatabaseProgrammingError
from .failures import translate_error
from .hints import is_change
from .models import Page, Result, TxState

FIRST_ROWS = 128
"""The number of rows of the first fetch; later fetches depend on the size of the rows."""

_Chunk = tuple[bytes, int]


def _encode(rows: Sequence[Sequence[Any]], width: int) -> bytes:
    try:
        return pack_rows(rows, width)
    except (TypeError, ValueError) as exc:
        raise DatabaseDataError(f"a value of the result cannot be sent: {exc}; cast it to text in SQL") from None


def split(rows: Sequence[Sequence[Any]], width: int, limit_bytes: int) -> Iterator[_Chunk]:
    """Encode rows in chunks of at most ``limit_bytes`` each, or of one row."""
    data = _encode(rows, width)
    if len(data) <= limit_bytes or len(rows) <= 1:
        yield data, len(rows)
        return
    half = len(rows) // 2
    yield from split(rows[:half], width, limit_bytes)
    yield from split(rows[half:], width, limit_bytes)


def next_limit(rows: int, size: int, *, page_rows: int, page_bytes: int) -> int:
    """How many rows to ask for next, so that they fill a page but not much more.

    Parameters:
        rows, size: the number of rows in the last fetch, and their bytes.
        page_rows, page_bytes: the limits of a page.
    """
    fitting = page_bytes * rows // max(size, 1)
    return max(1, min(page_rows, fitting, rows * 4))


def _check_size(size: int, limit: int, setting: str) -> None:
    if size > limit:
        raise DatabaseDataError(
            f"a row of {size} bytes is larger than the limit of {limit}: select less of it (substr), or raise {setting}"
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a result.

    Attributes:
        max_rows, max_bytes: where to stop; the result is ``truncated`` then.
        page_rows: rows to ask the driver for at a time.
    """

    max_rows: int
    max_bytes: int
    page_rows: int


async def collect(
    link: Link,
    sql: str,
    params: Params,
    limits: Limits,
    *,
    within: bool,
    session: bool = False,
    once: bool = False,
) -> tuple[Result, int]:
    """Run a statement and gather its rows up to the limits.

    Parameters:
        link: the link to run it on.
        sql, params: the statement.
        limits: where to stop.
        within: whether it runs in a transaction of the client.
        session: whether the link stays with the client.
        once: whether the link is given back after it.

    Returns:
        The result; and how many rows a statement changed that also gives rows, -1 where the driver does not say.
    """
    max_rows, max_bytes = limits.max_rows, limits.max_bytes
    if not within:
        await link.guard(once=once)
    cursor = await _start(link, sql, params, link.execute(sql, params, min(FIRST_ROWS, max_rows + 1)))
    try:
        chunks: list[bytes] = []
        count = size = 0
        is_truncated = False
        limit = FIRST_ROWS
        gives_rows = cursor.gives_rows
        while gives_rows and (rows := await cursor.fetch(min(limit, max_rows - count + 1))):
            if count + len(rows) > max_rows:
                rows, is_truncated = rows[: max_rows - count], True
            fresh = 0
            for data, chunk_rows in split(rows, len(cursor.columns), max(1, max_bytes - size)) if rows else ():
                if size + len(data) > max_bytes:
                    if not count:
                        _check_size(len(data), max_bytes, "max_bytes")
                    is_truncated = True
                    break
                chunks.append(data)
                count, size, fresh = count + chunk_rows, size + len(data), fresh + len(data)
            if is_truncated:
                break
            limit = next_limit(len(rows), fresh, page_rows=limits.page_rows, page_bytes=1 << 20)
    finally:
        await cursor.close()
    rowcount = cursor.rowcount
    result_rows = Rows(chunks, count)
    result_rows.describe(cursor.columns)
    result = _unchecked_result(
        columns=cursor.columns,
        rows=result_rows,
        rowcount=count if gives_rows and not is_truncated and rowcount < 0 else rowcount,
        truncated=is_truncated,
        tx_state=state_after(link, within=within, session=session),
        last_insert_id=cursor.last_insert_id,
        gives_rows=gives_rows,
        notices=list(cursor.notices),
    )
    return result, cursor.change_count


def _unchecked_result(**attributes: Any) -> Result:
    """Make a result without pydantic's checks: the server checks every answer when it sends it. To make one takes 1 µs
    in this way, and at least 4 µs with the constructor. Models have ``model_construct`` for this, but dataclasses have
    no such method. So this makes an empty object, and sets its attributes.

    Parameters:
        attributes: all attributes of the result. The rows must be described (:meth:`Rows.describe`).
    """
    result: Result = object.__new__(Result)
    result.__dict__.update(attributes)
    return result


def has_changed(sql: str, dialect: str, result: Result, change_count: int) -> bool:
    """Whether a statement changed a row, by what :func:`collect` returned for it."""
    if not result.gives_rows:
        return result.rowcount > 0
    if change_count >= 0:
        return change_count > 0
    return is_change(sql, dialect) and (len(result.rows) > 0 or result.truncated)


def state_after(link: Link, *, within: bool, session: bool = False) -> TxState:
    """The state of the transaction to report after a statement. If the transaction it ran in is no more, that is
    ``ended``. In a session a statement may have opened one."""
    if not within:
        return link.tx_state() if session and not link.readonly else TxState.NONE
    state = link.tx_state()
    return TxState.ENDED if state is TxState.NONE else state


async def open_cursor(link: Link, sql: str, params: Params, first: int, *, within: bool) -> Cursor:
    """Start a statement whose rows are read later."""
    if not within:
        await link.guard()
    return await _start(link, sql, params, link.stream(sql, params, first))


async def _start(link: Link, sql: str, params: Params, starting: Awaitable[Cursor]) -> Cursor:
    """Start a statement. If the database does not understand it, and it has placeholders but no parameters, add that to
    the error."""
    try:
        return await starting
    except Exception as exc:
        error = translate_error(exc)
        if params is not None or not isinstance(error, DatabaseProgrammingError):
            raise
        missing = missing_parameters(sql, link.syntax, link.style)
        if missing is None:
            raise
        error.message = f"{error.message.removesuffix('.')}; {missing}"
        error.args = (error.message,)
        raise error from None


async def pages(
    link: Link, cursor: Cursor, state: Callable[[], TxState], *, page_rows: int, page_bytes: int, max_row_bytes: int
) -> AsyncGenerator[Page, None]:
    """Yield the rows of a cursor, page by page.

    Parameters:
        link: the link of the cursor.
        cursor: a statement under way; the caller closes it.
        state: returns the state of the transaction after the statement.
        page_rows, page_bytes: the limits of a page; a page of one row may be larger.
        max_row_bytes: the limit of a row.
    """
    offset = 0
    limit = min(FIRST_ROWS, page_rows)
    chunks: list[bytes] = []
    held_rows = held_bytes = 0
    width = len(cursor.columns)

    def page(rowcount: int = -1, *, last: bool = False) -> Page:
        nonlocal offset, chunks, held_rows, held_bytes
        rows = Rows(chunks, held_rows)
        full_page = Page(
            cursor.columns, rows, offset, rowcount, cursor.last_insert_id if last else None,
            state() if last else TxState.NONE, cursor.gives_rows, list(cursor.notices) if last else [],
        )  # fmt: skip
        offset += held_rows
        chunks, held_rows, held_bytes = [], 0, 0
        return full_page

    while cursor.gives_rows and (rows := await link.run(cursor.fetch(limit), goes_on=True)):
        fresh = 0
        place = 0
        while place < len(rows):
            if held_rows >= page_rows:
                yield page()
            part = rows[place : place + page_rows - held_rows]
            place += len(part)
            for data, count in split(part, width, page_bytes):
                _check_size(len(data), max_row_bytes, "max_row_bytes") if count == 1 else None
                if chunks and held_bytes + len(data) > page_bytes:
                    yield page()
                chunks.append(data)
                held_rows, held_bytes, fresh = held_rows + count, held_bytes + len(data), fresh + len(data)
        limit = next_limit(len(rows), fresh, page_rows=page_rows, page_bytes=page_bytes)
    total = offset + held_rows
    yield page(total if cursor.gives_rows and cursor.rowcount < 0 else cursor.rowcount, last=True)
