"""The interactive ``rpcclient sql``."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from rpcwire.sql import is_blank

from . import show, sqltext
from .sqlnames import schema_and_name
from .sqlrun import print_stream, refused_as_reading
from .sqlsession import SqlSession
from .tabletext import show_table, show_tables

if TYPE_CHECKING:
    from pathlib import Path

    from rpcclient import Client
    from rpcclient.stubs.database import DatabaseInfo
    from rpcwire.errors import RpcError

HELP = r"""A statement ends with a semicolon, and may have several lines.
\d         tables and views
\d TABLE   a table's columns, keys and indexes; \d SCHEMA.TABLE
\x         show each row as a block, with nothing cut; again: as a table
\q         leave (or exit, quit, Ctrl-D)
\?         this help (or help)
Ctrl-C     drops what was typed, or cancels the statement that runs
Tab        completes tables, columns and words of SQL; the arrow keys go through the history"""

_DEFINES = re.compile(r"\s*(?:create|alter|drop|rename|rollback|commit)\b", re.IGNORECASE)
_WORDS = {"exit": "\\q", "quit": "\\q", "help": "\\?"}
_SIGNS = {"none": ">", "active": "*>", "failed": "!>", "ended": ">"}


def _history_file() -> Path:
    from rpcwire import locations

    folder = locations.state_dir()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "sql_history"
    path.touch(mode=0o600)
    return path


class Repl:
    """Asks for statements and runs them, all over one connection to the database.

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
        from .sqlcompletion import Names

        self._client = client
        self._info = info
        self._form = form
        self._write = write and not info.readonly
        self._names = Names(client, info.name)
        self._session = SqlSession(client, info, write=self._write)
        self._is_expanded = False

    def run(self) -> None:
        """Ask for statements and run them until the user leaves."""
        prompts = self._prompt_session()
        name = show.text(self._info.name)
        access = "read and write" if self._write else "read only"
        print(f"{name}: {show.text(self._info.dialect)}, {access}; \\? for help")
        draft = ""
        while True:
            try:
                text = prompts.prompt(lambda: f"{name}{_SIGNS[self._session.state]} ", default=draft)
            except KeyboardInterrupt:
                draft = ""
                continue
            except EOFError:
                return
            before, command = self._command_of(text)
            draft = f"{before}\n" if command and before else ""  # It is there again at the next prompt.
            if command:
                if not self._try(self._command, command):
                    return
            else:
                self._run(text)

    def _command_of(self, text: str) -> tuple[str, str]:
        """As :func:`sqltext.backslash`; a word that people try who are about to leave, or are lost, is one, too."""
        word = text.strip().rstrip(";").lower()
        return ("", _WORDS[word]) if word in _WORDS else sqltext.backslash(text, self._info.dialect)

    def _run(self, text: str) -> None:
        """Run statements until one fails."""
        statements, rest = sqltext.split(text, self._info.dialect)
        if not is_blank(rest, self._info.dialect):
            statements.append(rest.strip())
        for statement in statements:
            if not self._try(self._execute, statement):
                break

    def _prompt_session(self) -> Any:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.application import get_app
        from prompt_toolkit.completion import ThreadedCompleter
        from prompt_toolkit.filters import Condition
        from prompt_toolkit.history import FileHistory

        from .sqlcompletion import SqlCompleter

        @Condition
        def is_incomplete() -> bool:
            text = get_app().current_buffer.text
            if not text.strip() or self._command_of(text)[1]:
                return False
            statements, rest = sqltext.split(text, self._info.dialect)
            if not statements and sqltext.ends_delimiter(text, self._info.dialect):
                return False
            return not statements or not is_blank(rest, self._info.dialect)

        return PromptSession(
            history=FileHistory(str(_history_file())),
            completer=ThreadedCompleter(SqlCompleter(self._names, self._info.dialect)),
            complete_while_typing=False,
            multiline=is_incomplete,
            prompt_continuation=lambda width, *_: "." * (width - 1) + " ",
            enable_open_in_editor=True,
        )

    def _try(self, action: Callable[[str], bool], text: str) -> bool:
        """Do something, and show what goes wrong. Returns whether to go on."""
        from rpcwire.errors import RpcError

        try:
            return action(text)
        except KeyboardInterrupt:
            print("cancelled", file=sys.stderr)
        except RpcError as exc:
            self._show_error(exc)
        self._session.refresh()
        return action != self._execute  # The statements that were to follow are dropped.

    def _show_error(self, error: RpcError) -> None:
        code = getattr(error, "sqlstate", None) or getattr(error, "driver_code", None)
        print(show.text(f"{error.type}: {error.message}" + (f" ({code})" if code else "")), file=sys.stderr)
        if not self._write and not self._info.readonly and refused_as_reading(error):
            print("start with --write to change the database", file=sys.stderr)

    def _execute(self, statement: str) -> bool:
        print_stream(self._session.stream(statement), "expanded" if self._is_expanded else self._form)
        if _DEFINES.match(statement):
            self._names.forget()
        self._session.refresh()
        return True

    def _command(self, text: str) -> bool:
        name, _, argument = text.partition(" ")
        argument = argument.strip().rstrip(";")
        if name == "\\q":
            return False
        if name == "\\?":
            print(HELP)
        elif name == "\\x":
            self._is_expanded = not self._is_expanded
            print(f"expanded display is {'on' if self._is_expanded else 'off'}")
        elif name == "\\d" and argument:
            schema, table = schema_and_name(argument)
            self._session.reach()
            show_table(self._client.database.table(self._info.name, table, schema=schema))
        elif name == "\\d":
            self._session.reach()
            show_tables(self._client.database.tables(self._info.name))
        else:
            print(f"there is no command {name}: \\? lists them", file=sys.stderr)
        return True
