"""The options of commands that can be for many nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rpcclient.cli.context import Settings

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

NAMES = ("--on", "--nodes", "--gather", "--parallel", "--rolling", "--stop-after-failures", "--canary")
"""The options of commands on many nodes that are theirs alone."""
_F = TypeVar("_F", bound=Callable[..., Any])
_COUNT = click.IntRange(min=1)


def _set(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Note an option in the settings of this command."""
    settings = ctx.find_object(Settings)
    if settings is not None and value not in (None, False, ()):
        if param.name == "node":
            ctx.obj = replace(settings, node=value)
        else:
            ctx.obj = replace(settings, many=replace(settings.many, **{str(param.name): value}))


def complete_selector(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The selectors of nodes that begin like this."""
    from .completing import complete_selector

    return complete_selector(ctx, incomplete)


def complete_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The lists of names of nodes that begin like this."""
    from .completing import complete_names

    return complete_names(ctx, incomplete)


def complete_node(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of nodes that begin like this."""
    from .completing import complete_node

    return complete_node(ctx, incomplete)


_OPTIONS = (
    click.option(
        "--on", "on", metavar="SELECTOR", shell_complete=complete_selector, expose_value=False, callback=_set,
        help="On all nodes of the group with these labels, such as role=web,zone!=eu or name=web-*; on all: all.",
    ),
    click.option(
        "--nodes", "names", metavar="NAMES", multiple=True, shell_complete=complete_names, expose_value=False,
        callback=_set, help="On these nodes, such as a,b or web-[1-9]; each has an answer, or is told to be missing.",
    ),
    click.option(
        "--gather", "-g", is_flag=True, expose_value=False, callback=_set,
        help="Print answers in the end, identical ones once.",
    ),
    click.option(
        "--parallel", type=_COUNT, metavar="N", expose_value=False, callback=_set, help="At most so many at a time."
    ),
    click.option(
        "--rolling", type=_COUNT, metavar="N", expose_value=False, callback=_set,
        help="N at a time, the next N when these are done; the first failure ends it.",
    ),
    click.option(
        "--stop-after-failures", type=_COUNT, metavar="N", expose_value=False, callback=_set,
        help="After so many failures ask no further node.",
    ),
    click.option(
        "--canary", type=_COUNT, metavar="N", expose_value=False, callback=_set,
        help="N first; the others only if all of these are well.",
    ),
    click.option(
        "--node", metavar="NODE", shell_complete=complete_node, expose_value=False, callback=_set,
        help="On this node of the group alone.",
    ),
)  # fmt: skip


def many_options(command: _F) -> _F:
    """The options of a command that can be for many nodes, and the global ``--node``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
