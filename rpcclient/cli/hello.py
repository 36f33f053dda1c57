"""``rpcclient hello``."""

from __future__ import annotations

import click

from . import context, show


@click.command()
@context.json_option
@context.pass_settings
@context.command
def command(settings: context.Settings) -> None:
    """Say who the server is, who it takes you for, and within which limits."""
    with settings.connect() as client:
        show.show(client.call("rpc.hello"), readable=settings.readable)
