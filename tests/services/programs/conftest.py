"""A server with the programs service alone, reached through the in-memory transport."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from rpcclient import AsyncClient
from rpcserver.config import ServerConfig
from rpcserver.server import Server
from rpcservices.programs import Programs
from rpcservices.programs.config import ProgramsConfig

Scenario = Callable[[AsyncClient], Coroutine[Any, Any, None]]


class Kit:
    """What several tests need."""

    @staticmethod
    async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
        """Wait for something to become true."""
        begin = time.monotonic()
        while not condition():
            assert time.monotonic() - begin < seconds, "the event did not come in time"
            await asyncio.sleep(0.01)

    @staticmethod
    def with_argument(mark: str) -> list[psutil.Process]:
        """The living processes that have this argument."""
        found = []
        for process in psutil.process_iter():
            try:
                if mark in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    @staticmethod
    def keepers(of: str) -> list[psutil.Process]:
        """The keepers of programs with this in the names of their folders."""
        found = []
        for process in psutil.process_iter():
            try:
                command = process.cmdline()
                if (
                    "rpcservices.programs.keeping.keeper" in command
                    and of in command[-1]
                    and process.status() != "zombie"
                ):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    @classmethod
    def keeper_of(cls, program: str) -> psutil.Process:
        """The keeper of a program."""
        (found,) = cls.keepers(program)
        return found

    @staticmethod
    async def all_output(client: AsyncClient, program: str, **options: Any) -> bytes:
        """A program's output, to its end."""
        async with client.programs.output(program, **options) as chunks:
            return b"".join([chunk.data async for chunk in chunks])

    @staticmethod
    async def read_until(chunks: Any, wanted: bytes) -> bytes:
        """Read a stream of output until something was written."""
        seen = b""
        while wanted not in seen:
            try:
                seen += (await asyncio.wait_for(anext(chunks), 20)).data
            except TimeoutError:
                raise AssertionError(f"{wanted!r} did not come; there is {seen!r}") from None
        return seen


@pytest.fixture
def kit() -> type[Kit]:
    return Kit


@pytest.fixture
def serve(tmp_path: Path, kit: type[Kit]) -> Iterator[Callable[..., None]]:
    """Run a scenario against a server of its own; keyword arguments are the service's configuration, but for
    ``sections`` of the server's, and ``roles``, the tables below ``[roles]``. A second call is a server that comes
    after the first, with the same state."""

    @asynccontextmanager
    async def connected(config: dict[str, Any], sections: dict[str, Any]) -> AsyncIterator[AsyncClient]:
        service = Programs(ProgramsConfig(**config))
        server = Server(ServerConfig(state_dir=str(tmp_path), **sections), [service], token="t" * 32)
        await server.start(listen=False)
        try:
            async with AsyncClient(memory=server.connect_memory) as client:
                client.open_another = lambda: AsyncClient(memory=server.connect_memory)  # type: ignore[attr-defined]
                client.open_json = lambda: AsyncClient(memory=server.connect_memory, subprotocol="rpc.v1.json")  # type: ignore[attr-defined]
                client.service_here = service  # type: ignore[attr-defined]
                yield client
        finally:
            await server.stop(grace_s=0)

    def run(
        scenario: Scenario,
        seconds: float = 90,
        *,
        loop_factory: Any = None,
        sections: Any = None,
        roles: Any = None,
        **config: Any,
    ) -> None:
        async def main() -> None:
            async with connected(config, {**(sections or {}), "roles": roles or {}}) as client:
                await asyncio.wait_for(scenario(client), seconds)

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(main())

    yield run
    left = kit.keepers(str(tmp_path))
    for keeper in left:
        keeper.terminate()
    psutil.wait_procs(left, 10)
