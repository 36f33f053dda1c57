"""One call by each kind of client, over a connection of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop

from rpcclient import AsyncClient, Client


def by_sync(*args: Any, **kwargs: Any) -> int:
    with Client(*args, **kwargs) as client:
        return int(client.call("desk.add", [1]))


async def _called(*args: Any, **kwargs: Any) -> int:
    async with AsyncClient(*args, **kwargs) as client:
        return int(await client.call("desk.add", [1]))


def by_asyncio(*args: Any, **kwargs: Any) -> int:
    return asyncio.run(_called(*args, **kwargs))


def by_uvloop(*args: Any, **kwargs: Any) -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_called(*args, **kwargs))
