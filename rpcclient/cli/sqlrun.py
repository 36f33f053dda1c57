"""Runs one statement for ``rpcclient sql``, and prints its results."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .characters import visible_line
from .rowtext import writer

if TYPE_CHECKING:
    from rpcclient import Client, Stream
    from rpcclient.stubs.database import Page
    from rpcwire.errors import RpcError

Params = dict[str, Any] | list[Any] | None


def run(client: Client, database: str, statement: str, params: Params, form: str, *, write: bool) -> None:
    """Run one statement, and print its results as they arrive."""
    with explain_refusal(write=write):
        _run(client, database, statement, params, form, write=write)


@contextmanager
def explain_refusal(*, write: bool) -> Iterator[None]:
    """Say in an error what to do where a statement is refused because it would change something."""
    from rpcclient.stubs.database import DatabaseError

    try:
        yield
    except DatabaseError as exc:
        if not write and refused_as_reading(exc):
            exc.message += " (give --write for statements that change the database)"
        raise


def refused_as_reading(error: RpcError) -> bool:
    """Whether the database refused a statement because it may only read."""
    codes = (getattr(error, "sqlstate", None), getattr(error, "driver_code", None))
    return any(code in _READONLY_CODES for code in codes)


_READONLY_CODES = frozenset({"25006", "SQLITE_AUTH", "SQLITE_READONLY", "1792", "XAE07"})
"""The last where MariaDB would have to commit first, as before CREATE TABLE."""


def _run(client: Client, database: str, statement: str, params: Params, form: str, *, write: bool) -> None:
    if write:
        result = client.database.execute(database, statement, params)
        out = writer(form)
        out.begin(result.rows.names, gives_rows=result.gives_rows)
        if result.gives_rows:
            out.rows(result)
        out.end(result.rowcount, result.last_insert_id)
        _print_notices(result.notices)
        if result.truncated:
            print("rpcclient: there are more rows than the server returns at once", file=sys.stderr)
        return
    print_stream(client.database.stream(database, statement, params), form)


def print_stream(stream: Stream[Page] | None, form: str) -> None:
    """Print the rows of a stream, page by page, and close it; of ``None``, that a statement without rows is done."""
    if stream is None:
        out = writer(form)
        out.begin([])
        out.end(-1, None)
        return
    with stream as pages:
        _print_pages(pages, form)


def _print_pages(pages: Iterator[Page], form: str) -> None:
    out = writer(form)
    page = None
    for number, page in enumerate(pages):
        if not number:
            out.begin([column.name for column in page.columns], gives_rows=page.gives_rows)
        if page.gives_rows:
            out.rows(page)
    if page is not None:
        out.end(page.rowcount, page.last_insert_id)
        _print_notices(page.notices)


def _print_notices(notices: Iterable[str]) -> None:
    for notice in notices:
        print(f"rpcclient: {visible_line(notice)}", file=sys.stderr)
