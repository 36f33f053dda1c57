"""The virtual tables of a dump that sqlite3 wrote. It writes them into SQLite's own table of tables, where nobody may
write here: they are made by CREATE VIRTUAL TABLE instead, and what the dump has for the tables behind them takes the
place of what those begin with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

_TABLE = re.compile(
    r"INSERT\s+INTO\s+sqlite_(?:schema|master)\s*\(type,\s*name,\s*tbl_name,\s*rootpage,\s*sql\)\s*"
    r"VALUES\s*\('table','(?P<name>(?:[^']|'')*)','(?:[^']|'')*',0,'(?P<sql>(?:[^']|'')*)'\)",
    re.IGNORECASE,
)
_WRITABLE = re.compile(r"PRAGMA\s+writable_schema\s*=\s*(?P<on>ON|OFF)", re.IGNORECASE)
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table'"
_FORGET = (
    "SAVEPOINT rpc_restored",
    "CREATE TABLE rpc_restored (a)",
    "ROLLBACK TO rpc_restored",
    "RELEASE rpc_restored",
)
"""Has the connection forget what it knows of its tables, and with it what a virtual table remembers of those behind it:
a table is made and undone."""


class Shadows:
    """Turns the statements of such a dump into others, while it runs.

    Parameters:
        ask: runs a query, and gives its rows.
    """

    def __init__(self, ask: Callable[[str], list[tuple[Any, ...]]]) -> None:
        self._ask = ask
        self._writable = False

    def changes(self, sql: str) -> bool:
        """Whether something else has to run in the place of a statement."""
        return _WRITABLE.fullmatch(sql) is not None or (self._writable and _TABLE.fullmatch(sql) is not None)

    def instead(self, sql: str) -> Iterator[str]:
        """What to run in the place of a statement, one after another."""
        switch, table = _WRITABLE.fullmatch(sql), _TABLE.fullmatch(sql)
        if switch is not None:
            self._writable = switch["on"].upper() == "ON"
            if not self._writable:
                yield from _FORGET
        if table is None:
            return
        before = set(self._ask(_TABLES))
        yield table["sql"].replace("''", "'")
        own_row = (table["name"].replace("''", "'"),)
        for (name,) in self._ask(_TABLES):
            if (name,) not in before and (name,) != own_row:
                identifier = name.replace('"', '""')
                yield f'DELETE FROM "{identifier}"'  # noqa: S608 - a name, in quotes
