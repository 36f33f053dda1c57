"""A server in a thread of its own, with the databases that a test wants."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rpcserver import ServiceRuntime
from rpcserver.config import ServerConfig
from rpcserver.server import Server
from rpcservices.database import Database, DatabaseServiceConfig

LIMIT_S = 30.0
TOKEN = "dbapi-tests-" + "0" * 32


class Live:
    """A running server.

    Attributes:
        url: of its TCP address.
        unix: the path of its Unix socket.
    """

    def __init__(self, folder: Path, databases: dict[str, Any]) -> None:
        self.service = Database(DatabaseServiceConfig.model_validate({"databases": databases}))
        self.service.runtime = ServiceRuntime(folder, logging.getLogger("test"))
        self._config = ServerConfig(state_dir=str(folder), listen={"port": 0, "unix": str(folder / "s")})  # type: ignore[arg-type]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="test-server")
        self._thread.start()
        self.run(self._start())
        self.url, unix = self._server.addresses
        self.unix = unix.removeprefix("unix://")
        self.address = self.url.removeprefix("ws://")

    async def _start(self) -> None:
        self._server = Server(self._config, [self.service], token=TOKEN)
        await self._server.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT_S)

    def stop(self) -> None:
        """Stop it."""
        self.run(self._server.stop(grace_s=0.2))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LIMIT_S)
        self._loop.close()

    def sqlalchemy(self, dialect: str, database: str = "main") -> str:
        """The URL of an engine."""
        return f"{dialect}+rpc://{quote(TOKEN)}@{self.address}/{database}"
