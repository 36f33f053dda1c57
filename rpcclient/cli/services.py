"""``rpcclient services``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from . import context, show
from .many.options import many_options

if TYPE_CHECKING:
    from rpcclient import Client
    from rpcclient.models import ServiceInfo
    from rpcwire.group.outcomes import NodeOutcome

    from .many.printing import Piece


@click.command()
@click.argument("name", required=False)
@context.json_option
@many_options
@context.pass_settings
@context.command
def command(settings: context.Settings, name: str | None) -> None:
    """List what the server offers; with NAME, the methods of one service."""
    from rpcwire.errors import MethodNotFound

    with settings.connect() as client:
        if settings.many.is_given:
            sys.exit(_ask_many(client, settings, name))
        services = client.services()
        if name is None:
            if settings.readable:
                _show_all(services)
            else:
                show.show([service.model_dump() for service in services], readable=False)
            return
        service = next((each for each in services if each.name == name), None)
        if service is None:
            there = ", ".join(each.name for each in services)
            raise MethodNotFound(f"there is no service {name!r}; there are: {there}")
        if not settings.readable:
            show.show(service.model_dump(), readable=False)
            return
        description = client.describe(name)
        print(show.text(service.summary))
        for method in service.methods:
            short = method.name.rpartition(".")[2]
            event = "event " if method.is_event else ""
            print(show.text(f"\n{event}{method.name}{description.methods[short].signature}"))
            print(f"    {show.text(method.summary)}")


def _show_all(services: Sequence[ServiceInfo]) -> None:
    widest = max((len(s.name) for s in services), default=0)
    for s in services:
        print(show.text(f"{s.name:{widest}}  {len(s.methods):3} methods  {s.summary}"))


def _ask_many(client: Client, settings: context.Settings, name: str | None) -> int:
    from rpcclient.models import ServiceInfo
    from rpcwire.limits import DEFAULT_DEADLINE_S

    from .many.asking import Rendering, ask
    from .many.typed import read_as

    class Services(Rendering):
        """Prints the services of each node."""

        def result(self, name: str, end: NodeOutcome[Any]) -> Iterator[Piece]:
            with show.capture(self.margin) as paper:
                _show_all(read_as(list[ServiceInfo], end.result))
            yield "stdout", paper.take()

    if name is not None:
        raise click.UsageError("the methods of a service are shown for one node: give --node NODE")
    deadline_s = settings.timeout_s or DEFAULT_DEADLINE_S
    return ask(client, settings, "rpc.services", rendering=Services(), deadline_s=deadline_s)
