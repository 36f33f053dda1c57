"""Takes what a client sends over a stream, and limits its pauses: a connection to the database is lent meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

from .errors import DatabaseOperationalError

_T = TypeVar("_T")


async def next_item(items: AsyncIterator[_T], idle_s: float, what: str) -> _T | None:
    """The next item that a client sends; ``None`` after the last.

    Parameters:
        items: the stream.
        idle_s: how long the client may pause, in seconds.
        what: what is undone if it pauses longer, for the error.

    Raises:
        DatabaseOperationalError: none came in time.
    """
    try:
        async with asyncio.timeout(idle_s):
            return await anext(items, None)
    except TimeoutError:
        raise DatabaseOperationalError(
            f"nobody sent anything for {idle_s:g} s, so the {what} was undone: send without long pauses, or raise "
            "stream_idle_s",
            sqlstate="57P05",
        ) from None
