"""``rpcserver requests``: who called what, from the audit log."""

from __future__ import annotations

from pathlib import Path

import click

from rpcserver.audit.reading import Follower, last, select
from rpcserver.config import ConfigError

from .audit import print_lines, read_criteria, report_failures
from .options import config_option
from .server_user import load_as_server_user


@click.command(short_help="Show the latest calls, by caller and method.")
@config_option
@click.option("-n", "--lines", "count", type=click.IntRange(min=0), default=20, help="How many; 20 by default.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new calls as they end, until Ctrl-C.")
@click.option("--principal", default="", help="Who has called.")
@click.option("--method", default="", help='Method; "hardware.*" for all that begin so.')
@click.option("--outcome", default="", help='"ok", "failed", or the type of an error.')
@click.option("--since", default="", help="Not before: 2026-11-29T22:10, or 15m, 2h, 3d ago.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a line for each call.")
def command(config_file: Path | None, count: int, *, follow: bool, as_json: bool, **criteria: str) -> None:
    """Show the latest calls that have ended: when, the number in the audit log, who, from where, the method, what came
    of it, how long it took, and the id of the call.

    The audit log has them: audit.enabled must be true. rpcserver audit search looks through all of it.
    """
    with report_failures():
        config = load_as_server_user(config_file)
        if not config.audit.enabled and not config.audit_path.is_dir():
            raise ConfigError("audit.enabled: the server notes no calls: set it to true, and start the server again")
        conditions = read_criteria({"until": "", **criteria, "event": "completed"})
        follower = Follower(config.audit_path)
        print_lines(last(config.audit_path, count, conditions), as_json=as_json)
        if follow:
            for line in follower.lines():
                print_lines(select(line, conditions), as_json=as_json)
