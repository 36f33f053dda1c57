"""``rpcclient nodes``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from . import context, show

if TYPE_CHECKING:
    from rpcclient.models import NodeInfo, NodesEvent

_WHOLE = ("name", "state", "for", "load")
"""Columns that are never cut. On a narrow terminal, the others are cut instead."""


@click.command()
@click.option("--watch", "-w", is_flag=True, help="Then print each change, until Ctrl-C.")
@context.json_option
@context.pass_settings
@context.command
def command(settings: context.Settings, watch: bool) -> None:
    """List the nodes of the group to which the server belongs. A server without a group is its only node."""
    with settings.connect() as client:
        if not watch:
            _show_all(settings, client.nodes())
            return
        with client.watch_nodes() as events:
            for event in events:
                if not settings.readable:
                    show.show_item(event.model_dump(), readable=False)
                elif event.kind in ("snapshot", "resync"):
                    _show_all(settings, event.nodes)
                else:
                    _show_change(event)


def _show_all(settings: context.Settings, nodes: list[NodeInfo]) -> None:
    if settings.readable:
        show.show([_row(node) for node in nodes], readable=True, whole=_WHOLE)
    else:
        show.show([node.model_dump() for node in nodes], readable=False)


def _show_change(event: NodesEvent) -> None:
    for node in event.nodes:
        at = time.strftime("%H:%M:%S", time.localtime(node.since if event.kind != "changed" else None))
        print(show.text(f"{at} {node.name} {event.kind}: {node.explanation}"), flush=True)


def _row(node: NodeInfo) -> dict[str, object]:
    return {
        "name": node.name,
        "state": node.state,
        "for": _span(time.time() - node.since),
        "load": f"{node.load:.2f}",
        "labels": ",".join(f"{key}={value}" for key, value in sorted(node.labels.items())),
        "address": " ".join(node.addresses),
        "services": " ".join(sorted(node.services)),
        "version": node.version,
        "reason": "" if node.state == "up" else node.explanation,
    }


def _span(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
