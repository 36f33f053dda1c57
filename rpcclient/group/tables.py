"""Makes flat rows of the outcomes of a group call, and tables for people."""

from __future__ import annotations

import dataclasses
import html
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from pydantic import BaseModel

from rpcwire.group.outcomes import GroupNode, NodeOutcome
from rpcwire.rows.rows import Rows
from rpcwire.rows.texttable import SHOWN_ROWS, cell_text, html_table, text_table, width

from .roll import count_states

_OWN = ("node", "node_id", "state", "executed", "duration_s", "error")
"""The columns that each row has."""
_NAMED = 3
"""How many nodes of each state a summary names."""
_WITHOUT_TERMINAL = (120, 24)
"""The size to fit where there is no terminal."""
_BETWEEN = " │ "
"""What is between two columns."""
_LEVELS = 8
"""How deep results are made flat."""


def make_rows(outcomes: Iterable[NodeOutcome[Any]]) -> list[dict[str, Any]]:
    """Make flat rows of outcomes: one for each node, or as many as its result has rows or objects.

    Parameters:
        outcomes: the outcomes.

    Returns:
        Rows with ``node``, ``node_id``, ``state``, ``executed``, ``duration_s``, ``error``, and the fields of the
        result; fields within fields have a dot in their names. A result without fields is ``result``. A field of the
        result that is called as one of the others is ``result.NAME``.
    """
    return [
        {**_own_cells(outcome), **{_name(name): cell for name, cell in cells.items()}}
        for outcome in outcomes
        for cells in (_split(outcome.result) if outcome.is_ok else ({},))
    ]


def _own_cells(outcome: NodeOutcome[Any]) -> dict[str, Any]:
    error = None if outcome.error is None else f"{outcome.error.type}: {outcome.error.message}"
    values = (outcome.name, outcome.id, outcome.state, outcome.executed, outcome.duration_s, error)
    return dict(zip(_OWN, values, strict=True))


def _name(name: str) -> str:
    return f"result.{name}" if name in _OWN else name


