"""Several statements from standard input: in one transaction, or each by itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from rpcwire.sql import is_blank

from . import sqltext
from .sql import explained, print_stream, run
from .sqlsession import control

if TYPE_CHECKING:
    from rpcclient import Client, Stream
    from rpcclient.stubs.database import DatabaseInfo, Page

_BEGINNING = 40


def run_all(client: Client, info: DatabaseInfo, text: str, form: str, *, write: bool, each: bool) -> None:
    """Run statements one after another, and print what they give.

    Parameters:
        client: connected.
        info: the database.
        text: the statements.
        form: one of :data:`~rpcclient.cli.rowtext.FORMATS`; several results as JSON are one array.
        write: whether they may change the database.
        each: let each commit itself, and not all together in one transaction. So it is, too, where the text itself
            says when transactions begin and end.

    Raises:
        RpcError: one failed; the message tells which.
        click.ClickException: the text has begun a transaction, and not ended it.
    """
    statements, rest = sqltext.split(text, info.dialect)
    if not is_blank(rest, info.dialect):
        statements.append(rest.strip())
    if not statements:
        raise click.UsageError("no statement: give it as an argument, or on standard input")
    if len(statements) == 1:
        run(client, info.name, statements[0], None, form, write=write)
    elif each or any(sqltext.controls_transaction(statement, info.dialect) for statement in statements):
        _each(client, info, statements, form, write=write)
    else:
        with client.database.transaction(info.name, readonly=not write) as tx:
            _in_turn(tx.stream, statements, form, write=write)


def _each(client: Client, info: DatabaseInfo, statements: Sequence[str], form: str, *, write: bool) -> None:
    """Over one connection to the database, as it comes."""
    from rpcclient.stubs.database import TxState

    database = client.database
    session = database.connect(info.name, readonly=not write).id

    def stream(sql: str) -> Stream[Page] | None:
        done = not write and control(client, info, session, sql)
        return None if done else database.stream(info.name, sql, transaction=session)

    _in_turn(stream, statements, form, write=write)
    state = database.renew(session)
    database.disconnect(session)
    if state is not TxState.NONE:
        raise click.ClickException("a transaction was begun and not committed: it has been rolled back")


def _in_turn(
    stream: Callable[[str], Stream[Page] | None], statements: Sequence[str], form: str, *, write: bool
) -> None:
    signs = ("[", ",", "]\n") if form == "json" else ("", "", "")
    for number, statement in enumerate(statements, 1):
        with _numbered(number, statement), explained(write=write):
            started = stream(statement)
            if started is not None:
                started.open()
            sys.stdout.write(signs[1] if number > 1 else signs[0])
            print_stream(started, form)
    sys.stdout.write(signs[2])


@contextmanager
def _numbered(number: int, statement: str) -> Iterator[None]:
    """Say in an error which statement it was."""
    from rpcwire.errors import RpcError

    try:
        yield
    except RpcError as exc:
        words = " ".join(statement.split())
        shown = words if len(words) <= _BEGINNING else words[: _BEGINNING - 1] + "…"
        exc.message = f"statement {number} ({shown}): {exc.message}"
        raise
