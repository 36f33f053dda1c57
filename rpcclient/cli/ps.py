"""``rpcclient ps``."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from . import context, show
from .many.options import many_options
from .starting import _pairs

if TYPE_CHECKING:
    from rpcclient import Client
    from rpcclient.stubs.programs import ProgramInfo


_WHOLE = ("id", "pid", "owner", "age", "state")
"""Columns that are never cut. On a narrow terminal, labels and command lines are cut instead."""
_LEAST_NEEDED = ("labels", "pid", "owner", "age")
"""Columns to leave out on a terminal that is still too narrow, the least important first."""
_GAP = 2
_LEAST_COMMAND = 12


@click.command()
@click.option("--all", "-a", "everything", is_flag=True, help="Also those that have ended and are still kept.")
@click.option(
    "--label", "-l", "labels", multiple=True, metavar="NAME=VALUE", callback=_pairs, help="Only with this note."
)
@click.option("--owner", metavar="NAME", help="Only those of this owner.")
@context.json_option
@many_options
@context.pass_settings
@context.command
def command(settings: context.Settings, everything: bool, labels: dict[str, str], owner: str | None) -> None:
    """List the programs that were started on the server's machine and run, in the order of their starts."""
    with settings.connect() as client:
        if settings.many.is_given:
            params = {"labels": labels or None, "owner": owner, "running": None if everything else True}
            sys.exit(_ask_many(client, settings, params))
        programs = client.programs.list(labels=labels or None, owner=owner, running=None if everything else True)
    if settings.readable:
        _show(programs, shutil.get_terminal_size().columns)
    else:
        programs.sort(key=lambda program: program.started_at)
        show.show([program.model_dump() for program in programs], readable=False)


def _show(programs: list[ProgramInfo], width: int) -> None:
    show.show(fitting(_rows(programs), width), readable=True, whole=_WHOLE)


def _rows(programs: list[ProgramInfo]) -> list[dict[str, object]]:
    return [_row(program) for program in sorted(programs, key=lambda program: program.started_at)]


def _ask_many(client: Client, settings: context.Settings, params: dict[str, Any]) -> int:
    from rpcclient.stubs.programs import ProgramInfo
    from rpcwire.limits import DEFAULT_DEADLINE_S

    from .many.asking import ask
    from .many.merged import NODE, Merged
    from .many.typed import read_as

    class Programs(Merged):
        """Prints the programs of the nodes as a table."""

        def rows(self, result: Any) -> list[dict[str, object]]:
            return _rows(read_as(list[ProgramInfo], result))

        def show(self, rows: Sequence[Mapping[str, object]], width: int) -> None:
            whole = (NODE, *_WHOLE)
            show.show(fitting(rows, width, whole), readable=True, whole=whole)

    deadline_s = settings.timeout_s or DEFAULT_DEADLINE_S
    return ask(client, settings, "programs.list", params, rendering=Programs(settings), deadline_s=deadline_s)


def fitting(
    rows: Sequence[Mapping[str, object]], width: int, whole_columns: Collection[str] = _WHOLE
) -> list[dict[str, object]]:
    """The columns for which there is room beside the command.

    Parameters:
        rows: all columns of each program.
        width: of the terminal, in characters.
        whole_columns: columns that are never cut.
    """
    columns = list(rows[0]) if rows else []

    def measure() -> int:
        whole = [name for name in columns if name in whole_columns]
        return _LEAST_COMMAND + sum(max(len(name), *(len(str(row[name])) for row in rows)) + _GAP for name in whole)

    for name in _LEAST_NEEDED:
        if measure() <= width:
            break
        columns.remove(name)
    return [{name: row[name] for name in columns} for row in rows]


def _row(program: ProgramInfo) -> dict[str, object]:
    return {
        "id": program.id,
        "pid": program.pid,
        "owner": program.owner,
        "age": _age(time.time() - program.started_at),
        "state": "running" if program.status is None else str(program.status),
        "labels": " ".join(f"{name}={value}" for name, value in program.labels.items()),
        "command": shlex.join(program.argv),
    }


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
