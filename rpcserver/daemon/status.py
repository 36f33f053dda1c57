"""``rpcserver status``: what the running server does, and how it is."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rpcserver.config import ConfigError
from rpcwire.logs import printable

from .asking import talk_to_server
from .options import config_option
from .server_user import load_as_server_user

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

MOST_ROWS = 40
"""The most rows of one table; ``--json`` has all of them."""

_SIZES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


@click.command(short_help="Show who is connected to the running server, what runs, and how it is.")
@config_option
@click.option("-w", "--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option(
    "--interval", "interval_s", type=click.FloatRange(min=0.1), default=2.0, help="Seconds between two looks; 2."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch a line for each look.")
def command(config_file: Path | None, *, watch: bool, interval_s: float, as_json: bool) -> None:
    """Show what the running server does: who is connected, which calls and streams run, what waits, what was refused
    for limits, how the services are.

    The server must run on this machine, as the same user; root may ask, too. From afar: rpcclient call rpc.activity.
    """
    from rich.console import Console

    console = Console()
    try:
        with talk_to_server(load_as_server_user(config_file), "rpc.activity") as ask:
            if not watch:
                activity = ask()
                click.echo(json.dumps(activity, indent=2)) if as_json else console.print(*lay_out(activity), sep="\n")
            elif as_json:
                while True:
                    click.echo(json.dumps(ask()))
                    time.sleep(interval_s)
            else:
                _watch(console, ask, interval_s)
    except ConfigError as exc:
        click.echo(f"rpcserver: {exc}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _watch(console: Any, ask: Any, interval_s: float) -> None:
    from rich.console import Group
    from rich.live import Live

    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        while True:
            live.update(Group(*lay_out(ask(), is_short=True)), refresh=True)
            time.sleep(interval_s)


def lay_out(activity: Mapping[str, Any], *, is_short: bool = False) -> Iterator[RenderableType]:
    """Yield what to show of the answer of ``rpc.activity``.

    Parameters:
        activity: the answer as plain data.
        is_short: whether the figures of each service have one line, however little there is room for: they would push
            all else off a small screen.
    """
    from rich.text import Text

    connected, running = activity["connected"], activity["running"]
    yield Text(
        f"rpcserver {activity['version']}, up {_duration(activity['uptime_s'])}; "
        f"{_count(len(connected), 'connection')}, {_count(len(running), 'handler')} running; "
        f"longest stall {1000 * activity['longest_stall_s']:.0f} ms; "
        f"{_count(activity['wrong_attempts'], 'wrong attempt')} to authenticate"
    )
    yield _lay_out_services(activity, is_short=is_short)
    yield _table(
        "connected",
        ("id", "who", "role", "by", "address", "since", "in flight", "streams"),
        [_write_connection(each) for each in connected],
    )
    yield _table(
        "running", ("what", "method", "who", "connection", "for", "items"), [_write_run(each) for each in running]
    )
    circuits = [each for each in activity["circuits"] if each["began"]]
    if circuits:
        heads = ("direction", "open", "since the start", "sent", "received")
        yield _table("connections with other nodes", heads, [_write_circuits(each) for each in circuits])
    if activity["circuit_ends"]:
        ends = [(reason, str(number)) for reason, number in activity["circuit_ends"].items()]
        yield _table("their ends", ("reason", "times"), ends)
    waiting = [(state.replace("_", " "), str(number)) for state, number in activity["waiting"].items() if number]
    if waiting:
        yield _table("connections that have not authenticated", ("state", "number"), waiting)
    if activity["refused"]:
        rows_refused = [(each["limit"], str(each["count"])) for each in activity["refused"]]
        yield _table("refused since the start", ("limit", "times"), rows_refused)


def _lay_out_services(activity: Mapping[str, Any], *, is_short: bool) -> Table:
    phases = {each["name"]: each for each in activity["services"]}
    figures: dict[str, list[str]] = {}
    for figure in activity["figures"]:
        labels = " ".join(figure["labels"].values())
        text = f"{labels} {figure['name']} {figure['value']:g}".strip().replace("_", " ")
        figures.setdefault(figure["service"], []).append(text)
    rows = []
    for health in activity["health"]:
        name = health["name"]
        phase = phases.get(name, {"phase": "running", "failures": 0})
        reason = health.get("details") or health["reason"]
        state = "well" if health["ok"] else f"{phase['phase']}: {reason}"
        rows.append((name, state, str(phase["failures"]), ", ".join(figures.get(name, ()))))
    table = _table("services", ("service", "state", "failures", "figures"), rows)
    if is_short:
        table.expand = True  # The others have the width that they need, and the figures what is left.
        table.columns[-1].ratio, table.columns[-1].no_wrap, table.columns[-1].overflow = 1, True, "ellipsis"
    return table


def _write_address(each: Mapping[str, Any]) -> str:
    address = each["address"] if each["transport"] == "tcp" else f"{each['address']} ({each['transport']})"
    return address if each["node"] is None else f"{address} to {each['node']}"


def _write_connection(each: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        each["id"], each["principal"] or "-", each["role"] or "-", each["authenticated_by"] or "-",
        _write_address(each),
        _duration(each["age_s"]), str(each["calls_in_flight"]), str(each["streams"]),
    )  # fmt: skip


def _write_circuits(each: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        {"out": "to other nodes", "in": "from other nodes"}[each["direction"]], str(each["open"]), str(each["began"]),
        _size(each["sent_bytes"]), _size(each["received_bytes"]),
    )  # fmt: skip


def _write_run(each: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        each["kind"], each["method"], each["principal"] or "-", each["connection"],
        "-" if each["age_s"] is None else _duration(each["age_s"]),
        "-" if each["items"] is None else str(each["items"]),
    )  # fmt: skip


def _table(title: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows[:MOST_ROWS]:
        table.add_row(*(Text(printable(cell, 200)) for cell in row))
    if len(rows) > MOST_ROWS:
        table.add_row(f"… {len(rows) - MOST_ROWS} more")
    if not rows:
        table.add_row("none")
    return table


def _size(size_bytes: int) -> str:
    for size, unit in _SIZES:
        if size_bytes >= size:
            return f"{size_bytes / size:.1f} {unit}"
    return f"{size_bytes} B"


def _duration(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
