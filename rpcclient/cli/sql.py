"""``rpcclient sql``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from rpcwire.sql import is_blank

from . import context, sqltext
from .arguments import parse
from .many.options import many_options
from .rowtext import FORMATS
from .sqlrun import Params, run
from .words import text

if TYPE_CHECKING:
    from rpcclient import Client
    from rpcclient.stubs.database import DatabaseInfo


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
@many_options
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
    if settings.many.is_given:
        from .many import statements

        if statement is None:
            raise click.UsageError("on many nodes, give the statement behind the database's name")
        params = parse(words, by_position=not sqltext.names_parameters(statement)) if words else None
        with settings.connect() as client:
            sys.exit(statements.run(client, settings, database, statement, params, form, write=write))
    if statement is not None:
        with settings.connect() as client:
            params = _params(client, database, statement, words) if words else None
            with _not_several(client, database, statement):
                run(client, database, statement, params, form, write=write)
    elif sys.stdin.isatty():
        from .repl import Repl

        with settings.connect() as client:
            Repl(
                client, find_database(client, database), form if form != "json" or settings.as_json else "table", write
            ).run()
    else:
        from .sqlmany import run_all

        with settings.connect() as client:
            run_all(client, find_database(client, database), sys.stdin.buffer.read(), form, write=write, each=each)


def _params(client: Client, database: str, statement: str, words: tuple[str, ...]) -> Params:
    has_names = sqltext.names_parameters(statement, find_database(client, database).dialect)
    params = parse(words, by_position=not has_names)
    if has_names and isinstance(params, list) and list(words) != ["-"]:
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
        dialect = find_database(client, database).dialect
        statements, rest = sqltext.split(text, dialect)
        if len(statements) + (not is_blank(rest, dialect)) > 1:
            exc.message += " (give several statements on standard input)"
        raise


def find_database(client: Client, name: str) -> DatabaseInfo:
    """Ask the server for a database by its name.

    Raises:
        UnknownDatabase: the server has no database of this name.
    """
    from rpcclient.stubs.database import UnknownDatabase

    infos = client.database.databases()
    for info in infos:
        if info.name == name:
            return info
    names = ", ".join(sorted(info.name for info in infos)) or "none"
    raise UnknownDatabase(f"database: no database is named {name!r}; there are: {names}", database=name)
