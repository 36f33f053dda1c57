"""Prints results: as tables and lines for people, as JSON for programs."""

from __future__ import annotations

import io
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, Literal

from . import characters

_WIDEST = 60
_NARROW = 12
_LEAST = 4
"""The least width of a column of text, however narrow the terminal is."""
_GAP = 2
"""Characters between two columns."""


def as_json(value: Any, *, indent: int | None = None) -> str:
    """JSON as the wire has it: bytes in base64url, non-finite numbers as strings."""
    from pydantic_core import to_json  # Commands that show no JSON start faster without it.

    return to_json(value, indent=indent, bytes_mode="base64", inf_nan_mode="strings", serialize_unknown=True).decode()


def show(value: Any, *, readable: bool, whole: Collection[str] = (), extra: Sequence[str] = ()) -> None:
    """Print a result.

    Parameters:
        value: plain data.
        readable: for a person; as JSON otherwise.
        whole: columns of a table that are never cut.
        extra: columns of a table that a narrow terminal leaves out, the first of them first.
    """
    if not readable:
        print(characters.for_json(as_json(value, indent=2), sys.stdout))
    elif isinstance(value, Mapping):
        _pairs(value)
    elif _is_table(value):
        _table(value, whole, extra)
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for item in value:
            print(cell(item))
    else:
        print(text(value))


def show_item(value: Any, *, readable: bool) -> None:
    """Print one item of a stream, at once."""
    if readable and isinstance(value, (str, bytes)):
        sys.stdout.write(text(value))
    else:
        print(cell(value) if readable else characters.for_json(as_json(value), sys.stdout))
    sys.stdout.flush()


def text(value: Any) -> str:
    """A value as text. Control characters from the server must not reach the terminal."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return characters.visible(value)
    return as_json(value)


def cell(value: Any, nested_room: int = _WIDEST) -> str:
    """A value in one line.

    Parameters:
        nested_room: characters for an object or array; JSON output has all of it.
    """
    if value is None or (isinstance(value, (Mapping, list)) and not value):
        return ""
    if isinstance(value, float):
        return f"{value:.10g}" if abs(value) >= 1e6 else f"{value:.6g}"
    line = text(value).replace("\n", "⏎").replace("\t", " ")
    most = nested_room if isinstance(value, (Mapping, list)) else _WIDEST
    return line if len(line) <= most else line[: most - 1] + "…"


class Paper(io.StringIO):
    """Text that is printed later, on what standard output is."""

    def __init__(self, *, is_terminal: bool, width: int) -> None:
        super().__init__()
        self.width = width
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        """Whether a terminal will show it."""
        return self._is_terminal

    def take(self) -> bytes:
        """Give what was written, and begin anew."""
        content = self.getvalue().encode("utf-8", "surrogateescape")
        self.seek(0)
        self.truncate()
        return content


@contextmanager
def capture(margin: int = 0) -> Iterator[Paper]:
    """Have what the block prints on paper instead.

    Parameters:
        margin: how much narrower it must be than the terminal, in characters.
    """
    import shutil  # It loads a dozen modules.

    width = max(shutil.get_terminal_size().columns - margin, 20)
    with redirect_stdout(Paper(is_terminal=sys.stdout.isatty(), width=width)) as paper:
        yield paper


def _console() -> Any:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False, width=getattr(sys.stdout, "width", None))


def _pairs(value: Mapping[str, Any]) -> None:
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    lists = {key: item for key, item in value.items() if _is_table(item) or _is_rows(item)}
    for key, item in value.items():
        if key in lists:
            continue
        line = text(item).rstrip("\n") if isinstance(item, (str, bytes)) and item else cell(item)
        table.add_row(_plain(str(key)), _plain(line))
    _console().print(table)
    for key, item in lists.items():
        _console().print()
        _console().print(_plain(str(key)), style="bold")
        if _is_table(item):
            _table(item)
        else:
            for row in item:
                print(text(as_json(row)))


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, list) for item in value)


def _is_table(value: Any) -> bool:
    return isinstance(value, Sequence) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _table(rows: Sequence[Mapping[str, Any]], whole: Collection[str] = (), extra: Sequence[str] = ()) -> None:
    from rich.cells import cell_len
    from rich.table import Table

    all_names = dict.fromkeys(name for row in rows for name in row)
    names = [name for name in all_names if any(cell(row.get(name)) for row in rows)] or list(all_names)
    table = Table(box=None, pad_edge=False, header_style="bold")
    console = _console()
    columns = {name: [cell(row.get(name), _NARROW) for row in rows] for name in names}
    needs = {name: max(map(cell_len, [str(name), *columns[name]])) for name in names}
    for name in extra:
        if name in names and sum(needs[each] + _GAP for each in names) - _GAP > console.width:
            names.remove(name)
    numbers = [all(isinstance(row.get(name), (int, float, type(None))) for row in rows) for name in names]
    # A number without its last digits would be another number. So on a narrow terminal only texts are cut.
    firm = [number or name in whole for number, name in zip(numbers, names, strict=True)]
    widths = fit([needs[name] for name in names], firm, console.width - _GAP * (len(names) - 1))
    for name, number, width in zip(names, numbers, widths, strict=True):
        side: Literal["left", "right"] = "right" if number else "left"
        table.add_column(_plain(str(name)), justify=side, overflow="ellipsis", no_wrap=True, width=width)
    for line in zip(*(columns[name] for name in names), strict=True):
        table.add_row(*map(_plain, line))
    console.print(table)


def fit(widths: Sequence[int], firm: Sequence[bool], room: int) -> list[int]:
    """Make columns fit into a line, if possible: the widest column that is not firm becomes narrower first.

    Parameters:
        widths: the width that each column needs.
        firm: which columns keep their width.
        room: characters for all of them.
    """
    fitting = list(widths)
    while sum(fitting) > room:
        loose = [place for place, width in enumerate(fitting) if not firm[place] and width > _LEAST]
        if not loose:
            break
        fitting[max(loose, key=lambda place: fitting[place])] -= 1
    return fitting


def _plain(line: str) -> Any:
    """Text for rich that reads nothing in it as markup, and nothing that a terminal would obey."""
    from rich.text import Text

    return Text(characters.visible(line))
