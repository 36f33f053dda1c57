"""What CONTRIBUTING says of changes ("Where a change goes"): a transport, a way to authenticate, an observer of calls and a
service are each one folder. Four packages are made here, nothing of ours is touched, and a server process and both clients
find them by their entry points. (A form of the wire is one folder, too: `tests/contract/test_forms.py`.)"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

LIMIT_S = 60.0

PACKAGES = {
    "abstract_sockets": (
        "rpcwire.transports",
        "abstract = abstract_sockets:Abstract",
        '''
import socket
from urllib.parse import urlsplit

from rpcwire.transports import Transport


class Abstract(Transport):
    """Unix sockets that have a name and no file: abstract://NAME."""

    def connect(self, url, timeout_s):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout_s)
        sock.connect(self._address(url))
        return sock

    def listen(self, url):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(self._address(url))
        return sock

    def _address(self, url):
        return b"\\0" + urlsplit(url).netloc.encode()
''',
    ),
    "passwords": (
        "rpcserver.ways",
        "passwords = passwords:Passwords",
        '''
import base64
import hmac

from rpcserver import Principal, ServiceConfig, ServiceConfigError, Way


class PasswordsConfig(ServiceConfig):
    """Who may come in by a password."""

    file: str


class Passwords(Way[PasswordsConfig]):
    """Names and passwords from a file."""

    scheme = "Basic"
    form = "Basic BASE64"
    config_model = PasswordsConfig

    def __init__(self, config):
        super().__init__(config)
        try:
            with open(config.file) as file:
                self.known = dict(line.strip().split(":") for line in file)
        except OSError as exc:
            raise ServiceConfigError(f"file: {config.file}: {exc.strerror}") from exc

    def principal(self, credentials):
        name, _, password = base64.b64decode(credentials).decode().partition(":")
        right = hmac.compare_digest(self.known.get(name, "").encode(), password.encode())
        return Principal(name, "password") if right and name in self.known else None
''',
    ),
    "call_counts": (
        "rpcserver.services",
        "call_counts = call_counts:CallCounts",
        '''
from collections import Counter

from rpcserver import Page, Service, method


class CallCounts(Service):
    """Counts calls, for Prometheus."""

    async def start(self):
        self.counts = Counter()
        self.runtime.observe(self.note)

    def note(self, outcome):
        if outcome.kind is not None:
            who = "nobody" if outcome.principal is None else outcome.principal.name
            self.counts[outcome.method, who, "ok" if outcome.error is None else outcome.error.type] += 1

    def http_pages(self):
        return {"/calls": Page(self.render, permission="call_counts.render")}

    @method(kind="read")
    async def render(self) -> str:
        """All counts, as Prometheus reads them."""
        lines = ["# TYPE rpc_calls_total counter"]
        for (method, who, outcome), n in sorted(self.counts.items()):
            lines.append(f'rpc_calls_total{{method="{method}",principal="{who}",outcome="{outcome}"}} {n}')
        return "\\n".join(lines) + "\\n"
''',
    ),
    "dice": (
        "rpcserver.services",
        "dice = dice:Dice",
        '''
from collections.abc import AsyncIterator

from rpcserver import Context, Service, method


class Dice(Service):
    """Throws dice that always fall alike."""

    @method(kind="read")
    async def throw(self, sides: int, ctx: Context) -> str:
        """Throw one."""
        return f"{ctx.connection.principal.name} throws {sides}"

    @method(kind="read")
    async def throws(self, sides: int, times: int) -> AsyncIterator[int]:
        """Throw one again and again."""
        for _ in range(times):
            yield sides
''',
    ),
}

CALLS = """
import asyncio, json, sys
from rpcclient import AsyncClient, Client

url, headers = sys.argv[1], json.loads(sys.argv[2])
with Client(url, headers=headers) as client:
    print(client.hello().principal.method, client.service("dice").throw(sides=6), list(client.stream("dice.throws", [6, 2])))

async def main():
    async with AsyncClient(url, headers=headers) as client:
        print(await client.service("dice").throw(sides=20), [n async for n in client.stream("dice.throws", [20, 2])])

asyncio.run(main())
"""


def install(folder: Path) -> str:
    """Each package in a folder of its own; returns the path on which they are found."""
    for name, (group, entry, source) in PACKAGES.items():
        told = folder / name / f"{name}-1.0.dist-info"
        told.mkdir(parents=True)
        (folder / name / f"{name}.py").write_text(source)
        (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (told / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")
    return os.pathsep.join(str(folder / name) for name in PACKAGES)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RPC_", "RPCSERVER_"))}
    return {**clean, "PYTHONPATH": install(tmp_path / "packages")}


@pytest.fixture
def addresses(tmp_path: Path, environment: dict[str, str]) -> Iterator[list[str]]:
    """Where a server process listens that has the four packages."""
    (tmp_path / "passwords").write_text("ada:difference engine\n")
    settings = f"""
state_dir = "{tmp_path}"
[listen]
port = 0
unix = "none"
also = ["abstract://remote-services-{secrets.token_hex(8)}"]
[auth.ways.passwords]
file = "{tmp_path / "passwords"}"
[plugins]
enabled = ["dice", "call_counts"]
[roles.players]
principals = ["ada"]
permissions = ["dice.*", "call_counts.render"]
"""
    (tmp_path / "config.toml").write_text(settings)
    command = [sys.executable, "-m", "rpcserver", "serve", "--config", str(tmp_path / "config.toml")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            found = [server.stdout.readline().strip().removeprefix("rpcserver: listening on ") for _ in range(2)]
            assert all("://" in each for each in found), found
            yield found
        finally:
            server.terminate()
            server.communicate(timeout=LIMIT_S)


def test_four_folders_make_four_changes(addresses: list[str], environment: dict[str, str]) -> None:
    tcp, abstract = addresses
    assert abstract.startswith("abstract://")
    headers = {"Authorization": "Basic " + base64.b64encode(b"ada:difference engine").decode()}
    for url in (abstract, tcp):
        command = [sys.executable, "-c", CALLS, url, json.dumps(headers)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
        assert done.stderr == ""
        assert done.stdout == "password ada throws 6 [6, 6]\nada throws 20 [20, 20]\n"
    page = Request(tcp.replace("ws://", "http://") + "/calls", headers=headers)
    with urlopen(page, timeout=LIMIT_S) as response:
        text = response.read().decode()
    assert re.search(r'^rpc_calls_total\{method="dice\.throw",principal="ada",outcome="ok"\} 4$', text, re.MULTILINE)
