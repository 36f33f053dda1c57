"""``rpcclient console``."""

from __future__ import annotations

import sys

import click

from . import context


@click.command()
@click.option("--no-open", is_flag=True, help="Only print the address, even where there is a screen.")
@context.pass_settings
@context.command
def command(settings: context.Settings, no_open: bool) -> None:
    """Print an address by which one browser tab can sign in as you, once and within a minute; and open it, where there
    is a screen.

    The address is that of the server, as your URL names it. For a server that you reach by its Unix socket it is the
    one on which it listens.
    """
    from rpcwire.browsing import has_screen, open_page, page_at
    from rpcwire.errors import Unavailable

    with settings.connect() as client:
        ticket = client.call("rpc.create_ticket")
        address = client.url if client.url.startswith(("ws://", "wss://")) else next(iter(ticket["urls"]), None)
    if address is None:
        raise Unavailable("the server does not listen on TCP: set listen.tcp", executed="yes")
    page = page_at(address, ticket["ticket"])
    print(page)
    print(f"rpcclient: this signs in one browser tab, once, within {ticket['expires_in_s']:g} s", file=sys.stderr)
    if not no_open and has_screen():
        open_page(page)
