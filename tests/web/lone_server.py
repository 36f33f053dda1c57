"""A server with the console that is a process of its own, so that it can be killed."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import click

from rpcclient import Client
from tests.contract.conftest import TOKEN

from .conftest import LIMIT_S
from .three_nodes import make


class LoneServer:
    """The server. It keeps its port and its state when it is started again.

    Parameters:
        folder: for its state.
        console: the built console.
    """

    def __init__(self, folder: Path, console: Path) -> None:
        self._folder = folder
        self._console = console
        self._token = TOKEN
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def origin(self) -> str:
        """The address of the console."""
        return f"http://127.0.0.1:{self._port}"

    def start(self, token: str = "") -> None:
        """Start it, and wait until it takes connections.

        Parameters:
            token: the token of its owner from now on; the one that it had where not given.
        """
        assert self._process is None
        self._token = token or self._token
        config = {"state_dir": str(self._folder / "state"), "listen": {"port": self._port, "unix": "none"}}
        with (self._folder / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.web.lone_server", json.dumps(config), str(self._console), self._token],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        address = self._process.stdout.readline()
        assert address, (self._folder / "server.log").read_text()
        self._port = int(address.strip().rpartition(":")[2].strip("/"))

    def kill(self) -> None:
        """Kill it: it can tell nobody, and put nothing in order."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate(timeout=LIMIT_S)
        self._process = None

    def close(self) -> None:
        """End what it runs, and then the server itself."""
        if self._process is None:
            self.start()
        assert self._process is not None
        with Client(f"ws://127.0.0.1:{self._port}", token=self._token) as client:
            for program in client.programs.list():
                client.programs.kill(program.id, grace_s=0)
        self._process.terminate()
        self._process.communicate(timeout=LIMIT_S)


async def serve(config: str, console: str, token: str) -> None:
    """Serve until SIGTERM, and write the address on standard output."""
    is_over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, is_over.set)
    server = make(json.loads(config), Path(console), token)
    await server.start()
    click.echo(server.addresses[0])
    await is_over.wait()
    await server.stop(grace_s=1)


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
