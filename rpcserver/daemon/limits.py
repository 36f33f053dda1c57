"""``rpcserver limits``: every limit of the running server, and its present use."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from rpcserver.config import ConfigError
from rpcwire.logs import printable

from .asking import ask_server
from .options import config_option
from .server_user import load_as_server_user

HEADS = ("scope", "holder", "what", "used", "most", "limit", "setting")
RIGHT = frozenset({"used", "most", "limit"})
"""The columns of numbers."""


@click.command(short_help="Show every limit of the running server, and its present use.")
@config_option
@click.option("--all", "show_all", is_flag=True, help="Show each connection, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(config_file: Path | None, show_all: bool, as_json: bool) -> None:
    """Show every limit of the running server, and its present use: of the server, of each principal and each address.

    The server must run on this machine, as the same user; root may ask, too.
    """
    try:
        uses = ask_server(load_as_server_user(config_file), "rpc.limits")
    except ConfigError as exc:
        click.echo(f"rpcserver: {exc}", err=True)
        sys.exit(2)
    if not show_all:
        uses = [use for use in uses if use["scope"] != "connection"]
    if as_json:
        click.echo(json.dumps(uses, indent=2))
        return
    for line in lay_out(uses):
        click.echo(line)


def lay_out(uses: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table.

    Parameters:
        uses: the answer of ``rpc.limits``.
    """
    rows = [HEADS, *(tuple(_cell(use[head]) for head in HEADS) for use in uses)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    for row in rows:
        cells = [
            cell.rjust(width) if head in RIGHT else cell.ljust(width)
            for head, cell, width in zip(HEADS, row, widths, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def _cell(value: str | float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return printable(value, 60) or "-"
    return f"{value:,.0f}"
