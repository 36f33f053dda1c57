"""Rows as text, written page by page as they come: a table, CSV, JSON or Markdown."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TextIO

import click
from pydantic_core import to_json

from . import characters, show

_TO_QUOTE = frozenset(',"\r\n')
FORMATS = ("table", "expanded", "csv", "json", "markdown")


class RowWriter(Protocol):
    """Takes the rows of one statement."""

    def begin(self, names: Sequence[str], *, gives_rows: bool = False) -> None:
        """The columns, and whether there are rows; rows of PostgreSQL may have no columns."""
        ...

    def rows(self, rows: Iterable[Sequence[Any]]) -> None:
        """Some rows."""
        ...

    def end(self, rowcount: int, last_insert_id: int | None) -> None:
        """Write what follows the last row.

        Parameters:
            rowcount: how many rows were found or changed; -1 where unknown.
            last_insert_id: the key that the database gave to the row of an INSERT.
        """
        ...


def writer(name: str, out: TextIO | None = None) -> RowWriter:
    """The writer of a format.

    Parameters:
        name: one of :data:`FORMATS`.
        out: where to write; standard output where not given.
    """
    stream = out or sys.stdout
    kinds: dict[str, type[_Writer]] = {
        "table": Table,
        "expanded": ExpandedTable,
        "csv": Csv,
        "json": Json,
        "markdown": Markdown,
    }
    return kinds[name](stream)


def _plain(cell: Any) -> str:
    """A cell as JSON has it, without quotes around a string."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    text = show.as_json(cell)
    return text[1:-1] if text.startswith('"') else text


class _Writer:
    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.names: list[str] = []
        self.gives_rows = False
        self.count = 0
        # Control characters from the server must not reach a terminal.
        self.text = show.text if out.isatty() else str

    def exactly(self, text: str) -> str:
        """Text that another program reads, without any change.

        Raises:
            click.ClickException: the encoding of the output lacks one of its characters.
        """
        if not self.out.isatty() and (missing := characters.lacks(text, self.out)) is not None:
            raise click.ClickException(
                f"the encoding of standard output, {self.out.encoding}, has no {missing!a}: set "
                "PYTHONIOENCODING=utf-8, or give --format json, which writes it in other letters"
            )
        return text

    def begin(self, names: Sequence[str], *, gives_rows: bool = False) -> None:
        self.names = list(names)
        self.gives_rows = gives_rows or len(self.names) > 0

    def rows(self, rows: Iterable[Sequence[Any]]) -> None:
        raise NotImplementedError

    def end(self, rowcount: int, last_insert_id: int | None) -> None:
        self.out.flush()


def keys_of(names: Sequence[str]) -> list[str]:
    """The names of columns as keys: where two columns have one name, the second is called ``name_2``."""
    keys: list[str] = []
    for name in names:
        key, number = name, 2
        while key in keys:
            key, number = f"{name}_{number}", number + 1
        keys.append(key)
    return keys


def _total(out: TextIO, count: int | None, rowcount: int) -> None:
    """The last line for a person; without a count, that of a statement that gives no rows."""
    if count is not None:
        out.write(f"({count} row{'' if count == 1 else 's'})\n")
    else:
        out.write(f"({rowcount} row{'' if rowcount == 1 else 's'} changed)\n" if rowcount >= 0 else "(done)\n")
    out.flush()


class Table(_Writer):
    """A table for a person. Columns are as wide as the first page needs, and grow where a later one needs more."""

    def begin(self, names: Sequence[str], *, gives_rows: bool = False) -> None:
        super().begin(names, gives_rows=gives_rows)
        self.widths: list[int] = []

    def rows(self, rows: Iterable[Sequence[Any]]) -> None:
        from rpcwire.rows.texttable import cell_text, is_number, width

        page = list(rows)
        if not page and self.widths:
            return
        self.count += len(page)
        if not self.names:
            return
        cells = [[cell_text(cell) for cell in row] for row in page]
        heads = [cell_text(name) for name in self.names]
        right = [bool(page) and all(row[i] is None or is_number(row[i]) for row in page) for i in range(len(heads))]
        first = not self.widths
        widths = [max([width(head), *(width(row[i]) for row in cells)]) for i, head in enumerate(heads)]
        self.widths = widths if first else [max(pair) for pair in zip(widths, self.widths, strict=True)]

        def line(texts: Sequence[str]) -> str:
            spaces = [" " * (self.widths[i] - width(text)) for i, text in enumerate(texts)]
            fields = [s + text if right[i] else text + s for i, (text, s) in enumerate(zip(texts, spaces, strict=True))]
            return " │ ".join(fields).rstrip()

        if first:
            self.out.write(f"{line(heads)}\n{'─┼─'.join('─' * w for w in self.widths)}\n")
        for row in cells:
            self.out.write(line(row) + "\n")
        self.out.flush()

    def end(self, rowcount: int, last_insert_id: int | None) -> None:
        _total(self.out, self.count if self.gives_rows else None, rowcount)


