"""Completion in the interactive ``rpcclient sql``: the database's tables and columns, and the words of SQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from rpcwire.errors import RpcError

from .sqlnames import NAME, quote, quote_of, unquote

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
_QUOTES_AND_COMMENTS = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|--[^\n]*\n|/\*.*?\*/", re.DOTALL)
_QUALIFIER = re.compile(rf"({NAME})\.\Z")
_WANTS_TABLE = re.compile(rf"(?:\b(?:from|join|into|update|table)|\\d)\s+(?:{NAME}\.)?\Z", re.IGNORECASE)
_TABLES = re.compile(
    rf"(?:\b(?:from|join|into|update)|,)\s+(?:{NAME}\.)?({NAME})(?:\s+(?:as\s+)?({NAME}))?", re.IGNORECASE
)


def _read_name(before: str, sign: str) -> tuple[str, str] | None:
    """What has been typed of the name at the cursor: as it stands there, and the name itself; ``None`` within text."""
    outside = _QUOTES_AND_COMMENTS.sub(lambda match: "x" * len(match[0]), before)
    if "'" in outside:
        return None
    at = outside.find(sign)
    if at >= 0:
        return before[at:], before[at + 1 :].replace(sign * 2, sign)
    word = _WORD.search(before)
    return (word[0], word[0]) if word else ("", "")


def _match(proposals: list[tuple[str, str]], word: str) -> list[tuple[str, str]]:
    """The proposals that begin with a word, in small letters or capitals. But names that differ in nothing else are
    two in some databases: whoever has typed one of them in full, or capital letters that a name has, means those."""
    alike = [(kind, name) for kind, name in proposals if name.lower().startswith(word.lower())]
    exact = [(kind, name) for kind, name in alike if kind and name.startswith(word)]
    return exact if exact and (not word.islower() or any(name == word for _, name in exact)) and word else alike


ASK_TIMEOUT_S = 5.0


class Names:
    """The tables and columns of a database. The first use of each asks the server; if it does not answer soon,
    there are none."""

    def __init__(self, client: Client, database: str) -> None:
        self._client = client.options(timeout_s=ASK_TIMEOUT_S)
        self._database = database
        self._tables: list[str] | None = None
        self._columns: dict[str, list[str]] = {}

    def forget(self) -> None:
        """Forget all names: a statement may have changed them."""
        self._tables = None
        self._columns = {}

    def tables(self) -> list[str]:
        """All tables and views; none if the server does not answer."""
        if self._tables is None:
            if not self._client.connected:
                return []
            try:
                self._tables = [table.name for table in self._client.database.tables(self._database)]
            except RpcError:
                return []
        return self._tables

    def columns(self, table: str) -> list[str]:
        """The columns of a table; none where there is no such table."""
        alike = [name for name in self.tables() if name.lower() == table.lower()]
        if not alike:
            return []
        known = table if table in alike else alike[0]
        if known not in self._columns:
            try:
                info = self._client.database.table(self._database, known)
            except RpcError:
                return []
            self._columns[known] = [column.name for column in info.columns]
        return self._columns[known]


class SqlCompleter(Completer):
    """Proposes tables where a table comes, columns of the tables that the statement names, and SQL's words.

    Parameters:
        names: of the database.
        dialect: its kind, which decides when a name needs quotes.
    """

    def __init__(self, names: Names, dialect: str) -> None:
        self._names = names
        self._dialect = dialect

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """The names and words that can stand at the cursor."""
        before = document.text_before_cursor
        name_parts = _read_name(before, quote_of(self._dialect))
        if name_parts is None:
            return
        prefix, word = name_parts
        proposals = list(self._proposals(before[: len(before) - len(prefix)], document.text))
        for kind, name in _match(proposals, word):
            text = self._spell(kind, name, prefix)
            if text is not None and text != prefix:
                yield Completion(text, start_position=-len(prefix), display=name, display_meta=kind)

    def _spell(self, kind: str, name: str, prefix: str) -> str | None:
        """A proposal as it is to stand in the statement; ``None`` for a word of SQL within quotes."""
        within = prefix.startswith(quote_of(self._dialect))
        if kind:
            return quote(name, self._dialect, always=within)
        return None if within else name.lower() if prefix.islower() else name

    def _proposals(self, before: str, text: str) -> Iterator[tuple[str, str]]:
        line = before.rpartition("\n")[2].lstrip()
        if line.startswith("\\") and not line.startswith("\\d "):
            return
        tables = [(unquote(table), unquote(alias)) for table, alias in _TABLES.findall(text)]
        tables_by_alias: dict[str, str] = {alias.lower(): table for table, alias in tables if alias}
        if _WANTS_TABLE.search(before):
            yield from (("table", name) for name in self._names.tables())
            return
        qualifier = _QUALIFIER.search(before)
        if qualifier is not None:
            there = unquote(qualifier[1])
            yield from (("column", name) for name in self._names.columns(tables_by_alias.get(there.lower(), there)))
            return
        names_so_far: set[str] = set()
        for table, _ in tables:
            for name in self._names.columns(table):
                if name not in names_so_far:
                    names_so_far.add(name)
                    yield "column", name
        yield from (("table", name) for name in self._names.tables())
        yield from (("", name) for name in KEYWORDS)
