"""Brokers that know no users, alone or as a cluster: they can be killed, and come back at their ports."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from rpcserver.group.broker import find_program
from rpcserver.group.broker_settings import BrokerSettings

_POLL_S = 0.02


class Brokers:
    """Some brokers, which are a cluster if they are more than one.

    Parameters:
        folder: where their files are.
        count: how many there are.
        host: the address at which they listen.

    Attributes:
        urls: their URLs, with commas between them.
        processes: their processes; ``None`` for one that has ended.
    """

    def __init__(self, folder: Path, count: int, host: str = "127.0.0.1") -> None:
        self._host = host
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(2 * count)]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            ports = [each.getsockname()[1] for each in sockets]
        self.ports, self._routes = ports[:count], ports[count:]
        self.urls = ",".join(f"nats://127.0.0.1:{port}" for port in self.ports)
        self.processes: list[subprocess.Popen[bytes] | None] = [None] * count
        self._folder = folder

    async def start(self, index: int) -> None:
        """Start a broker, and wait until it can be reached."""
        folder = self._folder / f"broker-{index}"
        folder.mkdir(parents=True, exist_ok=True)
        options: dict[str, object] = {
            "server_name": f"broker-{index}",
            "listen": f"{self._host}:{self.ports[index]}",
            "jetstream": {"store_dir": str(folder / "store")},
            "ping_interval": "500ms",
            "ping_max": 2,
        }
        if len(self.ports) > 1:
            options["cluster"] = {
                "name": "group",
                "listen": f"127.0.0.1:{self._routes[index]}",
                "routes": [f"nats://127.0.0.1:{port}" for port in self._routes],
            }
        (folder / "nats.json").write_text(json.dumps(options))
        program = find_program(BrokerSettings(folder=folder))
        with (folder / "log").open("ab") as log:
            self.processes[index] = subprocess.Popen(  # noqa: ASYNC220 - quick
                [program, "--config", str(folder / "nats.json")], stderr=log, stdout=log
            )
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.ports[index])
            except OSError:
                await asyncio.sleep(_POLL_S)
            else:
                writer.close()
                return

    def end(self, index: int) -> None:
        """Kill a broker."""
        process = self.processes[index]
        assert process is not None
        process.kill()
        process.wait()
        self.processes[index] = None

    async def leader(self, stream: str) -> int:
        """Return which broker leads a stream. It waits until one does."""
        from nats.aio.client import Client

        client = Client()
        await client.connect(self.urls.split(","))
        try:
            while True:
                try:
                    cluster = (await client.jetstream().stream_info(stream)).cluster
                except Exception:  # It is not there yet, or nobody leads it.
                    cluster = None
                if cluster is not None and cluster.leader:
                    return int(cluster.leader.rpartition("-")[2])
                await asyncio.sleep(_POLL_S * 5)
        finally:
            await client.close()


@asynccontextmanager
async def brokers(folder: Path, count: int, host: str = "127.0.0.1") -> AsyncIterator[Brokers]:
    """Some brokers that run."""
    it = Brokers(folder, count, host)
    try:
        await asyncio.gather(*(it.start(index) for index in range(count)))
        yield it
    finally:
        for index, process in enumerate(it.processes):
            if process is not None:
                it.end(index)
