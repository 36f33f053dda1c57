"""``rpcclient hello``."""

from __future__ import annotations

import sys

import click

from . import context, show
from .many.options import many_options


@click.command()
@context.json_option
@many_options
@context.pass_settings
@context.command
def command(settings: context.Settings) -> None:
    """Say who the server is, who it takes you for, and within which limits."""
    with settings.connect() as client:
        if settings.many.is_given:
            from rpcwire.limits import DEFAULT_DEADLINE_S

            from .many.asking import ask

            sys.exit(ask(client, settings, "rpc.hello", deadline_s=settings.timeout_s or DEFAULT_DEADLINE_S))
        show.show(client.call("rpc.hello"), readable=settings.readable)
