"""Draws ``rpcclient top``: makes lines that fit the terminal from a state."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from rich.text import Text

from rpcclient.stubs.hardware import CpuCore, Process, Snapshot

from . import show
from .figures import NOTHING, bar, duration, percent, size, sparkline
from .top_columns import Around, Column, columns
from .top_state import SORTS, TopState, key_of

_HELP = (
    ("P M T N A G", "sort by processor, memory, time, number, name, age"),
    ("< > F6", "next order"),
    ("I", "the other way round"),
    ("t F5", "tree: who has started whom"),
    ("c", "command lines"),
    ("← →", "move names and command lines"),
    ("/ F3 F4", "show only names with …; Escape ends that"),
    ("u", "only users that begin with …"),
    ("↑ ↓ PgUp PgDn End", "select, and stay with that process"),
    ("Home", "select whichever is first"),
    ("k F9", "end the selected process (TERM)"),
    ("F7 ] F8 [", "its priority: higher, lower"),
    ("q F10  Ctrl-Z", "quit, suspend"),
)
_LEAST_ROWS = 4
_METER = 5 + 9 + 1 + 1
"""The width of a meter without its bar, its line and what it says."""
_KEYS = "F1 help  F10 quit  F4 filter  F5 tree  F6 sort  F7 nice −  F8 nice +  F9 kill"


def draw(state: TopState, width: int, height: int) -> list[Text]:
    """The lines of the screen, at most ``height`` of at most ``width`` characters."""
    # On a low screen the processes come first.
    head = _head(state, width)[: max(height - 2 - _LEAST_ROWS, 0)]
    if state.shows_help:
        lines = [*head[: max(height - len(_HELP) - 2, 0)], *(_help(*each) for each in _HELP)]
        lines = [*lines[: max(height - 1, 0)], Text("any key goes on", style="dim")]
    else:
        rows = max(height - len(head) - 2, 1)
        processes = state.place(rows)
        listed_s = state.process_list.t_wall_s if state.process_list is not None else time.time()
        memory = state.snapshot.memory if state.snapshot is not None else None
        around = Around(listed_s, None if memory is None else memory.total_bytes, state.sort)
        selection = columns(width, state.sort)
        branches = state.branches
        lines = [*head, _titles(state, selection, width)]
        for number, process in enumerate(processes):
            line = _row(process, state, selection, around, branches.get(key_of(process), ""))
            line.pad_right(max(width - line.cell_len, 0))
            if state.offset + number == state.selected_row:
                line.stylize("black on cyan")
            lines.append(line)
        lines = lines[: height - 1]
        lines += [Text()] * (height - 1 - len(lines))
        lines.append(_foot(state))
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="crop")
    return lines[:height]


def _head(state: TopState, width: int) -> list[Text]:
    snapshot = state.snapshot
    if snapshot is None:
        return [Text("waiting for the first sample …", style="dim")]
    lines = [_title(snapshot, state)]
    lines += _meters(snapshot, state, width)
    if (cpu := snapshot.cpu) is not None:
        lines[2:2] = _cores(cpu.cores, width)
    half = max((width - 39) // 2, 0)
    flows = [("net", "↓↑", state.receive_rates, state.send_rates), ("disk", "rw", state.read_rates, state.write_rates)]
    if state.has_inside:
        flows.insert(1, ("virt", "↓↑", state.inside_receive_rates, state.inside_send_rates))
    for name, signs, *both in flows:
        line = Text(f"{name:5}", style="bold")
        for sign, values in zip(signs, both, strict=True):
            latest = values[-1] if values else None
            line.append(f"{sign} {size(latest, '/s'):>12} ").append(sparkline(values, half), style="cyan").append("  ")
        lines.append(line)
    heat = (
        [s.current for s in snapshot.sensors.readings if s.kind == "temperature" and s.current is not None]
        if (snapshot.sensors is not None)
        else []
    )
    if heat:
        lines.append(
            Text("heat", style="bold").append(f" {max(heat):.0f} °C at most of {len(heat)} sensors", "not bold")
        )
    return [*lines, Text()]


def _meters(snapshot: Snapshot, state: TopState, width: int) -> list[Text]:
    """Shares as bars, with what they were, and figures; as wide as the terminal allows, and the figures are whole."""
    rows: list[tuple[str, float | None, Iterable[float | None], str]] = []
    if (cpu := snapshot.cpu) is not None:
        load = " ".join(f"{v:.2f}" for v in (cpu.load_1m, cpu.load_5m, cpu.load_15m) if v is not None)
        rows.append(("cpu", cpu.percent, state.cpu, f"load {load}"))
    if (memory := snapshot.memory) is not None:
        used = memory.total_bytes - memory.available_bytes
        rows.append(("mem", memory.percent, state.memory, f"{size(used)} of {size(memory.total_bytes)}"))
        if (swap := memory.swap) is not None:
            text = f"{size(swap.used_bytes)} of {size(swap.total_bytes)}" if swap.total_bytes else "none"
            rows.append(("swap", swap.percent if swap.total_bytes else None, (), text))
    room = max(width - _METER - max((len(text) for *_, text in rows), default=0), 0)
    thick = min(room, 16)
    thin = min(room - thick, 60)
    lines = []
    for name, share, history, text in rows:
        style = "red" if (share or 0) >= 90 else "yellow" if (share or 0) >= 60 else "green"
        line = Text(f"{name:5}", style="bold").append(bar(share, thick), style=style)
        line.append(f"{percent(share):>9} ").append(sparkline(history, thin, 100.0), style=style)
        lines.append(line.append(f" {text}"))
    return lines


def _title(snapshot: Snapshot, state: TopState) -> Text:
    host = snapshot.host
    line = Text(style="bold")
    if host is not None:
        line.append(show.text(host.hostname), style="bold cyan")
        line.append(
            f"  {show.text(host.system)} {show.text(host.release)}  up {duration(host.uptime_s)}", style="not bold"
        )
    if state.process_list is not None:
        running = "" if state.process_list.running is None else f", {state.process_list.running} running"
        note = ", others are hidden" if state.process_list.reasons else ""
        line.append(f"  {state.process_list.total} processes{running}{note}", style="not bold")
    return line


def _cores(cores: Sequence[CpuCore], width: int) -> list[Text]:
    """Each core as one column, at the place of its number; many cores take two lines, and an
    ellipsis stands for those that have no room there."""
    if len(cores) < 2:
        return []
    per_line = max(width - 7, 10)
    columns_of = {core.cpu: _core(core) for core in cores}
    signs = "".join(columns_of.get(number, " ") for number in range(max(columns_of) + 1))
    if len(signs) > 2 * per_line:
        signs = signs[: 2 * per_line - 1] + "…"
    return [
        Text("     " if start else "core ", style="bold").append(f"{signs[start : start + per_line]}", style="green")
        for start in range(0, min(len(signs), 2 * per_line), per_line)
    ]


def _core(core: CpuCore) -> str:
    if not core.online:
        return "×"
    return "?" if core.percent is None else sparkline([core.percent], 1, 100.0)


def _help(keys: str, meaning: str) -> Text:
    return Text(f"{keys:18} ", style="bold").append(meaning, style="not bold")


def _titles(state: TopState, selection: Sequence[Column], width: int) -> Text:
    names = {
        "cpu_percent": "CPU%", "memory_percent": "RSS", "cpu_times": "TIME", "create_time": "AGE", "pid": "PID",
        "name": "NAME",
    }  # fmt: skip
    line = Text("".join(f"{column.text(column.title)} " for column in selection))
    line.append("COMMAND" if state.command_lines else "NAME")
    line.append(f"   sorted by {names[state.sort]}{' ↑' if state.reverse else ' ↓'}", style="dim")
    line.pad_right(max(width - len(line), 0))
    line.stylize("black on green")
    return line


def _row(process: Process, state: TopState, selection: Sequence[Column], around: Around, branch: str) -> Text:
    name = process.name or NOTHING
    if state.command_lines and process.cmdline:
        name = " ".join(process.cmdline)
    name = branch + show.text(name).replace("\n", " ").replace("\t", " ")
    return Text("".join(f"{column.text(column.cell(process, around))} " for column in selection) + name[state.shift :])


def _foot(state: TopState) -> Text:
    if state.typing:
        return Text(
            f"show only: {state.pattern}▏" if state.typing == "pattern" else f"user: {state.user}▏", style="bold"
        )
    if state.asking is not None:
        name = show.text(state.asking.name or "")
        return Text(f"end {name} ({state.asking.pid})? y or Enter ends it, any other key does not", style="bold red")
    if state.message:
        return Text(show.text(state.message), style="bold yellow")
    filters = "".join(f"   only {word!r}" for word in (state.pattern, state.user) if word)
    return Text(_KEYS + filters + "   " + " ".join(key for key, _ in SORTS), style="dim")
