"""``rpcclient kill``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from . import context, ids, outcome
from .characters import visible_line
from .completing import complete_running
from .many.options import many_options
from .starting import label_option

if TYPE_CHECKING:
    from rpcclient import Client
    from rpcclient.stubs.programs import Exit


@click.command()
@click.argument("program_ids", metavar="[ID ...]", nargs=-1, shell_complete=complete_running)
@click.option("--signal", "-s", "name", metavar="SIGNAL", help="Only send this signal, by name or number.")
@click.option(
    "--grace", "grace_s", type=click.FloatRange(min=0), default=2.0, show_default=True, metavar="SECONDS",
    help="Time between TERM and KILL.",
)  # fmt: skip
@label_option("All those with this note that run.")
@many_options
@context.pass_settings
@context.command
def command(
    settings: context.Settings, program_ids: tuple[str, ...], name: str | None, grace_s: float, labels: dict[str, str]
) -> None:
    """End the programs ID, or those with a label, with everything that they have started, and say how each ended. On
    many nodes: those that run there; an ID is a whole one."""
    from rpcclient.programs.results import signal_name

    check(program_ids, labels)
    signal = None if name is None else signal_name(name)
    if settings.many.is_given:
        from .many.ending import end_programs

        if signal is not None:
            sys.exit(end_programs(settings, "signal_matching", program_ids, labels, {"signal": signal}, "sent"))
        sys.exit(end_programs(settings, "kill_matching", program_ids, labels, {"grace_s": grace_s}, ""))
    with settings.connect() as client:
        status = _end_matching(client, labels, signal, grace_s) if labels else outcome.OK
        for word in program_ids:
            status = _end(client, word, signal, grace_s) or status
    sys.stdout.flush()
    sys.exit(status)


def check(program_ids: tuple[str, ...], labels: dict[str, str]) -> None:
    """Check that a command says for which programs it is.

    Raises:
        click.UsageError: it does not, or in two ways.
    """
    if not program_ids and not labels:
        raise click.UsageError("say which programs: ID, or --label NAME=VALUE; rpcclient ps lists them")
    if program_ids and labels:
        raise click.UsageError("give either the IDs of programs, or --label")


def _end(client: Client, word: str, signal: str | None, grace_s: float) -> int:
    from rpcclient.errors import RpcError

    try:
        program_id = ids.find(client, word)
        if signal is not None:
            there = client.programs.signal(program_id, signal)
            print(f"{visible_line(program_id)}: {'sent' if there else 'it has ended already'}")
            return outcome.OK
        return _tell(client.programs.kill(program_id, grace_s=grace_s))
    except RpcError as exc:
        return outcome.report(exc)


def _end_matching(client: Client, labels: dict[str, str], signal: str | None, grace_s: float) -> int:
    if signal is not None:
        reached_ids = client.programs.signal_matching(signal, labels=labels)
        for program_id in reached_ids:
            print(f"{visible_line(program_id)}: sent")
        return outcome.OK if reached_ids else report_none()
    ends = client.programs.kill_matching(labels=labels, grace_s=grace_s)
    return max(map(_tell, ends), default=outcome.OK) if ends else report_none()


def report_none() -> int:
    """Say that no program has the labels, and return the exit status."""
    print("rpcclient: there is no such program; rpcclient ps --all lists them", file=sys.stderr)
    return outcome.FAILED


def _tell(end: Exit) -> int:
    id_text = visible_line(end.id)
    print(f"{id_text}: {visible_line(str(end.status))}")
    if not end.survivors:
        return outcome.OK
    print(f"{id_text}: could not be ended: {', '.join(map(str, end.survivors))}", file=sys.stderr)
    return outcome.FAILED
