"""``rpcclient kill``."""

from __future__ import annotations

import sys

import click

from . import context, ids, outcome
from .characters import visible_line
from .completing import complete_running


@click.command()
@click.argument("program_ids", metavar="ID ...", nargs=-1, required=True, shell_complete=complete_running)
@click.option("--signal", "-s", "name", metavar="SIGNAL", help="Only send this signal, by name or number.")
@click.option(
    "--grace", "grace_s", type=click.FloatRange(min=0), default=2.0, show_default=True, metavar="SECONDS",
    help="Time between TERM and KILL.",
)  # fmt: skip
@context.pass_settings
@context.command
def command(settings: context.Settings, program_ids: tuple[str, ...], name: str | None, grace_s: float) -> None:
    """End the programs ID, with everything that they have started, and say how each ended."""
    from rpcclient.errors import RpcError
    from rpcclient.programs.results import signal_name

    status = outcome.OK
    with settings.connect() as client:
        for word in program_ids:
            try:
                program_id = ids.find(client, word)
                id_text = visible_line(program_id)
                if name is not None:
                    there = client.programs.signal(program_id, signal_name(name))
                    print(f"{id_text}: {'sent' if there else 'it has ended already'}")
                    continue
                end = client.programs.kill(program_id, grace_s=grace_s)
            except RpcError as exc:
                status = outcome.report(exc)
                continue
            print(f"{id_text}: {visible_line(str(end.status))}")
            if end.survivors:
                print(f"{id_text}: could not be ended: {', '.join(map(str, end.survivors))}", file=sys.stderr)
                status = outcome.FAILED
    sys.stdout.flush()
    sys.exit(status)
