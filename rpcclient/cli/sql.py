"""``rpcclient sql``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from rpcwire.sql import is_blank

from . import context, sqltext
from .arguments import parse
from .rowtext import FORMATS, writer
from .words import text

if TYPE_CHECKING:
    from rpcclient import Client, Stream
    from rpcclient.stubs.database import DatabaseInfo, Page
    from rpcwire.errors import RpcError

Params = dict[str, Any] | list[Any] | None


@click.command(cls=context.WithValues, context_settings={"ignore_unknown_options": True})
@click.argument("database")
@click.argument("statement", required=False, metavar="[SQL]")
@click.argument("words", nargs=-1, metavar="[KEY=VALUE ...]")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), help="Table on a terminal, else JSON; expanded: nothing is cut."
)
@click.option("--write", "-w", is_flag=True, help="Allow statements that change the database.")
@click.option("--each", is_flag=True, help="Of several statements, let each commit itself.")
@context.json_option
@context.pass_settings
@context.command
def command(
    settings: context.Settings,
    database: str,
    statement: str | None,
    words: tuple[str, ...],
    form: str | None,
    write: bool,
    each: bool,
) -> None:
    """Run SQL in DATABASE, and print its rows.

    \b
    rpcclient sql main "SELECT * FROM zone WHERE id > :id" id=3
    rpcclient sql main "SELECT * FROM zone WHERE id > ?" 3 --format csv
    rpcclient sql main --write < statements.sql
    rpcclient sql main

    Parameters go by name (:id), written as those of `call`, or by position (?). Without SQL, statements come from
    standard input, all in one transaction unless they have BEGIN and COMMIT of their own, or --each is given; on a
    terminal they are asked for: \\? there tells more.
    """
    statement = None if statement is None else text(statement, "the statement")
    form = form or ("table" if settings.readable else "json")
    if statement is not None:
        with settings.connect() as client:
            params = _params(client, database, statement, words) if words else None
            with _not_several(client, database, statement):
                run(client, database, statement, params, form, write=write)
    elif sys.stdin.isatty():
        from .repl import Repl

        with settings.connect() as client:
            Repl(client, found(client, database), form if form != "json" or settings.as_json else "table", write).run()
    else:
        from .sqlmany import run_all

        with settings.connect() as client:
            run_all(client, found(client, database), sys.stdin.buffer.read(), form, write=write, each=each)


def _params(client: Client, database: str, statement: str, words: tuple[str, ...]) -> Params:
    named = sqltext.names_parameters(statement, found(client, database).dialect)
    params = parse(words, by_position=not named)
    if named and isinstance(params, list) and list(words) != ["-"]:
        raise click.UsageError(f"{words[0]!r}: the statement names its parameters: give each as NAME=VALUE")
    return params


@contextmanager
def _not_several(client: Client, database: str, text: str) -> Iterator[None]:
    """Say in an error what to do where what was not understood looks like several statements. It has gone as one: only
    the database knows what the body of a procedure is."""
    from rpcclient.stubs.database import DatabaseProgrammingError

    try:
        yield
    except DatabaseProgrammingError as exc:
        dialect = found(client, database).dialect
        statements, rest = sqltext.split(text, dialect)
        if len(statements) + (not is_blank(rest, dialect)) > 1:
            exc.message += " (give several statements on standard input)"
        raise


def found(client: Client, name: str) -> DatabaseInfo:
    """What the server says of a database.

    Raises:
        UnknownDatabase: it has none of this name.
    """
    from rpcclient.stubs.database import UnknownDatabase

    infos = client.database.databases()
    for info in infos:
        if info.name == name:
            return info
    known = ", ".join(sorted(info.name for info in infos)) or "none"
    raise UnknownDatabase(f"database: no database is named {name!r}; there are: {known}", database=name)


def run(client: Client, database: str, statement: str, params: Params, form: str, *, write: bool) -> None:
    """Run one statement, and print what it gives as it comes."""
    with explained(write=write):
        _run(client, database, statement, params, form, write=write)


@contextmanager
def explained(*, write: bool) -> Iterator[None]:
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
        print(f"rpcclient: {notice}", file=sys.stderr)
