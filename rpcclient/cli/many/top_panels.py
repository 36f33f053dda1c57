"""Draws the nodes of ``rpcclient top --on`` beside each other: a panel for each, as many in a row as fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from textwrap import wrap

from rich.cells import cell_len
from rich.text import Text

from rpcclient.cli.characters import visible_line
from rpcclient.cli.figures import NOTHING, bar, size, sparkline

from .top_state import NodeRow

_LEAST_WIDTH = 38
"""Characters that a panel needs for whole figures: two fit on a terminal of 80, and three on one of 120."""
_MOST_WIDTH = 60
_GAP = 2
_LABEL = 5
_LEAST_BAR = 7
_MOST_BAR = 16
_LEAST_FIGURES = 2
"""Lines of figures without which a panel tells too little."""


@dataclass(frozen=True, slots=True)
class Grid:
    """How panels lie on the screen.

    Attributes:
        columns, rows: how many panels are beside each other, and below each other.
        width: characters of a panel.
        figures: its lines without its title.
        gap: empty lines below it.
    """

    columns: int
    rows: int
    width: int
    figures: int
    gap: int


def lay_out(nodes: int, width: int, height: int) -> Grid | None:
    """Say how the panels of nodes lie; ``None`` where not even two fit beside each other.

    Parameters:
        nodes: how many there are.
        width, height: of the place for them, in characters. Where not all nodes fit, their panels lose lines first.
    """
    columns = (width + _GAP) // (_LEAST_WIDTH + _GAP)
    if columns < 2 or height <= _LEAST_FIGURES:
        return None
    columns = max(min(columns, nodes), 1)
    panel_rows = -(-nodes // columns)
    figures, gap = len(_FIGURES), 1
    while panel_rows * (1 + figures + gap) - gap > height and (figures > _LEAST_FIGURES or gap):
        # The empty line goes when the lines of the disk and of the network are gone.
        figures, gap = (figures, 0) if gap and figures <= _LEAST_FIGURES + 1 else (figures - 1, gap)
    rows = max((height + gap) // (1 + figures + gap), 1)
    panel = min((width + _GAP) // columns - _GAP, _MOST_WIDTH)
    return Grid(columns, rows, panel, figures, gap)


def draw_panels(rows: Sequence[NodeRow], labels: Mapping[str, str], grid: Grid) -> list[Text]:
    """The lines of the panels.

    Parameters:
        rows: the nodes that are to be seen, in their order: from left to right, then from top to bottom.
        labels: what each node is called, by its id.
        grid: how they lie.
    """
    lines: list[Text] = []
    for start in range(0, len(rows), grid.columns):
        panels = [_panel(row, labels[row.id], grid) for row in rows[start : start + grid.columns]]
        lines += [Text()] * grid.gap if lines else []
        lines += [_join(parts, grid.width) for parts in zip_longest(*panels, fillvalue=Text())]
    return lines


def _join(parts: Sequence[Text], width: int) -> Text:
    line = Text()
    for number, part in enumerate(parts):
        cell = part.copy()
        cell.truncate(width, overflow="crop")
        cell.pad_right(width - cell.cell_len)
        line.append(" " * _GAP if number else "").append_text(cell)
    return line


def _panel(row: NodeRow, name: str, grid: Grid) -> list[Text]:
    if row.is_up:
        side_text = f"load {NOTHING if row.load is None else f'{row.load:.2f}'}"
        return [
            _title(name, side_text, "black on green", grid.width),
            *(draw(row, grid.width) for draw in _FIGURES[: grid.figures]),
        ]
    if row.state == "waiting":
        return [_title(name, row.state, "black on white", grid.width)]
    parts = wrap(visible_line(row.reason), grid.width)[: grid.figures]
    return [_title(name, row.state, "black on red", grid.width), *(Text(part, style="red") for part in parts)]


def _title(name: str, side_text: str, style: str, width: int) -> Text:
    room = width - cell_len(side_text) - 1
    line = Text(name)
    line.truncate(room, overflow="ellipsis")
    line.pad_right(room - line.cell_len)
    return Text(style=style).append_text(line).append(f" {side_text}")


def _cpu(row: NodeRow, width: int) -> Text:
    line = _meter("cpu", row.cpu_percent, width)
    return line.append(" ").append(sparkline(row.cpu, max(width - len(line) - 1, 0), 100.0), style="cyan")


def _memory(row: NodeRow, width: int) -> Text:
    memory = None if row.snapshot is None else row.snapshot.memory
    line = _meter("mem", row.memory_percent, width)
    if memory is None:
        return line
    return line.append(f" {size(memory.total_bytes - memory.available_bytes)} of {size(memory.total_bytes)}")


def _fullest(row: NodeRow, width: int) -> Text:
    fullest = row.fullest
    line = _meter("full", row.disk_percent, width)
    return line if fullest is None else line.append(f" {visible_line(fullest.mountpoint)}")


def _network(row: NodeRow, width: int) -> Text:
    return Text(f"{'net':{_LABEL}}↓ {size(row.receive_rate, '/s'):>10}  ↑ {size(row.send_rate, '/s'):>10}")


def _disk(row: NodeRow, width: int) -> Text:
    return Text(f"{'disk':{_LABEL}}{size(row.disk_rate, '/s'):>12}")


_FIGURES = (_cpu, _memory, _fullest, _network, _disk)
"""The lines of a panel, the most important first."""


def _meter(label: str, share: float | None, width: int) -> Text:
    style = style_of(share)
    long = min(_LEAST_BAR + (width - _LEAST_WIDTH) // 2, _MOST_BAR)
    line = Text(f"{label:{_LABEL}}").append(bar(share, long), style=style)
    return line.append(f"{NOTHING if share is None else f'{share:.0f}%':>5}")


def style_of(share: float | None) -> str:
    """The colour of a share."""
    return "red" if (share or 0) >= 90 else "yellow" if (share or 0) >= 60 else "green"
