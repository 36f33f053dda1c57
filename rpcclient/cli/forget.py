"""``rpcclient forget``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from . import context, ids, outcome
from .characters import visible_line
from .completing import complete_id
from .kill import check, report_none
from .many.options import many_options
from .starting import label_option

if TYPE_CHECKING:
    from rpcclient import Client


@click.command()
@click.argument("program_ids", metavar="[ID ...]", nargs=-1, shell_complete=complete_id)
@click.option("--force", "-f", is_flag=True, help="Also those that still run: they are ended.")
@label_option("All those with this note that have ended.")
@many_options
@context.pass_settings
@context.command
def command(settings: context.Settings, program_ids: tuple[str, ...], force: bool, labels: dict[str, str]) -> None:
    """Free what is kept of the programs ID, or of those with a label: their output, and how they ended. On many nodes:
    of those that were run there; an ID is a whole one."""
    check(program_ids, labels)
    if settings.many.is_given:
        from .many.ending import end_programs

        sys.exit(end_programs(settings, "forget_matching", program_ids, labels, {"force": force}, "forgotten"))
    status = outcome.OK
    with settings.connect() as client:
        if labels:
            gone_ids = client.programs.forget_matching(labels=labels, force=force)
            for program_id in gone_ids:
                print(f"{visible_line(program_id)}: forgotten")
            status = outcome.OK if gone_ids else report_none()
        for word in program_ids:
            status = _forget(client, word, force=force) or status
    sys.stdout.flush()
    sys.exit(status)


def _forget(client: Client, word: str, *, force: bool) -> int:
    from rpcclient.errors import RpcError

    try:
        program = client.programs.get(ids.find(client, word))
        id_text = visible_line(program.id)
        if program.running and not force:
            print(f"rpcclient: {id_text} still runs: end it with kill, or give --force", file=sys.stderr)
            return outcome.FAILED
        client.programs.forget(program.id)
    except RpcError as exc:
        return outcome.report(exc)
    print(f"{id_text}: forgotten")
    return outcome.OK