class ExpandedTable(_Writer):
    """For a person, each row as a block with a line for each cell, whole: nothing is cut."""

    def rows(self, rows: Iterable[Sequence[Any]]) -> None:
        from rpcwire.rows.texttable import width

        heads = [show.text(name) for name in self.names]
        widest = max(map(width, heads), default=0)
        for row in rows:
            self.count += 1
            self.out.write(f"─[ {self.count} ]─\n")
            for head, cell in zip(heads, row, strict=True):
                first, *more = self.text(self._whole(cell)).split("\n")
                self.out.write(f"{head}{' ' * (widest - width(head))} │ {first}".rstrip() + "\n")
                self.out.writelines(f"{' ' * widest} │ {line}".rstrip() + "\n" for line in more)
        self.out.flush()

    @staticmethod
    def _whole(cell: Any) -> str:
        return "NULL" if cell is None else f"0x{cell.hex()}" if isinstance(cell, bytes) else str(cell)

    def end(self, rowcount: int, last_insert_id: int | None) -> None:
        _total(self.out, self.count if self.gives_rows else None, rowcount)


class Csv(_Writer):
    """Comma-separated values (RFC 4180), with lines that end as Unix's do. NULL is an empty cell, and empty text a
    quoted one, as PostgreSQL's COPY has it."""

    def begin(self, names: Sequence[str], *, gives_rows: bool = False) -> None:
        super().begin(names, gives_rows=gives_rows)
        if names:
            self.rows([names])

    def rows(self, rows: Iterable[Sequence[Any]]) -> None:
        self.out.writelines(self.exactly(",".join(map(self._cell, row)) + "\n") for row in rows)

    def _cell(self, cell: Any) -> str:
        text = self.text(_plain(cell))
        if cell == "" or not _TO_QUOTE.isdisjoint(text):  # Python's own csv before 3.13 forgets the carriage return.
            return '"' + text.replace('"', '""') + '"'
        return text


class Json(_Writer):
    """An array with an object for each row, on a line each; of a statement without rows, an object. Where two columns
    have one name, the second is called ``name_2``."""

    def begin(self, names: Sequence[str], *, gives_rows: bool = False) -> None:
        super().begin(keys_of(names), gives_rows=gives_rows)
        if self.gives_rows:
            self.out.write("[")

    def rows(self, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            item = to_json(dict(zip(self.names, row, strict=True)), bytes_mode="base64", inf_nan_mode="strings")
            self.out.write((",\n " if self.count else "\n ") + characters.for_json(item.decode(), self.out))
            self.count += 1

    def end(self, rowcount: int, last_insert_id: int | None) -> None:
        if self.gives_rows:
            self.out.write("\n]\n" if self.count else "]\n")
        else:
            self.out.write(show.as_json({"rowcount": rowcount, "last_insert_id": last_insert_id}) + "\n")
        self.out.flush()


class Markdown(_Writer):
    """A table of GitHub Flavored Markdown; NULL is an empty cell."""

    def begin(self, names: Sequence[str], *, gives_rows: bool = False) -> None:
        super().begin(names, gives_rows=gives_rows)
        if names:
            self._line(names)
            self.out.write("|" + " --- |" * len(names) + "\n")

    def rows(self, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            self._line([_plain(cell) for cell in row])

    def _line(self, cells: Sequence[str]) -> None:
        texts = [cell.replace("\\", "\\\\").replace("|", "\\|").replace("\r\n", "\n") for cell in cells]
        line = " | ".join(self.text(cell.replace("\n", "<br>")) for cell in texts)
        self.out.write(self.exactly(f"| {line} |\n"))
