"""Runs nodes of a group in one process, with the built-in services: ``python -m tests.client_cli.nodes BROKER FOLDER NAME
...``. It says where each listens, and goes on until its input ends. Each line of its input is a node to stop."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from rpcserver import Service, method
from rpcserver.config import ServerConfig
from rpcserver.plugins.finding import create_services, find_services
from rpcserver.server import Server

TOKEN = "t" * 32
GATEWAYS = [f"owner via web-{number}" for number in range(1, 10)]
"""Whom the nodes let in, besides their own clients."""


def configure(folder: Path, broker: str, name: str) -> ServerConfig:
    return ServerConfig.model_validate(
        {
            "state_dir": str(folder / name),
            "grace_s": 0,
            "listen": {"port": 0, "unix": "none"},
            "group": {"url": broker, "name": name, "labels": {"role": name[:-2]}, "trust_gateway_names": True},
            "roles": {"ops": {"principals": GATEWAYS, "permissions": ["*"], "programs": {"may_run": "anything"}}},
            "services": {"database": {"databases": {"main": {}}}},
        }
    )


class Shelf(Service):
    """Only database nodes have it."""

    @method(kind="read")
    async def weigh(self, content: bytes) -> int:
        """Count bytes."""
        return len(content)


async def main(broker: str, folder: str, *names: str) -> None:
    servers: dict[str, Server] = {}
    for name in names:
        config = configure(Path(folder), broker, name)
        services = create_services(find_services(config.plugins), config.services)
        own = [Shelf()] if name.startswith("db") else []
        servers[name] = Server(config, [*services, *own], token=TOKEN)
        await servers[name].start()
        print(name, servers[name].addresses[0], flush=True)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        await servers.pop(line.decode().strip()).stop(grace_s=0)
        print("done", flush=True)
    for server in servers.values():
        await server.stop(grace_s=0)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
