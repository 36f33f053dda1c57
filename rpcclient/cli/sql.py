"""``rpcclient sql``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from . import context, sqltext
from .arguments import parse
from .rowtext import FORMATS, writer

if TYPE_CHECKING:
    from rpcclient import Client
    from rpcclient.stubs.database import DatabaseInfo
    from rpcwire.errors import RpcError

Params = dict[str, Any] | list[Any] | None


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("database")
@click.argument("statement", required=False, metavar="[SQL]")
@click.argument("words", nargs=-1, metavar="[KEY=VALUE ...]")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), help="Table on a terminal, else JSON; expanded: nothing is cut."
)
@click.option("--write", "-w", is_flag=True, help="Allow statements that change the database.")
@click.option("--each", is_flag=True, help="Of several statements, let each commit itself.")
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
    form = form or ("table" if settings.readable else "json")
    if statement is not None:
        with settings.connect() as client:
            dialect = found(client, database).dialect if words else ""
            params = parse(words, by_position=not sqltext.names_parameters(statement, dialect))
            run(client, database, statement, params, form, write=write)
    elif sys.stdin.isatty():
        from .repl import Repl

        with settings.connect() as client:
            Repl(client, found(client, database), form if form != "json" or settings.as_json else "table", write).run()
    else:
        from .sqlmany import run_all

        with settings.connect() as client:
            run_all(client, found(client, database), sys.stdin.read(), form, write=write, each=each)


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


_READONLY_CODES = frozenset({"25006", "SQLITE_AUTH", "SQLITE_READONLY", "1792"})


def _run(client: Client, database: str, statement: str, params: Params, form: str, *, write: bool) -> None:
    if write:
        result = client.database.execute(database, statement, params)
        out = writer(form)
        out.begin(result.rows.names)
        out.rows(result)
        out.end(result.rowcount, result.last_insert_id)
        if result.truncated:
            print("rpcclient: there are more rows than the server returns at once", file=sys.stderr)
        return
    with client.database.stream(database, statement, params) as pages:
        print_pages(pages, form)


def print_pages(pages: Iterator[Any], form: str) -> None:
    """Print the rows of a stream, page by page."""
    out = writer(form)
    page = None
    for number, page in enumerate(pages):
        if not number:
            out.begin([column.name for column in page.columns])
        if page.columns:
            out.rows(page)
    if page is not None:
        out.end(page.rowcount, page.last_insert_id)
