"""``rpcclient nodes``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from . import context, show
from .many.names import tell_apart

if TYPE_CHECKING:
    from rpcclient.models import NodeInfo, NodesEvent

_WHOLE = ("name", "state", "for", "load")
"""Columns that are never cut. On a narrow terminal, the others are cut instead."""
_EXTRA = ("version", "services", "address", "load")
"""Columns that a narrow terminal leaves out before any is cut, the first of them first."""
_UNSETTLED = (
    "rpcclient: the server is not sure of these nodes at the moment: it has no connection to the broker of its group, "
    "or has had one for a moment only. Nodes may be missing, or be gone"
)

_DISCOVER_S = 3.0
"""How long to look at the local network, in seconds."""


@click.command()
@click.option("--watch", "-w", is_flag=True, help="Then print each change, until Ctrl-C.")
@click.option(
    "--discover",
    "-d",
    is_flag=True,
    help="List what is on the local network instead: servers that announce themselves, and that answer. No server is "
    "asked, and no token is sent. With --ca-file, only those that it verifies.",
)
@click.option(
    "--interface",
    "interfaces",
    metavar="ADDRESS",
    multiple=True,
    help="Look only on the network interface with this address.",
)
@context.json_option
@context.pass_settings
@context.command
def command(settings: context.Settings, watch: bool, discover: bool, interfaces: tuple[str, ...]) -> None:
    """List the nodes of the group to which the server belongs. A server without a group is its only node.

    A narrow terminal leaves out columns; --json has everything.
    """
    if discover:
        _discover(settings, interfaces)
        return
    if interfaces:
        raise click.UsageError("--interface belongs to --discover")
    with settings.connect() as client, client.watch_nodes() as events:
        names: dict[str, str] = {}
        for event in events:
            names |= {node.id: node.name for node in event.nodes}
            if event.kind in ("snapshot", "resync") and not event.is_settled:
                print(_UNSETTLED, file=sys.stderr, flush=True)
            if not watch:
                _show_all(settings, event.nodes)
                return
            if not settings.readable:
                show.show_item(event.model_dump(), readable=False)
            elif event.kind in ("snapshot", "resync"):
                _show_all(settings, event.nodes)
            else:
                _show_change(event, tell_apart(names))


def _discover(settings: context.Settings, interfaces: tuple[str, ...]) -> None:
    import rpcclient

    seconds = _DISCOVER_S if settings.timeout_s is None else settings.timeout_s
    servers = rpcclient.discover(
        seconds, ca_file=settings.ca_file or os.environ.get("RPC_CA_FILE"), interfaces=interfaces
    )
    if settings.readable and not servers:
        print(f"no server has announced itself and answered within {seconds:g} s", file=sys.stderr)
    rows = [
        {
            "name": each.name,
            "id": each.id,
            "url": each.url,
            "server_hostname": each.server_hostname,
            "is_verified": each.is_verified,
            "version": each.version,
        }
        for each in servers
    ]
    show.show(rows, readable=settings.readable)


def _show_all(settings: context.Settings, nodes: list[NodeInfo]) -> None:
    if settings.readable:
        names = tell_apart({node.id: node.name for node in nodes})
        show.show([_row(node, names[node.id]) for node in nodes], readable=True, whole=_WHOLE, extra=_EXTRA)
    else:
        show.show([node.model_dump() for node in nodes], readable=False)


def _show_change(event: NodesEvent, names: Mapping[str, str]) -> None:
    if event.kind in ("settled", "unsettled"):
        sure = "sure of its nodes again" if event.is_settled else "not sure of its nodes any more"
        print(f"{time.strftime('%H:%M:%S')} the server is {sure}", flush=True)
    for node in event.nodes:
        at = time.strftime("%H:%M:%S", time.localtime(node.since if event.kind != "changed" else None))
        print(show.text(f"{at} {names[node.id]} {event.kind}: {node.explanation}"), flush=True)


def _row(node: NodeInfo, name: str) -> dict[str, object]:
    return {
        "name": name,
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
