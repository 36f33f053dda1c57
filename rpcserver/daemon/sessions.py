"""The commands ``rpcserver session``: list and revoke the sessions of web pages."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from rpcserver.config import ConfigError
from rpcwire.logs import printable

from .asking import ask_server
from .options import config_option
from .server_user import load_as_server_user

HEADS = ("id", "principal", "role", "made by", "address", "age", "left", "connections")
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


@click.group(name="session", short_help="List and revoke sessions of web pages.")
def session() -> None:
    """List and revoke sessions, by which web pages are signed in.

    The server must run on this machine, as the same user; root may ask, too. From afar: rpcclient call
    rpc.list_sessions, and rpcclient call rpc.revoke_session.
    """


@session.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def list_sessions(as_json: bool, config_file: Path | None) -> None:
    """List the sessions that have not ended."""
    sessions = _ask(config_file, "rpc.list_sessions")
    if as_json:
        click.echo(json.dumps(sessions, indent=2))
        return
    for line in lay_out(sessions, time.time()):
        click.echo(line)


@session.command()
@click.argument("session_id", metavar="ID")
@config_option
def revoke(session_id: str, config_file: Path | None) -> None:
    """End a session now, with the connections by it. `rpcserver session list` shows the ids."""
    if not _ask(config_file, "rpc.revoke_session", {"session_id": session_id}):
        text = f"there is no session {printable(session_id, 40)}: `rpcserver session list` shows those there are"
        click.echo(f"rpcserver: {text}", err=True)
        sys.exit(2)
    click.echo(f"rpcserver: the session {session_id} is revoked", err=True)


def _ask(config_file: Path | None, method: str, params: Mapping[str, Any] | None = None) -> Any:
    try:
        return ask_server(load_as_server_user(config_file), method, params=params)
    except ConfigError as exc:
        click.echo(f"rpcserver: {exc}", err=True)
        sys.exit(2)


def lay_out(sessions: Iterable[Mapping[str, Any]], now: float) -> Iterator[str]:
    """Yield the lines of a table.

    Parameters:
        sessions: the answer of ``rpc.list_sessions``.
        now: the time, in seconds since 1970.
    """
    rows = [HEADS, *(_row(each, now) for each in sessions)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(session: Mapping[str, Any], now: float) -> tuple[str, ...]:
    return (
        session["id"],
        printable(session["principal"]),
        printable(session["role"] or "none"),
        printable(session["made_by"]),
        printable(session["address"]),
        _duration(now - session["created_at"]),
        _duration(session["expires_at"] - now),
        str(session["connections"]),
    )


def _duration(duration_s: float) -> str:
    for unit_s, unit in _UNITS:
        if duration_s >= unit_s:
            return f"{duration_s / unit_s:.0f} {unit}"
    return f"{max(duration_s, 0):.0f} s"
