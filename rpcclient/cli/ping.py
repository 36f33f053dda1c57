"""``rpcclient ping``."""

from __future__ import annotations

import time

import click

from . import context, show


@click.command()
@click.option("--count", type=click.IntRange(min=1), default=5, show_default=True, help="How many times.")
@context.json_option
@context.pass_settings
@context.command
def command(settings: context.Settings, count: int) -> None:
    """Measure how long the way there and back takes."""
    with settings.connect() as client:
        for number in range(1, count + 1):
            begin = time.perf_counter()
            client.call("rpc.ping")
            taken_ms = (time.perf_counter() - begin) * 1000
            if settings.readable:
                print(f"{number}: {taken_ms:.2f} ms")
            else:
                show.show_item({"number": number, "time_ms": taken_ms}, readable=False)
