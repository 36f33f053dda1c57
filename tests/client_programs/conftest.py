"""A real daemon with the programs service, and a proxy in front of it whose connections can be cut."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rpcclient import AsyncClient, Client


class Daemon:
    """A server process."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.folder = folder
        self.token_file = str(folder / "token")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RPC_", "RPCSERVER_"))},
            "RPCSERVER_STATE_DIR": str(folder),
            "RPCSERVER_PLUGINS__DISABLED": '["database", "hardware"]',
            "RPCSERVER_SERVICES": json.dumps({"programs": config}),
        }
        command = [sys.executable, "-m", "rpcserver", "serve", "--port", "0", "--unix", "none"]
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().rpartition(" ")[2].strip()
        assert self.url, (folder / "log").read_text()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self, url: str | None = None) -> Client:
        return Client(url or self.url, token_file=self.token_file)

    def async_client(self, url: str | None = None) -> AsyncClient:
        return AsyncClient(url or self.url, token_file=self.token_file)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def daemon_with(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Start a daemon whose programs service is configured like this."""
    with contextlib.ExitStack() as stack:

        def start(**config: Any) -> Daemon:
            daemon = Daemon(tmp_path, **config)
            stack.callback(daemon.stop)
            return daemon

        yield start


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """The daemon that most tests share."""
    daemon = Daemon(tmp_path_factory.mktemp("daemon"))
    yield daemon
    daemon.stop()


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with daemon.client() as client:
        yield client


@dataclass(eq=False)
class _Pair:
    """A connection through the proxy."""

    client: socket.socket
    server: socket.socket

    def close(self) -> None:
        for sock in (self.client, self.server):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


class Proxy:
    """Passes connections on to a port, until they are cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        self.passed_bytes = 0
        self.cuts = 0
        self._wake, self._woken = socket.socketpair()
        self._orders: list[Callable[[], object]] = []
        self._pairs: set[_Pair] = set()
        self._cut_at: float = float("inf")
        self._thread = threading.Thread(target=self._run, name="proxy")
        self._thread.start()

    def cut(self) -> None:
        """Cut all connections now."""
        done = threading.Event()
        self._orders += [self._cut, done.set]
        self._wake.send(b".")
        assert done.wait(10)

    def cut_after(self, passed_bytes: int) -> None:
        """Cut all connections once so many bytes more have been passed to the client."""
        self._cut_at = self.passed_bytes + passed_bytes

    @property
    def is_ready(self) -> bool:
        """Whether no cut is still to come."""
        return self._cut_at == float("inf")

    def close(self) -> None:
        self._orders += [self._cut]
        self._port = 0
        self._wake.send(b".")
        self._thread.join(10)

    def _cut(self) -> None:
        if self._pairs:
            self.cuts += 1
        for pair in self._pairs:
            for sock in (pair.client, pair.server):
                with contextlib.suppress(KeyError):
                    self._selector.unregister(sock)
            pair.close()
        self._pairs.clear()

    def _run(self) -> None:
        with selectors.DefaultSelector() as self._selector, self._listener, self._wake, self._woken:
            selector = self._selector
            selector.register(self._listener, selectors.EVENT_READ, None)
            selector.register(self._woken, selectors.EVENT_READ, None)
            while self._port:
                for key, _ in selector.select():
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj is self._woken:
                        self._woken.recv(64)
                    elif key.data in self._pairs:
                        self._pass(key.data, key.fileobj)  # type: ignore[arg-type]
                    while self._orders:
                        self._orders.pop(0)()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        pair = _Pair(client, socket.create_connection(("127.0.0.1", self._port)))
        self._pairs.add(pair)
        self._selector.register(pair.client, selectors.EVENT_READ, pair)
        self._selector.register(pair.server, selectors.EVENT_READ, pair)

    def _pass(self, pair: _Pair, source: socket.socket) -> None:
        target = pair.server if source is pair.client else pair.client
        try:
            data = source.recv(262_144)
            if target is pair.client:
                self.passed_bytes += len(data)
                if self.passed_bytes >= self._cut_at:
                    # In the middle of a message, and what is on its way is gone.
                    target.sendall(data[: len(data) // 2])
                    self._cut()
                    self._cut_at = float("inf")
                    return
            target.sendall(data)
        except OSError:
            data = b""
        if not data:
            for sock in (pair.client, pair.server):
                self._selector.unregister(sock)
            self._pairs.discard(pair)
            pair.close()


@pytest.fixture
def proxy(daemon: Daemon) -> Iterator[Proxy]:
    proxy = Proxy(daemon.port)
    yield proxy
    proxy.close()
