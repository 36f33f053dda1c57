"""A server with the programs service alone, reached through the in-memory transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcserver.config import ServerConfig
from rpcserver.server import Server
from rpcservices.programs import Programs
from rpcservices.programs.config import ProgramsConfig

Scenario = Callable[[AsyncClient], Coroutine[Any, Any, None]]


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., None]:
    """Run a scenario against a server of its own; keyword arguments are the service's configuration."""

    @asynccontextmanager
    async def connected(config: dict[str, Any]) -> AsyncIterator[AsyncClient]:
        service = Programs(ProgramsConfig(**config))
        server = Server(ServerConfig(state_dir=str(tmp_path)), [service], token="t" * 32)
        await server.start(listen=False)
        try:
            async with AsyncClient(memory=server.connect_memory) as client:
                client.open_another = lambda: AsyncClient(memory=server.connect_memory)  # type: ignore[attr-defined]
                yield client
        finally:
            await server.stop(grace_s=0)

    def run(scenario: Scenario, **config: Any) -> None:
        async def main() -> None:
            async with connected(config) as client:
                await scenario(client)

        asyncio.run(main())

    return run
