"""``rpcclient ping``."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from . import context, show
from .many.options import many_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rpcclient import Client
    from rpcwire.group.outcomes import NodeOutcome

    from .many.printing import Piece


@click.command()
@click.option("--count", type=click.IntRange(min=1), default=5, show_default=True, help="How many times.")
@context.json_option
@many_options
@context.pass_settings
@context.command
def command(settings: context.Settings, count: int) -> None:
    """Measure how long the way there and back takes."""
    with settings.connect() as client:
        if settings.many.is_given:
            sys.exit(max(_ask_many(client, settings) for _ in range(count)))
        for number in range(1, count + 1):
            begin = time.perf_counter()
            client.call("rpc.ping")
            taken_ms = (time.perf_counter() - begin) * 1000
            if settings.readable:
                print(f"{number}: {taken_ms:.2f} ms")
            else:
                show.show_item({"number": number, "time_ms": taken_ms}, readable=False)


def _ask_many(client: Client, settings: context.Settings) -> int:
    from rpcwire.limits import DEFAULT_DEADLINE_S

    from .many.asking import Rendering, ask

    class Times(Rendering):
        """Prints how long the way to each node and back takes."""

        def result(self, name: str, end: NodeOutcome[Any]) -> Iterator[Piece]:
            yield "stdout", f"{end.duration_s * 1000:.2f} ms\n".encode()

    deadline_s = settings.timeout_s or DEFAULT_DEADLINE_S
    return ask(client, settings, "rpc.ping", rendering=Times(), deadline_s=deadline_s)
