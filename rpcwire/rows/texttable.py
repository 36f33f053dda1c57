"""Makes tables of rows for people: text for a terminal, HTML for a notebook."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any

SHOWN_ROWS = 60
"""The most rows to show; the rest is counted."""

REPR_ROWS = 20
"""The most rows that ``repr`` shows in an interactive Python."""

SHOWN_COLUMNS = 40
"""The most columns to show."""

SHOWN_CHARACTERS = 60
"""The most characters of one cell to show."""


JOINERS = "\u200c\u200d"
"""These are not control characters of a terminal: several scripts, and emoji of several parts, need them."""


def cell_text(cell: Any, limit: int = SHOWN_CHARACTERS) -> str:
    """Write a cell in one line, without control characters."""
    if cell is None:
        return "NULL"
    if isinstance(cell, bytes):
        text = f"0x{cell[: limit // 2].hex()}" + ("…" if len(cell) > limit // 2 else "")
    else:
        text = str(cell)
    if len(text) <= limit and text.isprintable():
        return text
    text = "".join(c if c.isprintable() or c in JOINERS else "␤" if c == "\n" else "�" for c in text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


_NO_WIDTH = frozenset({"Mn", "Me", "Cf"})
"""The categories of marks on the character before, and of formats such as the joiners."""


def width(text: str) -> int:
    """Return the number of a terminal's columns that a text needs."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(c) in _NO_WIDTH else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def is_number(cell: Any) -> bool:
    """Return whether a cell is a number, which stands at the right of its column."""
    return isinstance(cell, int | float | Decimal) and not isinstance(cell, bool)


def _prepare(rows: Iterable[Sequence[Any]], columns: int, limit: int) -> tuple[list[list[str]], list[bool], int]:
    sequence = rows if isinstance(rows, Sequence) else list(rows)
    first = [row[:columns] for row in islice(sequence, limit)]
    columns = columns if not first else len(first[0])
    right = [
        any(r[i] is not None for r in first) and all(r[i] is None or is_number(r[i]) for r in first)
        for i in range(columns)
    ]
    return [[cell_text(cell) for cell in row] for row in first], right, len(sequence) - len(first)


def text_table(names: Sequence[str], rows: Iterable[Sequence[Any]], limit: int = SHOWN_ROWS) -> str:
    """Make a table of text, with numbers at the right, short cells, and at most :data:`SHOWN_COLUMNS` columns.

    Parameters:
        names: the names of the columns; may be empty.
        rows: the cells.
        limit: the most rows to show; the others are counted.
    """
    cells, right, more = _prepare(rows, SHOWN_COLUMNS, limit)
    heads = [cell_text(name) for name in names[:SHOWN_COLUMNS]] or [""] * (len(cells[0]) if cells else 0)
    widths = [max([width(head), *(width(row[i]) for row in cells)]) for i, head in enumerate(heads)]

    def line(texts: Sequence[str]) -> str:
        parts = [
            " " * (widths[i] - width(text)) + text if right[i] else text + " " * (widths[i] - width(text))
            for i, text in enumerate(texts)
        ]
        return " │ ".join(parts).rstrip()

    out = [line(heads), "─┼─".join("─" * width for width in widths), *map(line, cells)]
    total = len(cells) + more
    notes = [f"{more} not shown"] if more else []
    notes += _left_out(names)
    out.append(f"({', '.join([f'{total} row' + ('' if total == 1 else 's'), *notes])})")
    return "\n".join(out)


def _left_out(names: Sequence[str]) -> list[str]:
    more = len(names) - SHOWN_COLUMNS
    return [f"{more} column{'' if more == 1 else 's'} not shown"] if more > 0 else []


def html_table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Make a table for a notebook. Every cell is escaped."""
    cells, right, more = _prepare(rows, SHOWN_COLUMNS, SHOWN_ROWS)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names[:SHOWN_COLUMNS])
    style = ['<td style="text-align:right">' if to_right else "<td>" for to_right in right]
    body = "".join(
        "<tr>" + "".join(f"{style[i]}{html.escape(text)}</td>" for i, text in enumerate(row)) + "</tr>" for row in cells
    )
    notes = [f"{more} more rows not shown"] if more else []
    note = "".join(f"<p>{text}</p>" for text in (*notes, *_left_out(names)))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"
