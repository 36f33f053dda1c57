"""Draws ``rpcclient top --on``: nodes beside each other, or a line for each where there is no room for that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from rich.cells import cell_len
from rich.text import Text

from rpcclient.cli.characters import visible_line
from rpcclient.cli.figures import NOTHING, bar, size, sparkline

from .names import tell_apart
from .top_panels import draw_panels, lay_out, style_of
from .top_state import SORTS, NodeRow, NodesState

_HELP = (
    ("N P L M F D R", "sort by name, processors, load, memory, fullest filesystem, disks, network"),
    ("< > F6", "next order"),
    ("I", "the other way round"),
    ("t F5", "a line for each node, or nodes beside each other"),
    ("↑ ↓ PgUp PgDn", "further nodes"),
    ("q F10  Ctrl-Z", "quit, suspend"),
)
_BAR = 8
_WIDEST_NAME = 24
_TITLES: tuple[str, ...] = ("cpu", "load", "mem", "full", "disk", "net ↓", "net ↑")
_WIDTHS = (_BAR + 5, 5, _BAR + 5, 5, 11, 11, 11)
_LEAST_NEEDED = ("net ↑", "net ↓", "disk", "full", "load")
"""What is left out on a narrow terminal, the least important first."""


def draw(state: NodesState, width: int, height: int) -> list[Text]:
    """The lines of the screen, at most ``height`` of at most ``width`` characters."""
    head = [_summary(state), Text()]
    if state.shows_help:
        lines = [*head, *(Text(f"{keys:18} ", style="bold").append(text, style="not bold") for keys, text in _HELP)]
    else:
        labels = tell_apart({row.id: row.name for row in state.rows.values()})
        grid = None if state.is_table else lay_out(len(state.rows), width, height - len(head) - 1)
        if grid is not None:
            lines = [*head, *draw_panels(state.place(grid.rows, grid.columns), labels, grid)]
        else:
            lines = [*head, *_table(state, labels, width, height - len(head) - 2)]
    lines = lines[: height - 1]
    lines += [Text()] * (height - 1 - len(lines))
    lines.append(Text(_foot(state), style="dim"))
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="crop")
    return lines


def _table(state: NodesState, labels: Mapping[str, str], width: int, height: int) -> list[Text]:
    rows = state.place(max(height, 1))
    names = max([*map(cell_len, labels.values()), 4])
    names = min(names, _WIDEST_NAME)
    titles = _columns(width, names)
    spark = max(min(width - names - 10 - sum(_WIDTHS[_TITLES.index(title)] + 1 for title in titles), 30), 0)
    return [_head(titles, names, width), *(_row(row, labels[row.id], titles, names, spark) for row in rows)]


def _columns(width: int, names: int) -> list[str]:
    titles = list(_TITLES)
    for title in _LEAST_NEEDED:
        if names + 10 + sum(_WIDTHS[_TITLES.index(each)] + 1 for each in titles) <= width:
            break
        titles.remove(title)
    return titles


def _summary(state: NodesState) -> Text:
    counts = Counter(row.state for row in state.rows.values())
    line = Text(f"{len(state.rows)} nodes", style="bold")
    for name, count in sorted(counts.items(), key=lambda pair: (pair[0] != "up", pair[0])):
        line.append(f"  {name} {count}", style="not bold" if name in ("up", "waiting") else "not bold red")
    if state.unknown:
        line.append(f"  unknown: {', '.join(map(visible_line, state.unknown))}", style="not bold red")
    busy = [row.cpu_percent for row in state.rows.values() if row.is_up and row.cpu_percent is not None]
    if busy:
        line.append(f"  cpu {sum(busy) / len(busy):.0f} % on average, {max(busy):.0f} % at most", "not bold")
    sign = "↑" if state.reverse != (state.sort == "N") else "↓"
    return line.append(f"  sorted by {SORTS[state.sort][0]} {sign}", style="not bold dim")


def _head(titles: list[str], names: int, width: int) -> Text:
    cells = [f"{title:>{_WIDTHS[_TITLES.index(title)]}}" for title in titles]
    line = Text(f"{'node':{names}} {'state':8} {' '.join(cells)}")
    line.pad_right(max(width - len(line), 0))
    line.stylize("black on green")
    return line


def _row(row: NodeRow, name: str, titles: list[str], names: int, spark: int) -> Text:
    name = name if cell_len(name) <= names else name[: names - 1] + "…"
    line = Text(f"{name}{' ' * (names - cell_len(name))} ", style="bold")
    line.append(f"{row.state:8} ", style="not bold" if row.state in ("up", "waiting") else "red")
    if not row.is_up and row.reason:
        line.append(visible_line(row.reason), style="not bold red")
        return line
    for title in titles:
        line.append_text(_cell(row, title)).append(" ")
    if spark:
        line.append(sparkline(row.cpu, spark, 100.0), style="not bold cyan")
    return line


def _cell(row: NodeRow, title: str) -> Text:
    width = _WIDTHS[_TITLES.index(title)]
    if title in ("cpu", "mem"):
        share = row.cpu_percent if title == "cpu" else row.memory_percent
        figure = f"{NOTHING if share is None else f'{share:.0f}%':>5}"
        return Text(bar(share, _BAR), style=f"not bold {style_of(share)}").append(figure, style="not bold")
    if title == "full":
        share = row.disk_percent
        text = NOTHING if share is None else f"{share:.0f}%"
        return Text(f"{text:>{width}}", style=f"not bold {style_of(share)}" if (share or 0) >= 80 else "not bold")
    if title == "load":
        return Text(f"{NOTHING if row.load is None else f'{row.load:.2f}':>{width}}", style="not bold")
    rates = {"disk": row.disk_rate, "net ↓": row.receive_rate, "net ↑": row.send_rate}
    return Text(f"{size(rates[title], '/s'):>{width}}", style="not bold")


def _foot(state: NodesState) -> str:
    if state.shows_help:
        return "any key goes on"
    rest = len(state.rows) - min(state.page, len(state.rows))
    more = f"  {rest} more: ↑ ↓" if rest else ""
    return f"F1 help  F10 quit  F5 table  F6 sort  {' '.join(SORTS)}{more}"
