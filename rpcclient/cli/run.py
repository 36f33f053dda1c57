"""``rpcclient run``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from . import context, outcome, starting
from .characters import visible_line
from .many.options import many_options
from .standard import STDIN

if TYPE_CHECKING:
    from rpcclient import AsyncClient


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[--] COMMAND [ARGUMENT ...]")
@click.option(
    "--tty", "-t", count=True, help="Give it a terminal, as rpcclient shell does; twice, also where there is none here."
)
@click.option("--no-stdin", "-n", is_flag=True, help="Give it no input.")
@click.option("--detach", "-d", is_flag=True, help="Leave it running, and print its id.")
@click.option("--merge-stderr", is_flag=True, help="Let its errors go into its output, in their order.")
@context.json_option
@starting.options
@many_options
@context.pass_settings
@context.command
def command(
    settings: context.Settings,
    /,
    argv: tuple[str, ...],
    tty: int,
    no_stdin: bool,
    detach: bool,
    merge_stderr: bool,
    **values: Any,
) -> None:
    """Run COMMAND on the server's machine as if it were here. No shell is involved there.

    Its output comes as it is written. Standard input goes to it, unless it is a terminal. Ctrl-C is passed on; the
    second one kills it, with everything that it has started. When the connection is lost, it goes on over a new one.

    The exit status is the command's own: 128+N where signal N ended it, 124 where its --timeout did, 126 where it
    cannot be run, 127 where there is no such command. When rpcclient itself fails, it is one of those in its --help.

    On many nodes (--on, --nodes), each line comes with the name of its node before it. Standard input goes to all of
    them, as a whole. Ctrl-C ends the command everywhere. The exit status is 0 if it is 0 on every node, else 1.
    """
    if tty == 1 and no_stdin:
        raise click.UsageError("--tty and --no-stdin exclude each other: give --tty twice")
    argv = tuple(starting.arguments(argv))
    options = starting.start_options(values, settings)
    feeds = not no_stdin and not os.isatty(STDIN)
    options["stdin"] = tty > 0 or feeds
    options["stderr"] = "merge" if merge_stderr else "pipe"
    if settings.many.is_given:
        from .many import running

        running.check(values, tty=tty, detach=detach)
        sys.exit(running.run(settings, argv, options, feeds=feeds))

    async def run(client: AsyncClient) -> int:
        if detach:
            options.update({"stdin": False, "on_disconnect": "keep", "overflow": "skip"})
            options["timeout_s"] = values["program_timeout_s"]
            print(visible_line((await client.programs.start(argv, **options)).id))
            return outcome.OK
        if tty == 1 or (tty > 1 and not no_stdin and os.isatty(STDIN)):
            terminal = starting.local_terminal(output=tty == 1)
            program = await starting.start_on_terminal(client, argv, options, terminal)
            return await starting.on_terminal(program, terminal, owns=True)
        if tty:
            options["terminal"] = starting.size_of_none()
        program = await starting.start(client, argv, options)
        if tty and no_stdin:
            await program.stdin.close()  # A terminal, of which it would wait for somebody to type.
        return await starting.in_pipeline(program, stdin=feeds, owns=True)

    starting.perform(settings.for_program(), run, argv)
