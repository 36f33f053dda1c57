"""``rpcserver reload``: has the running server read its configuration anew."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from rpcserver.config import ConfigError
from rpcserver.reload.report import ReloadReport, lay_out
from rpcserver.system import RELOAD_S

from .asking import ask_server
from .options import config_option
from .server_user import load_as_server_user


@click.command("reload", short_help="Have the running server read its configuration anew.")
@config_option
@click.option("--unix", metavar="PATH", help="The Unix socket of the server, if the configuration names another one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def reload(config_file: Path | None, unix: str | None, as_json: bool) -> None:
    """Have the running server read its configuration anew, and print what has changed, and what needs a restart.

    If anything in it is wrong, nothing changes, the fault is printed, and the exit status is 2. Connections stay, and
    calls go on. The server must run on this machine, as the same user; root may ask, too. SIGHUP does the same.
    """
    overrides: dict[str, Any] = {} if unix is None else {"listen": {"unix": unix}}
    try:
        answer = ask_server(load_as_server_user(config_file, overrides), "rpc.reload", RELOAD_S)
    except ConfigError as exc:
        click.echo(f"rpcserver: {exc}", err=True)
        sys.exit(2)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    for line in lay_out(ReloadReport.model_validate(answer)):
        click.echo(line)
