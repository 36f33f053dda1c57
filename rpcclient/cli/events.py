"""``rpcclient events``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from . import context, show
from .many.options import complete_names, complete_selector

if TYPE_CHECKING:
    from rpcclient import Client, Stream
    from rpcclient.models import EventNews
    from rpcwire.publishing import EventPolicy

ALL = "all"
"""What stands for all nodes, in place of a selector."""


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--on", metavar="SELECTOR", shell_complete=complete_selector,
    help="Of all nodes of the group with these labels, such as role=web,zone!=eu, also of those that join later; "
    "on all: of all.",
)  # fmt: skip
@click.option("--nodes", metavar="NAMES", shell_complete=complete_names, help="Of these nodes, such as a,b.")
@click.option(
    "--policy", type=click.Choice(["drop_oldest", "latest", "close"]), default="drop_oldest",
    help="What becomes of events while this command is too slow; what is lost is told.",
)  # fmt: skip
@context.json_option
@context.pass_settings
@context.command
def command(
    settings: context.Settings, names: tuple[str, ...], on: str | None, nodes: str | None, policy: EventPolicy
) -> None:
    """Follow events of services until Ctrl-C: those of these names, such as hardware.device_changed, or all that you
    may follow. `rpcclient services NAME` lists those of a service."""
    if on is not None and nodes is not None:
        raise click.UsageError("--on and --nodes: give one of them")
    with settings.connect() as client, _subscribe(client, names, on, nodes, policy) as news:
        for each in news:
            if settings.readable:
                print(show.text(describe(each)), flush=True)
            else:
                show.show_item(each.model_dump(), readable=False)


def _subscribe(
    client: Client, names: tuple[str, ...], on: str | None, nodes: str | None, policy: EventPolicy
) -> Stream[EventNews]:
    if nodes is not None:
        return client.group([name.strip() for name in nodes.split(",")]).subscribe(*names, policy=policy)
    if on is None:
        return client.subscribe(*names, policy=policy)
    group = client.everyone() if on == ALL else client.group(on)
    return group.subscribe(*names, policy=policy)


def describe(news: EventNews) -> str:
    """Return a line about what has happened, for a person.

    Parameters:
        news: what has happened.
    """
    head = f"{time.strftime('%H:%M:%S', time.localtime(news.time or None))} {news.node}"
    lost = f" ({news.lost} lost before)" if news.lost else ""
    match news.kind:
        case "event":
            return f"{head} {news.event}{lost} {show.as_json(news.value)}"
        case "lost":
            return f"{head} {news.event}: {news.lost} lost"
        case "resync":
            return f"{head} {news.event}{lost}: the server was started anew; what was between is not known"
        case "following":
            return f"{head} tells its events"
        case kind:
            return " ".join(filter(None, (head, news.event, f"{kind}:", news.reason)))
