"""The interactive ``rpcclient sql``."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from . import show, sqltext
from .sql import print_pages, refused_as_reading
from .sqlnames import schema_and_name

if TYPE_CHECKING:
    from pathlib import Path

    from rpcclient import Client
    from rpcclient.stubs.database import DatabaseInfo, TableInfo
    from rpcwire.errors import RpcError

STATEMENT_TIMEOUT_S = 3600.0
"""How long a statement may take where no deadline was given: here somebody waits, and has Ctrl-C."""

HELP = r"""A statement ends with a semicolon, and may have several lines.
\d         tables and views
\d TABLE   a table's columns, keys and indexes; \d SCHEMA.TABLE
\q         leave (or Ctrl-D)
\?         this help
Ctrl-C     drops what was typed, or cancels the statement that runs
Tab        completes tables, columns and words of SQL; the arrow keys go through the history"""

_DEFINES = re.compile(r"\s*(?:create|alter|drop|rename|rollback|commit)\b", re.IGNORECASE)
_SIGNS = {"none": ">", "active": "*>", "failed": "!>", "ended": ">"}


def _history_file() -> Path:
    from rpcwire import locations

    folder = locations.state_dir()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "sql_history"
    path.touch(mode=0o600)
    return path


class Repl:
    """Asks for statements and runs them, all over one connection to the database, so that BEGIN and COMMIT, settings
    and temporary tables work as they would there.

    Parameters:
        client: connected.
        info: the database.
        form: how rows are printed.
        write: whether statements may change the database.

    Raises:
        click.UsageError: prompt_toolkit is not installed.
    """

    def __init__(self, client: Client, info: DatabaseInfo, form: str, write: bool) -> None:
        try:
            import prompt_toolkit  # noqa: F401
        except ImportError:
            raise click.UsageError(
                "asking for statements needs the package prompt-toolkit: pip install 'remote-services[cli]'; "
                "or give the statement as an argument"
            ) from None
        from .completion import Names

        self._client = client.options(timeout_s=client._options.timeout_s or STATEMENT_TIMEOUT_S)
        self._info = info
        self._form = form
        self._write = write and not info.readonly
        self._names = Names(client, info.name)
        self._session: str | None = None
        self._state = "none"

    def run(self) -> None:
        """Ask and run until the user leaves."""
        prompts = self._prompt_session()
        print(
            f"{self._info.name}: {self._info.dialect}, {'read and write' if self._write else 'read only'}; \\? for help"
        )
        while True:
            try:
                text = prompts.prompt(lambda: f"{self._info.name}{_SIGNS[self._state]} ")
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            text = text.strip()
            if text.startswith("\\"):
                if not self._guarded(self._command, text):
                    return
                continue
            statements, rest = sqltext.split(text, self._info.dialect)
            if not sqltext.blank(rest, self._info.dialect):
                statements.append(rest.strip())
            for statement in statements:
                if not self._guarded(self._execute, statement):
                    break

    def _prompt_session(self) -> Any:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.application import get_app
        from prompt_toolkit.completion import ThreadedCompleter
        from prompt_toolkit.filters import Condition
        from prompt_toolkit.history import FileHistory

        from .completion import SqlCompleter

        @Condition
        def unfinished() -> bool:
            text = get_app().current_buffer.text
            if not text.strip() or text.lstrip().startswith("\\"):
                return False
            statements, rest = sqltext.split(text, self._info.dialect)
            return not statements or not sqltext.blank(rest, self._info.dialect)

        return PromptSession(
            history=FileHistory(str(_history_file())),
            completer=ThreadedCompleter(SqlCompleter(self._names, self._info.dialect)),
            complete_while_typing=False,
            multiline=unfinished,
            prompt_continuation=lambda width, *_: "." * (width - 1) + " ",
            enable_open_in_editor=True,
        )

    def _guarded(self, action: Callable[[str], bool], text: str) -> bool:
        """Do something; what goes wrong is shown. Whether to go on."""
        from rpcwire.errors import RpcError

        try:
            return action(text)
        except KeyboardInterrupt:
            print("cancelled", file=sys.stderr)
        except RpcError as exc:
            self._show_error(exc)
        self._refresh()
        return action != self._execute  # The statements that were to follow are dropped.

    def _show_error(self, error: RpcError) -> None:
        code = getattr(error, "sqlstate", None) or getattr(error, "driver_code", None)
        print(f"{error.type}: {show.text(error.message)}" + (f" ({code})" if code else ""), file=sys.stderr)
        if not self._write and not self._info.readonly and refused_as_reading(error):
            print("start with --write to change the database", file=sys.stderr)

    # --- statements ---------------------------------------------------------------------------------------------

    def _execute(self, statement: str) -> bool:
        session = self._connected()
        with self._client.database.stream(self._info.name, statement, transaction=session) as pages:
            print_pages(pages, self._form)
        if _DEFINES.match(statement):
            self._names.forget()
        self._refresh()
        return True

    def _connected(self) -> str:
        """The session; a new one where the last was lost."""
        if self._session is None:
            self._session = self._client.database.connect(self._info.name, readonly=not self._write).id
        return self._session

    def _refresh(self) -> None:
        """Learn the state of the transaction, which the prompt shows."""
        from rpcclient.stubs.database import TransactionLost
        from rpcwire.errors import RpcError, TransportError

        if self._session is None:
            return
        try:
            self._state = self._client.database.renew(self._session).value
        except (TransactionLost, TransportError):
            if self._state != "none":
                print("the transaction was rolled back with its connection", file=sys.stderr)
            self._session, self._state = None, "none"
        except (RpcError, KeyboardInterrupt):
            pass

    # --- backslash commands -------------------------------------------------------------------------------------

    def _command(self, text: str) -> bool:
        name, _, argument = text.partition(" ")
        argument = argument.strip().rstrip(";")
        if name == "\\q":
            return False
        if name == "\\?":
            print(HELP)
        elif name == "\\d" and argument:
            schema, table = schema_and_name(argument)
            _show_table(self._client.database.table(self._info.name, table, schema=schema))
        elif name == "\\d":
            tables = self._client.database.tables(self._info.name)
            rows = [{"name": t.name, "kind": t.kind.value, "schema": t.schema} for t in tables]
            show.show(rows, readable=True) if rows else print("no tables")
        else:
            print(f"there is no command {name}: \\? lists them", file=sys.stderr)
        return True


def _show_table(info: TableInfo) -> None:
    print(show.text(f"{info.kind.value} {info.name}"))
    show.show(
        [
            {
                "column": column.name,
                "type": column.db_type,
                "null": "" if column.nullable else "not null",
                "default": column.default or "",
                "key": "primary" if column.name in info.primary_key else "",
            }
            for column in info.columns
        ],
        readable=True,
    )
    for index in (*info.indexes, *info.unique):
        columns = ", ".join(name or "(expression)" for name in index.columns)
        print(show.text(f"{'unique' if index.unique else 'index'} {index.name or ''} ({columns})"))
    for key in info.foreign_keys:
        there = f"{key.schema}.{key.table}" if key.schema else key.table
        print(show.text(f"foreign key ({', '.join(key.columns)}) references {there} ({', '.join(key.references)})"))
    for check in info.checks:
        print(show.text(f"check {check.name or ''} ({check.sql})"))
    if info.definition:
        print(show.text(info.definition))
