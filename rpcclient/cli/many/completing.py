"""Completes nodes and selectors in a shell, from the group's roster."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from rpcclient.cli.characters import visible_line
from rpcclient.cli.incomplete import COMPLETION_TIMEOUT_S, read_settings

if TYPE_CHECKING:
    from rpcclient.models import NodeInfo


def complete_node(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The names of nodes that begin like this, with their states and labels."""
    return [_item(node, node.name) for node in _nodes(ctx) if node.name.startswith(incomplete)]


def complete_names(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The same for the last name of a list with commas. Names that are in it already are left out."""
    before, comma, last = incomplete.rpartition(",")
    names = set(before.split(","))
    return [
        _item(node, f"{before}{comma}{node.name}")
        for node in _nodes(ctx)
        if node.name.startswith(last) and node.name not in names
    ]


def complete_selector(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The last requirement of a selector: labels, then their values."""
    return [
        CompletionItem(text, help=f"{count} node{'' if count == 1 else 's'}")
        for text, count in selector_words(_nodes(ctx), incomplete)
    ]


def selector_words(nodes: Iterable[NodeInfo], incomplete: str) -> list[tuple[str, int]]:
    """What a selector may go on with, and how many nodes have it.

    Parameters:
        nodes: all nodes.
        incomplete: the selector so far.
    """
    before, comma, last = incomplete.rpartition(",")
    key, sign, begin = last.partition("=")
    is_negation = key.endswith("!")
    counts: dict[str, int] = {}
    nodes = list(nodes)
    for node in nodes:
        for name, value in {"name": node.name, **node.labels}.items():
            if sign and name == key.removesuffix("!") and value.startswith(begin):
                counts[f"{key}={value}"] = counts.get(f"{key}={value}", 0) + 1
            elif not sign and not is_negation and name.startswith(last):
                counts[f"{name}="] = counts.get(f"{name}=", 0) + 1
    if not comma and not sign and "all".startswith(last):
        counts["all"] = len(nodes)
    return sorted((f"{before}{comma}{word}", count) for word, count in counts.items())


def _item(node: NodeInfo, text: str) -> CompletionItem:
    labels = " ".join(f"{key}={value}" for key, value in sorted(node.labels.items()))
    return CompletionItem(text, help=visible_line(f"{node.state} {labels}".strip()))


def _nodes(ctx: click.Context) -> list[NodeInfo]:
    from rpcclient.errors import RpcError

    try:
        with read_settings(ctx).connect(connect_timeout_s=COMPLETION_TIMEOUT_S) as client:
            return client.nodes()
    except (RpcError, click.UsageError):
        return []
