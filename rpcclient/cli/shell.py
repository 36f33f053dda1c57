"""``rpcclient shell``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from . import context, starting

if TYPE_CHECKING:
    from rpcclient import AsyncClient

LOGIN_SHELL = ("/bin/sh", "-c", 'exec "${SHELL:-/bin/sh}" -l')


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[--] [COMMAND [ARGUMENT ...]]")
@click.option("--keep", is_flag=True, help="Let it go on when it is left, or when the connection is lost.")
@starting.options
@context.pass_settings
@context.command
def command(settings: context.Settings, /, argv: tuple[str, ...], keep: bool, **values: Any) -> None:
    """Open a login shell on the server's machine, or run COMMAND on a terminal there.

    \b
    At the beginning of a line, after Enter:
      ~.   leave: what runs there is ended, unless --keep was given
      ~^Z  suspend rpcclient
      ~?   help

    With --keep, rpcclient attach comes back to it. The exit status is that of the shell or command.
    """
    argv = tuple(starting.arguments(argv))
    options = starting.start_options(values, settings)
    if not argv:
        argv = LOGIN_SHELL
        options["env_base"] = "login"
    terminal = starting.local_terminal()

    if keep:
        options["on_disconnect"], options["reattach_s"] = "keep", 0.0
    else:
        options["on_disconnect"] = "hangup"

    async def run(client: AsyncClient) -> int:
        program = await starting.start_on_terminal(client, argv, options, terminal)
        return await starting.on_terminal(program, terminal, owns=not keep)

    starting.perform(settings.for_program(), run, argv)
