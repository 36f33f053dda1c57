"""Rows as a table for people: text for a terminal, HTML for a notebook."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any

SHOWN_ROWS = 60
"""Rows that are shown; the rest is counted."""

REPR_ROWS = 20
"""Rows that ``repr`` shows, as an interactive Python prints it."""

SHOWN_COLUMNS = 40
"""Columns that are shown, likewise."""

SHOWN_CHARACTERS = 60
"""Characters of one cell that are shown."""


JOINERS = "\u200c\u200d"
"""They are no control characters of a terminal: several scripts, and emoji of several parts, are written with them."""


def cell_text(cell: Any, limit: int = SHOWN_CHARACTERS) -> str:
    """A cell in one line, without control characters."""
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
"""Marks that stand on the character before, and formats, as the joiners."""


def width(text: str) -> int:
    """Cells of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(c) in _NO_WIDTH else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def is_number(cell: Any) -> bool:
    """Whether a cell stands at the right of its column."""
    return isinstance(cell, int | float | Decimal) and not isinstance(cell, bool)


def _shown(rows: Iterable[Sequence[Any]], columns: int, limit: int) -> tuple[list[list[str]], list[bool], int]:
    sized = rows if isinstance(rows, Sequence) else list(rows)
    first = [row[:columns] for row in islice(sized, limit)]
    columns = columns if not first else len(first[0])
    right = [
        any(r[i] is not None for r in first) and all(r[i] is None or is_number(r[i]) for r in first)
        for i in range(columns)
    ]
    return [[cell_text(cell) for cell in row] for row in first], right, len(sized) - len(first)


def text_table(names: Sequence[str], rows: Iterable[Sequence[Any]], limit: int = SHOWN_ROWS) -> str:
    """A table of text: numbers to the right, long cells shortened, at most :data:`SHOWN_COLUMNS` columns.

    Parameters:
        names: of the columns; there may be none.
        rows: the cells.
        limit: how many rows are shown; the others are counted.
    """
    cells, right, more = _shown(rows, SHOWN_COLUMNS, limit)
    heads = [cell_text(name) for name in names[:SHOWN_COLUMNS]] or [""] * (len(cells[0]) if cells else 0)
    widths = [max([width(head), *(width(row[i]) for row in cells)]) for i, head in enumerate(heads)]

    def line(texts: Sequence[str]) -> str:
        padded = [
            " " * (widths[i] - width(text)) + text if right[i] else text + " " * (widths[i] - width(text))
            for i, text in enumerate(texts)
        ]
        return " │ ".join(padded).rstrip()

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
    """A table for a notebook; every cell is escaped."""
    cells, right, more = _shown(rows, SHOWN_COLUMNS, SHOWN_ROWS)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names[:SHOWN_COLUMNS])
    style = ['<td style="text-align:right">' if to_right else "<td>" for to_right in right]
    body = "".join(
        "<tr>" + "".join(f"{style[i]}{html.escape(text)}</td>" for i, text in enumerate(row)) + "</tr>" for row in cells
    )
    notes = [f"{more} more rows not shown"] if more else []
    note = "".join(f"<p>{text}</p>" for text in (*notes, *_left_out(names)))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"
