"""Finds programs by ids on a command line: a whole id, or a beginning that no other id has."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from .characters import visible_line

if TYPE_CHECKING:
    from rpcclient import AsyncClient, Client
    from rpcclient.stubs.programs import ProgramInfo

MOST_LINES = 10


def find(client: Client, word: str) -> str:
    """The id that a word stands for. If no program has it, the word itself: the next call then fails with it.

    Raises:
        click.UsageError: several programs begin with it.
        RpcError: as of any call.
    """
    from rpcclient.stubs.programs import ProgramNotFound

    try:
        return client.programs.get(word).id
    except ProgramNotFound:
        return match(word, client.programs.list())


async def find_async(client: AsyncClient, word: str) -> str:
    """As :func:`find`."""
    from rpcclient.stubs.programs import ProgramNotFound

    try:
        return (await client.programs.get(word)).id
    except ProgramNotFound:
        return match(word, await client.programs.list())


def match(word: str, programs: Sequence[ProgramInfo]) -> str:
    """The id of the only program whose id begins with a word; the word itself where there is none.

    Raises:
        click.UsageError: there are several.
    """
    matches = [program for program in programs if program.id.startswith(word)]
    if len(matches) > 1 or not word:
        lines = ["  " + visible_line(f"{p.id}  {shlex.join(p.argv)[:60]}") for p in matches[:MOST_LINES]]
        more = [f"  and {len(matches) - MOST_LINES} more"] if len(matches) > MOST_LINES else []
        raise click.UsageError("\n".join([f"{word!r} is the beginning of several ids:", *lines, *more]))
    return matches[0].id if matches else word
