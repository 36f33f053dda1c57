"""``rpcclient logs``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from . import context, ids
from .completing import complete_id
from .many.options import many_options
from .missing import missing
from .starting import _pairs

if TYPE_CHECKING:
    from rpcclient import Client
    from rpcclient.stubs.programs import ProgramInfo, StreamName

FIRST_LOOK_BYTES = 64 * 1024


@click.command()
@click.argument("program_id", metavar="[ID]", required=False, shell_complete=complete_id)
@click.option("--follow", "-f", is_flag=True, help="Go on until the program ends.")
@click.option("--tail", "lines", type=click.IntRange(min=0), metavar="LINES", help="Only so many lines of each output.")
@click.option(
    "--label", "-l", "labels", multiple=True, metavar="NAME=VALUE", callback=_pairs,
    help="Of all programs with this note, on many nodes.",
)  # fmt: skip
@context.json_option
@many_options
@context.pass_settings
@context.command
def command(
    settings: context.Settings, program_id: str | None, follow: bool, lines: int | None, labels: dict[str, str]
) -> None:
    """Show what the program ID has written, as far as it is kept: its output as output, its errors as errors. On many
    nodes: what all programs that run there have written, those with a label, or those whose ids begin with ID."""
    if settings.many.is_given:
        from .many import logs

        if lines is not None:
            raise click.UsageError("--tail is for one program: give --node NODE and its ID")
        sys.exit(logs.show(settings, program_id or "", labels, follow=follow))
    if program_id is None:
        raise click.UsageError("say of which program: ID; rpcclient ps --all lists them")
    if labels:
        raise click.UsageError("--label is for many nodes: give --on SELECTOR, --on all, or --nodes NAME,NAME")
    with settings.connect() as client:
        info = client.programs.get(ids.find(client, program_id))
        offsets = {} if lines is None else _places(client, info, lines)
        program = client.programs.attach(info.id, offsets=offsets)
        program.on_connection_lost = lambda text: print(f"rpcclient: {text}", file=sys.stderr, flush=True)
        program.reconnect_timeout_s = settings.timeout_s or program.reconnect_timeout_s
        with program.output(wait=follow) as chunks:
            for chunk in chunks:
                if (loss := missing(chunk)) is not None:
                    print(f"rpcclient: {loss}", file=sys.stderr, flush=True)
                out = sys.stdout if chunk.stream == "stdout" else sys.stderr
                out.buffer.write(chunk.data)
                out.flush()


def _places(client: Client, info: ProgramInfo, lines: int) -> dict[StreamName, int]:
    """Where the last lines of each output begin; at 0 where not all of them are kept."""
    return {
        "stdout": _place(client, info.id, "stdout", info.stdout_start, info.stdout_bytes, lines),
        "stderr": _place(client, info.id, "stderr", info.stderr_start, info.stderr_bytes, lines),
    }


def _place(client: Client, program_id: str, stream: StreamName, start: int, end: int, lines: int) -> int:
    if lines == 0:
        return end
    look = FIRST_LOOK_BYTES
    while True:
        begin = max(end - look, start)
        data = b""
        for chunk in client.programs.output(program_id, stream=stream, offset=begin, wait=False):
            if chunk.lost_bytes:  # More has been written meanwhile: what is kept begins here now.
                begin = start = chunk.offset
                data = b""
            data += chunk.data
        data = data[: max(end - begin, 0)]
        place = len(data.removesuffix(b"\n"))
        for _ in range(lines):
            place = data.rfind(b"\n", 0, max(place, 0))
            if place < 0:
                break
        if place >= 0:
            return begin + place + 1
        if begin <= start:
            return 0  # So the server tells what is missing of what was asked for.
        look *= 8
