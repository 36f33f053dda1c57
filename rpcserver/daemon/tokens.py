"""The commands ``rpcserver token``: make, list, change, rotate and revoke named tokens."""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import stat
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ParamSpec

import click

from rpcserver.config import ConfigError, ServerConfig
from rpcserver.security.named_tokens import NamedToken, TokenError, TokenSet, check_role
from rpcserver.security.token_file import TokenFile

from .options import config_option
from .server_user import load_as_server_user

_P = ParamSpec("_P")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")


def parse_duration(text: str) -> float:
    """Read a time such as ``90d``, in seconds. The units are s, m, h, d and w.

    Raises:
        TokenError: the text is malformed.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        if text.strip() == "0":
            return 0.0
        raise TokenError(f"{text[:40]!r} is no duration: write a number and s, m, h, d or w, such as 90d")
    return float(int(match[1]) * _UNITS_S[match[2]])


def parse_expiry(text: str, now: float) -> float:
    """Read when something expires, in seconds since 1970.

    Parameters:
        text: a duration such as ``90d``, or a date or time in the form of ISO 8601: ``2027-01-31``,
            ``2027-01-31T12:00Z``. Without a zone it is local time.
        now: the time.

    Raises:
        TokenError: the text is malformed.
    """
    if _DURATION.fullmatch(text.strip()):
        return now + parse_duration(text)
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError):
        raise TokenError(
            f"expires: {text[:40]!r} is neither a duration such as 90d nor a date such as 2027-01-31"
        ) from None


def _reports_errors(command: Callable[_P, None]) -> Callable[_P, None]:
    """Make a command write errors to standard error, and exit with 2."""

    @functools.wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (ConfigError, TokenError) as exc:
            click.echo(f"rpcserver: {exc}", err=True)
            sys.exit(2)

    return run


_network_option = click.option(
    "--network",
    "networks",
    multiple=True,
    metavar="CIDR",
    help='Accept the token only from this network, or with "unix" from the Unix socket; may be given several times.',
)
_expires_option = click.option(
    "--expires", metavar="TIME", help="When it expires: a time from now such as 90d, or a date such as 2027-01-31."
)


@click.group(name="token", short_help="Make, list, change, rotate and revoke named tokens.")
def token() -> None:
    """Make, list, change, rotate and revoke named tokens. A running server notices each change within a second."""


@token.command()
@click.argument("name")
@click.option("--role", required=True, help="Role of whoever has the token: a table [roles.NAME], or owner.")
@_expires_option
@_network_option
@config_option
@_reports_errors
def create(name: str, role: str, expires: str | None, networks: tuple[str, ...], config_file: Path | None) -> None:
    """Make a token, and print it once: the server keeps only its SHA-256."""
    config = load_as_server_user(config_file)
    _check_role(role, config, config_file)
    now = time.time()
    until = None if expires is None else parse_expiry(expires, now)
    text = _edit(config, lambda tokens: tokens.create(name, role, now, expires=until, networks=networks))
    _show(text, f"the token of {name}; nobody can show it again")


@token.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
@_reports_errors
def list_tokens(as_json: bool, config_file: Path | None) -> None:
    """List the tokens, without the tokens themselves."""
    now = time.time()
    tokens = _file(load_as_server_user(config_file)).read().tokens
    rows = [_describe(each, now) for each in sorted(tokens, key=lambda each: (each.name, each.created))]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    columns = ("name", "role", "state", "created", "expires", "last_used", "networks")
    lines = [columns, *([_cell(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@token.command()
@click.argument("name")
@config_option
@_reports_errors
def revoke(name: str, config_file: Path | None) -> None:
    """Make a token invalid. A running server ends its connections and its programs within a second."""
    _file(load_as_server_user(config_file)).update(lambda tokens: tokens.revoke(name, time.time()))
    click.echo(f"rpcserver: the token of {name} is revoked", err=True)


@token.command()
@click.argument("name")
@click.option(
    "--overlap",
    default="1h",
    show_default=True,
    metavar="TIME",
    help="How long the old token stays valid; 0 ends it now.",
)
@_expires_option
@config_option
@_reports_errors
def rotate(name: str, overlap: str, expires: str | None, config_file: Path | None) -> None:
    """Make a new token in place of an old one, with its role and networks, and print it once.

    Without --expires, the new token gets as long a life as the old one had, counted from now.
    """
    now = time.time()
    overlap_s = parse_duration(overlap)
    until = None if expires is None else parse_expiry(expires, now)
    text = _edit(load_as_server_user(config_file), lambda tokens: tokens.rotate(name, overlap_s, now, expires=until))
    _show(text, f"the new token of {name}; the old one is valid for {overlap}")


@token.command()
@click.argument("name")
@click.option("--role", help="Another role.")
@_expires_option
@_network_option
@click.option("--any-network", is_flag=True, help="Accept it from everywhere again.")
@config_option
@_reports_errors
def change(
    name: str,
    role: str | None,
    expires: str | None,
    networks: tuple[str, ...],
    any_network: bool,
    config_file: Path | None,
) -> None:
    """Give a token another role, another expiry or other networks. The token itself stays the same."""
    if networks and any_network:
        raise TokenError("--network and --any-network contradict each other: give one of them")
    if role is None and expires is None and not networks and not any_network:
        raise TokenError("nothing to change: give --role, --expires, --network or --any-network")
    config = load_as_server_user(config_file)
    if role is not None:
        _check_role(role, config, config_file)
    now = time.time()
    until = None if expires is None else parse_expiry(expires, now)
    new_networks = networks if networks or any_network else None
    _file(config).update(lambda tokens: tokens.change(name, now, role=role, expires=until, networks=new_networks))
    click.echo(f"rpcserver: the token of {name} has changed", err=True)


def _file(config: ServerConfig) -> TokenFile:
    return TokenFile(config.state_path)


def _edit(config: ServerConfig, edit: Callable[[TokenSet], tuple[TokenSet, str]]) -> str:
    """Change the file by an edit that makes a token, and return that token."""
    texts: list[str] = []

    def keep_text(tokens: TokenSet) -> TokenSet:
        new, text = edit(tokens)
        texts.append(text)
        return new

    _file(config).update(keep_text)
    return texts[-1]


def _show(text: str, what: str) -> None:
    """Print a token, alone on standard output, so that it can go to a file."""
    click.echo(text)
    click.echo(f"rpcserver: this is {what}", err=True)
    try:
        descriptor = sys.stdout.fileno()
        info = os.fstat(descriptor)
        if stat.S_ISREG(info.st_mode) and info.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            file = str(Path(f"/proc/self/fd/{descriptor}").readlink())
            click.echo(f"rpcserver: others may read the file: run: chmod 600 {shlex.quote(file)}", err=True)
    except OSError:
        pass  # It is no file.


def _check_role(role: str, config: ServerConfig, config_file: Path | None) -> None:
    if config_file is not None or config.roles:
        check_role(role, config.roles)
    elif role != "owner":
        place = f"[roles.{role}]"
        click.echo(f"rpcserver: the configuration has no {place} yet: until then the token gives nothing", err=True)


def _describe(each: NamedToken, now: float) -> dict[str, Any]:
    state = "expired" if each.state != "revoked" and not each.is_valid(now) else each.state
    return {
        "name": each.name,
        "role": each.role,
        "state": "valid" if state == "current" else state,
        "created": _time(each.created),
        "expires": _time(each.expires),
        "revoked": _time(each.revoked),
        "last_used": _time(each.last_used),
        "networks": list(each.networks),
        "id": each.id,
    }


def _time(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "all"
    return value or "never"
