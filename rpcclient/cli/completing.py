"""Completes the ids of programs in a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from .characters import visible_line
from .incomplete import COMPLETION_TIMEOUT_S, WORD, read_settings

if TYPE_CHECKING:
    from rpcclient.stubs.programs import ProgramInfo


def complete_id(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ids that begin like this, with what runs there."""
    from rpcclient.errors import RpcError

    try:
        with read_settings(ctx).connect(connect_timeout_s=COMPLETION_TIMEOUT_S) as client:
            programs = client.programs.list()
    except (RpcError, click.UsageError):
        return []
    return _items(programs, incomplete)


def complete_running(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The same of those that still run."""
    from rpcclient.errors import RpcError

    try:
        with read_settings(ctx).connect(connect_timeout_s=COMPLETION_TIMEOUT_S) as client:
            programs = client.programs.list(running=True)
    except (RpcError, click.UsageError):
        return []
    return _items(programs, incomplete)


def _items(programs: list[ProgramInfo], incomplete: str) -> list[CompletionItem]:
    return [
        CompletionItem(p.id, help=visible_line(" ".join(p.argv)[:60]))
        for p in programs
        if p.id.startswith(incomplete) and WORD.fullmatch(p.id)
    ]
