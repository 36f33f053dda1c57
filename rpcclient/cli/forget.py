"""``rpcclient forget``."""

from __future__ import annotations

import sys

import click

from . import context, ids, outcome
from .characters import visible_line
from .completing import complete_id


@click.command()
@click.argument("program_ids", metavar="ID ...", nargs=-1, required=True, shell_complete=complete_id)
@click.option("--force", "-f", is_flag=True, help="Also those that still run: they are ended.")
@context.pass_settings
@context.command
def command(settings: context.Settings, program_ids: tuple[str, ...], force: bool) -> None:
    """Free what is kept of the programs ID: their output, and how they ended."""
    from rpcclient.errors import RpcError

    status = outcome.OK
    with settings.connect() as client:
        for word in program_ids:
            try:
                program = client.programs.get(ids.find(client, word))
                id_text = visible_line(program.id)
                if program.running and not force:
                    print(
                        f"rpcclient: {id_text} still runs: end it with kill, or give --force",
                        file=sys.stderr,
                    )
                    status = outcome.FAILED
                    continue
                client.programs.forget(program.id)
                print(f"{id_text}: forgotten")
            except RpcError as exc:
                status = outcome.report(exc)
    sys.stdout.flush()
    sys.exit(status)
