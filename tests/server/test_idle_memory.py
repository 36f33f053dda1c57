"""The memory of a server that holds many idle connections."""

from __future__ import annotations

import os
import resource
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pytest
import trustme
from websockets.sync.client import connect

SPARE_DESCRIPTORS = 500
WARM_UP = 200
"""Connections before the first measurement: they make what all share."""


def resident_kib(pid: int) -> int:
    """The resident memory of a process, in KiB (proc_pid_status(5))."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def measure(folder: Path, count: int, tls: dict[str, str], context: ssl.SSLContext | None) -> float:
    """Open authenticated connections, and return the memory of each in the server, in KiB.

    Parameters:
        folder: the server's.
        count: the number of connections.
        tls: the server's settings of TLS.
        context: checks the server; ``None`` without TLS.
    """
    token = folder / "token"
    environment = {
        **os.environ,
        "RPCSERVER_STATE_DIR": str(folder),
        **{
            f"RPCSERVER_LIMITS__CONNECTIONS{scope}": str(2 * count + WARM_UP)
            for scope in ("", "_PER_PRINCIPAL", "_PER_ADDRESS")
        },
        "RPCSERVER_PLUGINS__DISABLED": '["programs", "database", "hardware"]',
        **{f"RPCSERVER_TLS__{key.upper()}": value for key, value in tls.items()},
    }
    command = [sys.executable, "-m", "rpcserver", "serve", "--port", "0", "--unix", "none", "--token-file", str(token)]
    with ExitStack() as stack:
        server = stack.enter_context(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
        )
        stack.callback(server.kill)
        assert server.stdout is not None
        url = server.stdout.readline().rpartition(" ")[2].strip()
        address = urlsplit(url)
        secret = token.read_text().strip()

        def open_idle() -> None:
            sock = stack.enter_context(socket.create_connection((address.hostname, address.port), 30))
            if context is not None:
                sock = stack.enter_context(context.wrap_socket(sock, server_hostname="localhost"))
            sock.sendall(request(address.netloc, secret))
            assert sock.recv(4096).startswith(b"HTTP/1.1 101")

        for _ in range(WARM_UP):
            open_idle()
        before_kib = resident_kib(server.pid)
        for _ in range(count):
            open_idle()
        headers, name = {"Authorization": f"Bearer {secret}"}, None if context is None else "localhost"
        with connect(url, additional_headers=headers, proxy=None, ssl=context, server_hostname=name) as last:
            last.send('{"jsonrpc":"2.0","id":1,"method":"rpc.ping"}')
            assert "pong" in str(last.recv(30))
            after_kib = resident_kib(server.pid)
    return (after_kib - before_kib) / count


def request(host: str, token: str) -> bytes:
    """Make the request for a WebSocket; a client of ours would take more memory here than in the server."""
    lines = [
        "GET / HTTP/1.1", f"Host: {host}", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==", "Sec-WebSocket-Protocol: rpc.v1.msgpack",
        f"Authorization: Bearer {token}",
    ]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.fixture
def descriptors(missing: Callable[[str], NoReturn]) -> Iterator[Callable[[int], None]]:
    """Makes sure that this process and its children may have so many descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def require(count: int) -> None:
        if sys.platform != "linux":
            missing("the memory of a process is read from /proc")
        if hard != resource.RLIM_INFINITY and hard < count + SPARE_DESCRIPTORS:
            missing(f"{count} connections need more open files than this machine allows ({hard})")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + SPARE_DESCRIPTORS), hard))

    yield require
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def secured(
    request: pytest.FixtureRequest, authority: trustme.CA, tls: dict[str, str]
) -> tuple[dict[str, str], ssl.SSLContext | None]:
    """The server's settings of TLS and the client's context, or none of both."""
    if not request.param:
        return {}, None
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return tls, context


def test_an_idle_connection_is_small(tmp_path: Path, descriptors: Callable[[int], None], secured: Any) -> None:
    descriptors(1500)
    assert measure(tmp_path, 1000, *secured) <= (10 if secured[1] is None else 70)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [2_000, 10_000])
def test_thousands_of_idle_connections(
    tmp_path: Path, descriptors: Callable[[int], None], secured: Any, count: int
) -> None:
    descriptors(count + WARM_UP)
    each_kib = measure(tmp_path, count, *secured)
    print(f"{count} connections: {each_kib:.2f} KiB each")
    assert each_kib <= (8 if secured[1] is None else 60)
