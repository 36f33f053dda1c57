"""What the services' tests share: one server, and two callers who are not the same."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcserver import Service
from rpcserver.config import ServerConfig
from rpcserver.security.tokens import TokenStore
from rpcserver.server import Server

Scenario = Callable[[AsyncClient, AsyncClient], Awaitable[None]]
TOKEN = "the-token-of-ada-for-tests"


@pytest.fixture
def with_ada() -> Callable[..., None]:
    """Run a scenario with the owner, who comes by the Unix socket, and Ada, who comes with a token. ``roles`` are the
    tables below ``[roles]``."""

    async def main(folder: Path, service: Service, scenario: Scenario, roles: dict[str, Any]) -> None:
        path = folder / "s"
        settings = ServerConfig.model_validate(
            {"state_dir": str(folder), "listen": {"port": 0, "unix": str(path)}, "roles": roles}
        )
        server = Server(settings, [service], token=TOKEN)
        server.authentication.tokens = TokenStore(TOKEN, "ada")
        await server.start()
        try:
            async with AsyncClient(f"unix://{path}") as owner, AsyncClient(server.addresses[0], token=TOKEN) as ada:
                await asyncio.wait_for(scenario(owner, ada), 60)
        finally:
            await server.stop(grace_s=0)

    def run(service: Service, scenario: Scenario, roles: dict[str, Any] | None = None) -> None:
        # A short name: the address of a Unix socket has little room.
        with tempfile.TemporaryDirectory(prefix="rpc") as folder:
            asyncio.run(main(Path(folder), service, scenario, roles or {}))

    return run
