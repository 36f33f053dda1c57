"""Several statements from standard input: in one transaction, or each by itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from rpcwire.sql import Syntax, bare, commits_before, kind_of, mysql_syntax

from . import sqltext
from .rowtext import writer
from .sqlrun import explain_refusal, print_stream, run
from .sqlscript import Part, Script, decode
from .sqlsession import STATEMENT_TIMEOUT_S, control
from .sqlshadows import Shadows

if TYPE_CHECKING:
    from rpcclient import Client, Stream
    from rpcclient.stubs.database import Changed, DatabaseInfo, Page, Result

_BEGINNING = 40
_PIECE_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class _Place:
    """Runs statements in a transaction or in a session.

    Attributes:
        stream: starts a statement; gives ``None`` where it is done already.
        copy_in: runs a COPY that reads data.
        query: asks for something.
    """

    stream: Callable[[str], Stream[Page] | None]
    copy_in: Callable[[str, Iterator[bytes]], Changed]
    query: Callable[[str], Result]


def run_all(client: Client, info: DatabaseInfo, data: bytes, form: str, *, write: bool, each: bool) -> None:
    """Run statements one after another, and print their results.

    Parameters:
        client: connected.
        info: the database.
        data: the statements, as they came.
        form: one of :data:`~rpcclient.cli.rowtext.FORMATS`; several results as JSON are one array.
        write: whether they may change the database.
        each: let each commit itself, and not all together in one transaction. So it is, too, where the text itself
            says when transactions begin and end.

    Raises:
        RpcError: one failed; the message tells which.
        click.ClickException: the text has begun a transaction, and not ended it; or it cannot be run, and nothing has.
    """
    text = decode(data, info.dialect)
    patient = client.options(timeout_s=client.calls.options.timeout_s or STATEMENT_TIMEOUT_S)
    parts = list(Script(text, _syntax(patient, info, text)).parts())
    if not parts:
        raise click.UsageError("no statement: give it as an argument, or on standard input")
    if len(parts) == 1 and parts[0].data is None:
        run(patient, info.name, parts[0].sql, None, form, write=write)
    elif each or any(sqltext.controls_transaction(part.sql, info.dialect) for part in parts):
        _each(patient, info, parts, form, write=write, stays=each and write)
    else:
        if write:
            _refuse_endings(parts, info)
        with patient.database.transaction(info.name, readonly=not write) as tx:
            _in_turn(_Place(tx.stream, tx.copy_in, tx.query), info, parts, form, write=write)


def _syntax(client: Client, info: DatabaseInfo, text: str) -> Syntax:
    """How the database reads the beginning of a script."""
    if kind_of(info.dialect) != "mysql" or not ("\\" in text or '"' in text):
        return info.dialect
    mode = client.database.query(info.name, "SELECT @@sql_mode").scalar()
    return mysql_syntax(str(mode))


def _refuse_endings(parts: Sequence[Part], info: DatabaseInfo) -> None:
    """Refuse statements that cannot be in one transaction with others, before any of them runs.

    Raises:
        click.UsageError: it names the first.
    """
    for number, part in enumerate(parts, 1):
        if commits_before(part.sql, info.dialect):
            raise click.UsageError(
                f"{_describe(number, part, info)}: {info.dialect} commits before and after it, so that this cannot be "
                "one transaction: give --each, and each statement commits itself, as in the database's own client; "
                "nothing has run"
            )


def _each(client: Client, info: DatabaseInfo, parts: Sequence[Part], form: str, *, write: bool, stays: bool) -> None:
    """Run the statements in their order over one connection to the database."""
    from rpcclient.stubs.database import TxState

    database = client.database
    session = database.connect(info.name, readonly=not write).id

    def stream(sql: str) -> Stream[Page] | None:
        done = not write and control(client, info, session, sql)
        return None if done else database.stream(info.name, sql, transaction=session)

    place = _Place(
        stream,
        lambda sql, data: database.copy_in(info.name, sql, data, transaction=session),
        lambda sql: database.query(info.name, sql, transaction=session),
    )
    _in_turn(place, info, parts, form, write=write, stays=stays)
    state = database.renew(session)
    database.disconnect(session)
    if state is not TxState.NONE:
        raise click.ClickException("a transaction was begun and not committed: it has been rolled back")


def _in_turn(
    place: _Place, info: DatabaseInfo, parts: Sequence[Part], form: str, *, write: bool, stays: bool = False
) -> None:
    signs = ("[", ",", "]\n") if form == "json" else ("", "", "")
    shadows = Shadows(lambda sql: list(place.query(sql).rows)) if kind_of(info.dialect) == "sqlite" else None
    for number, part in enumerate(parts, 1):
        with _name_statement(number, part, info, stays=stays), explain_refusal(write=write):
            show = _done(place, part, form, shadows)
            sys.stdout.write(signs[1] if number > 1 else signs[0])
            show()
    sys.stdout.write(signs[2])


def _done(place: _Place, part: Part, form: str, shadows: Shadows | None) -> Callable[[], None]:
    """Run a statement up to its first rows, and return a function that prints its results."""
    if part.data is not None:
        count = place.copy_in(part.sql, _pieces(part.data)).rowcount
        return lambda: _print_count(count, form)
    if shadows is not None and shadows.changes(part.sql):
        for sql in shadows.instead(part.sql):
            _drain(place.stream(sql))
        return lambda: print_stream(None, form)
    stream = place.stream(part.sql)
    if stream is not None:
        stream.open()
    return lambda: print_stream(stream, form)


def _pieces(data: bytes) -> Iterator[bytes]:
    view = memoryview(data)
    for start in range(0, len(view), _PIECE_BYTES):
        yield bytes(view[start : start + _PIECE_BYTES])


def _print_count(count: int, form: str) -> None:
    out = writer(form)
    out.begin([])
    out.end(count, None)


def _drain(stream: Stream[Any] | None) -> None:
    if stream is not None:
        with stream as pages:
            for _ in pages:
                pass


def _describe(number: int, part: Part, info: DatabaseInfo) -> str:
    """A short text by which a person recognizes a statement."""
    words = " ".join(bare(part.sql, info.dialect, most=_BEGINNING * 2).split())
    beginning = words if len(words) <= _BEGINNING else words[: _BEGINNING - 1] + "…"
    return f"statement {number}, line {part.line} ({beginning})"


@contextmanager
def _name_statement(number: int, part: Part, info: DatabaseInfo, *, stays: bool) -> Iterator[None]:
    """Say in an error which statement failed, and whether the earlier ones took effect."""
    from rpcwire.errors import RpcError

    try:
        yield
    except RpcError as exc:
        before = "; what came before it stays" if stays and number > 1 else ""
        exc.message = f"{_describe(number, part, info)}: {exc.message}{before}"
        raise
