"""``rpcclient attach``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from . import context, ids, starting
from .completing import complete_running
from .standard import STDIN

if TYPE_CHECKING:
    from rpcclient import AsyncClient
    from rpcclient.stubs.programs import ProgramInfo, StreamName

TAIL_BYTES = 16 * 1024


@click.command()
@click.argument("program_id", metavar="ID", shell_complete=complete_running)
@click.option("--tail", "tail_bytes", type=click.IntRange(min=0), metavar="BYTES", help="Begin so far before the end.")
@click.option("--view", is_flag=True, help="Only look on.")
@click.option("--take", is_flag=True, help="Take control also where somebody else has it.")
@context.pass_settings
@context.command
def command(settings: context.Settings, program_id: str, tail_bytes: int | None, view: bool, take: bool) -> None:
    """Come back to the program ID: see what it writes, and type to it.

    With a terminal it is as in rpcclient shell, from the last 16 KiB on; ~. leaves it and lets it go on, with --view
    Ctrl-C, too. Without one,
    everything that is kept of its output is shown; standard input goes to it, unless it is a terminal, and Ctrl-C
    leaves it. The exit status is the program's own, or 0 where it was left.
    """
    if view and take:
        raise click.UsageError("--view and --take exclude each other")

    async def run(client: AsyncClient) -> int:
        info = await client.programs.get(await ids.find_async(client, program_id))
        here = os.isatty(STDIN) and sys.stdout.isatty()
        on_terminal = info.terminal is not None and here and info.running
        stdin = not view and info.running and not os.isatty(STDIN)
        # If an offset lies before the output that is kept, the server says how much is missing.
        offsets = {} if tail_bytes is None else _places(info, tail_bytes)
        tail = TAIL_BYTES if tail_bytes is None and info.terminal is not None else None
        controls = not view and info.running and (on_terminal or stdin)
        window = starting.KEPT_WINDOW if on_terminal else None
        program = await client.options(window=window).programs.attach(
            info.id, offsets=offsets, tail_bytes=tail, control=controls, take=controls and take
        )
        if on_terminal:
            return await starting.on_terminal(program, starting.local_terminal(), owns=False, controls=controls)
        return await starting.in_pipeline(program, stdin=stdin, owns=False)

    starting.perform(settings, run)


def _places(info: ProgramInfo, tail_bytes: int) -> dict[StreamName, int]:
    """Where the last bytes of each output begin, also where they are no longer kept."""
    return {
        "stdout": max(info.stdout_bytes - tail_bytes, 0),
        "stderr": max(info.stderr_bytes - tail_bytes, 0),
    }
