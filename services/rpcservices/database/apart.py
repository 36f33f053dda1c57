"""Does work on long SQL beside the event loop, so that others are served meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

AT_ONCE_CHARACTERS = 8 * 1024
"""The longest text that is read in the event loop: the slowest kind takes some 20 ms."""


async def read_sql(function: Callable[Concatenate[str, _P], _T], sql: str, *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call a function on SQL, in a thread if the text is long.

    Parameters:
        function: reads the text, and uses nothing that belongs to the event loop.
        sql: the text, its first argument.
        args, kwargs: its further arguments.
    """
    if len(sql) <= AT_ONCE_CHARACTERS:
        return function(sql, *args, **kwargs)
    return await asyncio.to_thread(function, sql, *args, **kwargs)
