"""``rpcserver console``: a ticket for the browser of whoever runs the server."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rpcserver.config import ConfigError
from rpcwire.browsing import has_screen, open_page, page_at

from .asking import ask_server
from .options import config_option
from .server_user import load_as_server_user


@click.command(short_help="Sign a browser in, for one minute and once.")
@config_option
@click.option("--url", metavar="URL", help="Address at which your browser reaches the server; else its own.")
@click.option("--no-open", is_flag=True, help="Only print the address, even where there is a screen.")
def command(config_file: Path | None, url: str | None, no_open: bool) -> None:
    """Print an address by which one browser tab can sign in as the owner, once and within a minute; and open it, where
    there is a screen.

    The server must run on this machine, as the same user; root may ask, too. From afar: rpcclient console.
    """
    try:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ConfigError(f"--url: {url[:200]}: write an address such as https://console.example/")
        ticket = ask_server(load_as_server_user(config_file), "rpc.create_ticket")
        if url is None and not ticket["urls"]:
            raise ConfigError(
                "the server has no page: its console is turned off (console.enabled), or it does not listen on TCP "
                "(listen.tcp); name another page's address with --url"
            )
    except ConfigError as exc:
        click.echo(f"rpcserver: {exc}", err=True)
        sys.exit(2)
    address = page_at(url or ticket["urls"][0], ticket["ticket"])
    click.echo(address)
    click.echo(f"rpcserver: this signs in one browser tab, once, within {ticket['expires_in_s']:g} s", err=True)
    if not no_open and has_screen():
        open_page(address)
