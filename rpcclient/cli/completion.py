"""Completion in the interactive ``rpcclient sql``: the database's tables and columns, and the words of SQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from rpcwire.errors import RpcError

if TYPE_CHECKING:
    from rpcclient import Client

KEYWORDS = (
    "ALL", "ALTER", "AND", "AS", "ASC", "BEGIN", "BETWEEN", "BY", "CASE", "COMMIT", "COUNT", "CREATE", "DELETE", "DESC",
    "DISTINCT", "DROP", "ELSE", "END", "EXISTS", "EXPLAIN", "FROM", "FULL", "GROUP", "HAVING", "IN", "INDEX", "INNER",
    "INSERT", "INTO", "IS", "JOIN", "LEFT", "LIKE", "LIMIT", "NOT", "NULL", "OFFSET", "ON", "OR", "ORDER", "OUTER",
    "PRIMARY", "RETURNING", "RIGHT", "ROLLBACK", "SELECT", "SET", "TABLE", "THEN", "UNION", "UNIQUE", "UPDATE", "USING",
    "VALUES", "VIEW", "WHEN", "WHERE", "WITH",
)  # fmt: skip

_WORD = re.compile(r"[\w$]*\Z")
_QUALIFIER = re.compile(r"([\w$]+)\.[\w$]*\Z")
_WANTS_TABLE = re.compile(r"\b(?:from|join|into|update|table|\\d)\s+[\w$.]*\Z", re.IGNORECASE)
_TABLES = re.compile(r"\b(?:from|join|into|update|,)\s+([\w$]+)(?:\s+(?:as\s+)?([\w$]+))?", re.IGNORECASE)


class Names:
    """The tables and columns of a database, asked for when they are needed, and then remembered."""

    def __init__(self, client: Client, database: str) -> None:
        self._client = client
        self._database = database
        self._tables: list[str] | None = None
        self._columns: dict[str, list[str]] = {}

    def forget(self) -> None:
        """A statement may have changed them."""
        self._tables = None
        self._columns = {}

    def tables(self) -> list[str]:
        """All tables and views; none where the server does not say."""
        if self._tables is None:
            try:
                self._tables = [table.name for table in self._client.database.tables(self._database)]
            except RpcError:
                return []
        return self._tables

    def columns(self, table: str) -> list[str]:
        """The columns of a table; none where there is no such table."""
        known = next((name for name in self.tables() if name.lower() == table.lower()), None)
        if known is None:
            return []
        if known not in self._columns:
            try:
                info = self._client.database.table(self._database, known)
            except RpcError:
                return []
            self._columns[known] = [column.name for column in info.columns]
        return self._columns[known]


class SqlCompleter(Completer):
    """Proposes tables where a table comes, columns of the tables that the statement names, and SQL's words."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """What could stand at the cursor."""
        before = document.text_before_cursor
        match = _WORD.search(before)
        word = match[0] if match else ""
        for kind, name in self._proposals(before, document.text):
            if name.lower().startswith(word.lower()) and name != word:
                shown = name.lower() if kind == "" and word.islower() else name
                yield Completion(shown, start_position=-len(word), display_meta=kind)

    def _proposals(self, before: str, text: str) -> Iterator[tuple[str, str]]:
        if before.startswith("\\") and not before.startswith("\\d "):
            return
        named: dict[str, str] = {alias.lower(): table for table, alias in _TABLES.findall(text) if alias}
        qualifier = _QUALIFIER.search(before)
        if qualifier is not None:
            table: str = named.get(qualifier[1].lower(), qualifier[1])
            yield from (("column", name) for name in self._names.columns(table))
            return
        if _WANTS_TABLE.search(before):
            yield from (("table", name) for name in self._names.tables())
            return
        seen: set[str] = set()
        for table, _ in _TABLES.findall(text):
            for name in self._names.columns(table):
                if name not in seen:
                    seen.add(name)
                    yield "column", name
        yield from (("table", name) for name in self._names.tables())
        yield from (("", name) for name in KEYWORDS)