def _split(result: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of one result."""
    rows = result if isinstance(result, Rows) else getattr(result, "rows", None)
    if isinstance(rows, Rows):
        parts: Sequence[Any] = rows.to_dicts()
    elif isinstance(result, (list, tuple)) and all(_fields(part) is not None for part in result):
        parts = result
    else:
        parts = [result]
    if not parts:
        yield {}
    for part in parts:
        cells: dict[str, Any] = {}
        _flatten("", part, cells, _LEVELS)
        yield cells


def _flatten(name: str, value: Any, cells: dict[str, Any], levels: int) -> None:
    fields = _fields(value) if levels else None
    if fields is None:
        if name or value is not None:
            cells[name or "result"] = value
        return
    for key, part in fields.items():
        _flatten(f"{name}.{key}" if name else str(key), part, cells, levels - 1)


def _fields(value: Any) -> Mapping[Any, Any] | None:
    """Return the fields of a value; ``None`` if it has none."""
    if isinstance(value, Mapping):
        return value or None
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in type(value).model_fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def make_frame(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Make a ``pandas.DataFrame`` of rows.

    Raises:
        ImportError: pandas is not installed.
    """
    try:
        pandas = import_module("pandas")
    except ImportError as exc:
        raise ImportError("to_pandas needs the package pandas: pip install pandas", name="pandas") from exc
    return pandas.DataFrame.from_records(list(rows), columns=_columns(rows) or list(_OWN))


def _columns(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def summarize(nodes: Sequence[GroupNode], outcomes: Sequence[NodeOutcome[Any]]) -> str:
    """Say in one line how many nodes there are, and what became of them: ``3 nodes: 2 ok, 1 died (web-2)``.

    Parameters:
        nodes: who was asked.
        outcomes: the outcomes that there are.
    """
    parts = []
    for state, count in count_states(outcomes).items():
        names = [] if state == "ok" else [outcome.name for outcome in outcomes if outcome.state == state]
        rest = [f"{count - _NAMED} more"] if count > _NAMED else []
        parts.append(f"{count} {state}" + (f" ({', '.join([*names[:_NAMED], *rest])})" if names else ""))
    if len(outcomes) < len(nodes):
        parts.append(f"{len(nodes) - len(outcomes)} without an outcome yet")
    return f"{len(nodes)} {'node' if len(nodes) == 1 else 'nodes'}: {', '.join(parts) or 'none was asked'}"


def _choose_cells(
    nodes: Sequence[GroupNode], outcomes: Sequence[NodeOutcome[Any]], room: int | None = None
) -> tuple[list[str], list[list[Any]], str]:
    """Return the names and the cells of a table without what is empty for all, and the summary. A result with a method
    ``brief`` says itself what of it people want to see.

    Parameters:
        nodes, outcomes: as of :func:`summarize`.
        room: the width of the table, in characters: the last columns of results that do not fit are left out.
    """
    rows = make_rows(_brief(outcome) for outcome in outcomes[:SHOWN_ROWS])
    done = {outcome.node for outcome in outcomes}
    rows += [{"node": node.name, "state": "…"} for node in nodes if node not in done]
    more = max(len(rows) - SHOWN_ROWS, 0) + len(outcomes[SHOWN_ROWS:])
    rows = rows[:SHOWN_ROWS]
    names = [
        name for name in _columns(rows) if name not in _NOT_SHOWN and not all(_is_empty(r.get(name)) for r in rows)
    ]
    if any(row.get("error") for row in rows):  # At the end, as it is long.
        names.append("error")
    columns = {name: [_readable(row.get(name)) for row in rows] for name in names}
    omissions = 0 if room is None else _leave_out(columns, room)
    notes = [f"{more} {'row' if more == 1 else 'rows'} not shown"] if more else []
    if omissions:
        notes.append(f"{omissions} {'column' if omissions == 1 else 'columns'} not shown: rows() has all")
    note = f" ({', '.join(notes)})" if notes else ""
    cells = [list(row) for row in zip(*columns.values(), strict=True)]
    return list(columns), cells, summarize(nodes, outcomes) + note


def _leave_out(columns: dict[str, list[Any]], room: int) -> int:
    """Remove the last columns of results until the table fits, and return how many they are."""
    widths = {name: max(width(cell_text(cell)) for cell in [name, *cells]) for name, cells in columns.items()}
    count = 0
    for name in [name for name in reversed(columns) if name not in _OWN]:
        if sum(widths[each] for each in columns) + len(_BETWEEN) * (len(columns) - 1) <= room:
            break
        del columns[name]
        count += 1
    return count


_NOT_SHOWN = frozenset({"node_id", "executed", "duration_s", "error"})


def _brief(outcome: NodeOutcome[Any]) -> NodeOutcome[Any]:
    brief = getattr(outcome.result, "brief", None)
    return dataclasses.replace(outcome, result=brief()) if callable(brief) else outcome


def _is_empty(cell: Any) -> bool:
    return cell is None or cell is False or (isinstance(cell, (str, bytes, list, dict, set, tuple)) and not cell)


def _readable(cell: Any) -> Any:
    if cell is None:
        return ""
    if isinstance(cell, bytes):  # As programs write it.
        try:
            cell = cell.decode()
        except UnicodeDecodeError:
            return cell
    return cell.rstrip("\n") if isinstance(cell, str) else cell


def make_table(nodes: Sequence[GroupNode], outcomes: Sequence[NodeOutcome[Any]]) -> str:
    """Make a table of text, as wide as the terminal at most, with a summary in its last line.

    Parameters:
        nodes, outcomes: as of :func:`summarize`.
    """
    names, cells, summary = _choose_cells(nodes, outcomes, shutil.get_terminal_size(_WITHOUT_TERMINAL).columns)
    table, _, _ = text_table(names, cells).rpartition("\n")  # Its last line counts the rows.
    return f"{table}\n{summary}"


def make_html(nodes: Sequence[GroupNode], outcomes: Sequence[NodeOutcome[Any]]) -> str:
    """Make a table of HTML for notebooks, with a summary above it.

    Parameters:
        nodes, outcomes: as of :func:`summarize`.
    """
    names, cells, summary = _choose_cells(nodes, outcomes)
    return f'<div style="overflow-x:auto"><p>{html.escape(summary)}</p>{html_table(names, cells)}</div>'
