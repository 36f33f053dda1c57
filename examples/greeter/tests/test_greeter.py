"""Tests of a plugin need no socket: the in-memory transport encodes and decodes as a real connection does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from greeter import Greeter, GreeterConfig

from rpcclient import AsyncClient
from rpcclient.errors import ServiceError
from rpcserver.config import ServerConfig
from rpcserver.server import Server


def run(folder: Path, scenario: Any, **config: Any) -> None:
    async def main() -> None:
        server = Server(ServerConfig(state_dir=str(folder)), [Greeter(GreeterConfig(**config))], token="x" * 32)
        await server.start(listen=False)
        try:
            async with AsyncClient(memory=server.connect_memory) as client:
                coroutine: Coroutine[Any, Any, None] = scenario(client)
                await coroutine
        finally:
            await server.stop()

    asyncio.run(main())


def test_hello(tmp_path: Path) -> None:
    async def scenario(client: AsyncClient) -> None:
        assert await client.call("greeter.hello", {"name": "Ada"}, returns=str) == "Good day, Ada!"
        with pytest.raises(ServiceError) as caught:
            await client.call("greeter.hello", {"name": "Bob"})
        assert (caught.value.type, caught.value.details) == ("Stranger", {"name": "Bob"})

    run(tmp_path, scenario, greeting="Good day", strangers=["Bob"])


def test_count_in(tmp_path: Path) -> None:
    async def scenario(client: AsyncClient) -> None:
        async with client.stream("greeter.count_in", {"name": "Ada", "beats": 2}, items=str) as words:
            assert [word async for word in words] == ["1", "2", "Hello, Ada!"]

    run(tmp_path, scenario)
