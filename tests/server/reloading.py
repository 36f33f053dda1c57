"""A server with a configuration file that its operator edits, in the test's own event loop."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from rpcserver import Reload, Service, ServiceConfig, ServiceConfigError, ServiceRole, method
from rpcserver.daemon.logs import LimitedHandler
from rpcserver.daemon.notify import Notifier
from rpcserver.daemon.reloads import Reloads
from rpcserver.layers.loading import load
from rpcserver.plugins.finding import make_service, read_sections
from rpcserver.reload.report import ReloadReport
from rpcserver.security.tokens import load_token
from rpcserver.server import Server


class GreeterConfig(ServiceConfig):
    """How to greet."""

    greeting: str = "Hello"
    language: str = "en"
    is_slow: bool = False


class Greeter(Service[GreeterConfig]):
    """Greets, and takes part in reloads."""

    restart_keys = {"language": "nobody learns a language within a second"}  # noqa: RUF012

    def __init__(self, config: GreeterConfig | None = None) -> None:
        super().__init__(config)
        self.commits = 0
        self.abandons = 0
        self.roles_seen: tuple[ServiceRole, ...] = ()

    async def prepare_reload(self, config: GreeterConfig, roles: tuple[ServiceRole, ...]) -> Reload:
        if config.greeting == "rude":
            raise ServiceConfigError("greeting: greet politely")
        if config.greeting == "broken":
            raise RuntimeError("it is broken")

        def commit() -> None:
            self.commits += 1
            self.roles_seen = roles

        async def abandon() -> None:
            self.abandons += 1

        return Reload(commit, abandon)

    @method(kind="read")
    async def greet(self, name: str) -> str:
        """Greet somebody."""
        return f"{self.config.greeting}, {name}!"


class StiffConfig(ServiceConfig):
    """What stays."""

    size: int = 1


class Stiff(Service[StiffConfig]):
    """Takes no part in reloads."""

    @method(kind="read")
    async def size(self) -> int:
        """How large it is."""
        return self.config.size


class Operator:
    """Who edits the file and has the server reload it.

    Parameters:
        tools: what the tests of this folder share.

    Attributes:
        file: the configuration file.
        lines: what the log says.
    """

    def __init__(self, tools: Any) -> None:
        self._tools = tools
        self.file = tools.folder / "rpcserver.toml"
        self.token_file = tools.folder / "token"
        self.lines = io.StringIO()
        self.reads = 0
        self.listen = ""
        self.write_token(tools.TOKEN)

    def write_token(self, token: str) -> None:
        self.token_file.write_text(token + "\n")
        self.token_file.chmod(0o600)

    def write(self, text: str = "") -> None:
        """Write a file; ``text`` are its tables."""
        head = f'state_dir = "{self._tools.folder}"\ngrace_s = 0\n[auth]\ntoken_file = "{self.token_file}"\n'
        listen = self.listen or '[listen]\nport = 0\nunix = "none"\n'
        draft = self.file.with_suffix(".draft")
        draft.write_text(f"{head}{listen}{text}\n")
        draft.chmod(0o600)
        draft.replace(self.file)

    @asynccontextmanager
    async def serve(self, *kinds: type[Service[Any]]) -> AsyncIterator[Server]:
        """Run a server with the file as it is."""

        def read() -> Any:
            self.reads += 1
            return load(self.file)

        config = read().config
        sections = read_sections(kinds, config.services)
        services = [make_service(kind, section) for kind, section in zip(kinds, sections, strict=True)]
        server = Server(config, services, token=load_token(config.token_path))
        self.reloads = Reloads(server, read, LimitedHandler(self.lines), Notifier({}))
        await server.start()
        self.reloads.start()
        try:
            yield server
        finally:
            await self.reloads.close()
            await server.stop(grace_s=0)

    async def reload(self, text: str | None = None) -> ReloadReport:
        """Write the file, and reload."""
        if text is not None:
            self.write(text)
        return await self.reloads.reload()


class Streams(Service):
    """Streams for ever."""

    @method()
    async def count(self) -> AsyncIterator[int]:
        """Count for ever."""
        number = 0
        while True:
            number += 1
            yield number
            await asyncio.sleep(0.01)

    @method()
    async def wait(self) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()
