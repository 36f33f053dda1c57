"""``rpcclient services``."""

from __future__ import annotations

import click

from . import context, show


@click.command()
@click.argument("name", required=False)
@context.json_option
@context.pass_settings
@context.command
def command(settings: context.Settings, name: str | None) -> None:
    """List what the server offers; with NAME, the methods of one service."""
    from rpcwire.errors import MethodNotFound

    with settings.connect() as client:
        services = client.services()
        if name is None:
            if settings.readable:
                widest = max((len(s.name) for s in services), default=0)
                for s in services:
                    print(show.text(f"{s.name:{widest}}  {len(s.methods):3} methods  {s.summary}"))
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
            print(show.text(f"\n{method.name}{description.methods[short].signature}"))
            print(f"    {show.text(method.summary)}")
