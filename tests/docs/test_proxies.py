"""The configurations of nginx, haproxy and Caddy in docs/server.md: each is run, before a server that is set as it says."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trustme
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from rpcclient import Client

GUIDE = (Path(__file__).parents[2] / "docs" / "server.md").read_text(encoding="utf-8")
SECTION = GUIDE.partition("## Behind a reverse proxy")[2].partition("\n## ")[0]
SETTINGS = re.findall(r"```toml\n(.*?)```", SECTION, re.DOTALL)
SECONDS = 20.0
CLIENT, OTHER = "127.0.0.9", "127.0.0.10"
"""Addresses from which the tests connect; neither is a trusted proxy's."""


def configuration(kind: str, number: int = 0) -> str:
    return re.findall(rf"```{kind}\n(.*?)```", SECTION, re.DOTALL)[number]  # type: ignore[no-any-return]


def put(text: str, **places: str) -> str:
    """A configuration for this test: each place of the guide replaced, all of which must be there."""
    for found, wanted in places.items():
        assert found in text, f"{found} is not in the guide any more"
        text = text.replace(found, wanted)
    return text


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Any], told: Callable[[], str]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.02)


@dataclass(frozen=True)
class Certificates:
    authority: trustme.CA
    chain: Path
    key: Path
    both: Path

    @property
    def trusting(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        # With TLS 1.3 the other side sends session tickets after the handshake. websockets' threaded client reads them in
        # one thread while another writes the request, over one connection of OpenSSL, and now and then the request is lost.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.authority.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder, authority = tmp_path_factory.mktemp("certificates"), trustme.CA()
    issued = authority.issue_cert("box.example", "localhost")
    chain, key, both = (folder / name for name in ("chain.pem", "key.pem", "both.pem"))
    issued.private_key_pem.write_to_path(key)
    key.chmod(0o600)
    for part in issued.cert_chain_pems:
        part.write_to_path(chain, append=True)
    issued.private_key_and_cert_chain_pem.write_to_path(both)
    both.chmod(0o600)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return Certificates(authority, chain, key, both)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose paths fit into the address of a socket."""
    with tempfile.TemporaryDirectory(prefix="rpc") as name:
        yield Path(name)


@dataclass
class Box:
    """A server behind a proxy."""

    folder: Path
    certificates: Certificates
    stack: contextlib.ExitStack
    port: int
    prefix: str = "/rpc"

    def start_server(self, settings: str, **environment: str) -> str:
        """Where it listens, as it prints it."""
        (self.folder / "server.toml").write_text(settings)
        around = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("RPC_", "RPCSERVER_"))},
            "RPCSERVER_STATE_DIR": str(self.folder), "RPCSERVER_LISTEN__PORT": "0",
            "RPCSERVER_PLUGINS__ENABLED": '["hardware"]', "RPCSERVER_AUTH__LINE_PER_ADDRESS": "0", **environment,
        }  # fmt: skip
        command = [sys.executable, "-m", "rpcserver", "serve", "--config", str(self.folder / "server.toml")]
        log = self.stack.enter_context((self.folder / "server.log").open("w"))
        process = self.stack.enter_context(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=around)
        )
        self.stack.callback(process.terminate)
        assert process.stdout is not None
        address = process.stdout.readline().rpartition(" ")[2].strip()
        assert address, self.log("server")
        return address

    def start_proxy(self, *command: str, **environment: str) -> None:
        log = self.stack.enter_context((self.folder / "proxy.log").open("w"))
        process = self.stack.enter_context(
            subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env={**os.environ, **environment})
        )
        self.stack.callback(process.terminate)

        def is_up() -> bool:
            assert process.poll() is None, self.log("proxy")
            with contextlib.suppress(OSError):
                return self.get("/healthz")[0] == 200
            return False

        until(is_up, lambda: self.log("proxy") + self.log("server"))

    def log(self, whose: str) -> str:
        return (self.folder / f"{whose}.log").read_text()

    @property
    def token(self) -> str:
        return (self.folder / "token").read_text().strip()

    def socket(self, source: str) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), SECONDS, (source, 0))

    def get(self, path: str, source: str = CLIENT) -> tuple[int, bytes]:
        """A page by HTTPS."""
        connection = http.client.HTTPSConnection("box.example", self.port)
        connection.sock = self.certificates.trusting.wrap_socket(self.socket(source), server_hostname="box.example")
        connection.request("GET", self.prefix + path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    @contextlib.contextmanager
    def connect(self, source: str = CLIENT, *, token: bool = True, **headers: str) -> Iterator[ClientConnection]:
        """A WebSocket; an underscore stands for a hyphen."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            fields["Authorization"] = f"Bearer {self.token}"
        with connect(
            f"wss://box.example:{self.port}{self.prefix}/", sock=self.socket(source), ssl=self.certificates.trusting,
            additional_headers=fields, proxy=None, open_timeout=SECONDS, legacy=True,
        ) as connection:  # fmt: skip
            yield connection


def call(connection: ClientConnection, method: str, *params: Any) -> Any:
    connection.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    return json.loads(connection.recv(SECONDS))


@pytest.fixture
def box(folder: Path, certificates: Certificates, missing: Callable[[str], NoReturn]) -> Iterator[Box]:
    for command in ("nginx", "haproxy", "caddy"):
        if shutil.which(command) is None:
            missing(f"{command} is not installed")
    with contextlib.ExitStack() as stack:
        yield Box(folder, certificates, stack, free_port())


def start_nginx(box: Box, **more: str) -> None:
    address = box.start_server(SETTINGS[0])
    server = re.sub(r"^ws://|/rpc/$", "", address)
    places = {
        "listen 443 ssl": f"listen 127.0.0.1:{box.port} ssl", "/etc/ssl/box.example.pem": str(box.certificates.chain),
        "/etc/ssl/box.example.key": str(box.certificates.key), "127.0.0.1:8765": server, **more,
    }  # fmt: skip
    kept = [f"{name}_temp_path {box.folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")]
    whole = [
        f"pid {box.folder}/nginx.pid;", "daemon off;", "worker_processes 1;", "events {}",
        "http {", "access_log off;", *kept, put(configuration("nginx"), **places), "}",
    ]  # fmt: skip
    (box.folder / "nginx.conf").write_text("\n".join(whole))
    box.start_proxy("nginx", "-e", "stderr", "-p", str(box.folder), "-c", str(box.folder / "nginx.conf"))


def start_haproxy(box: Box) -> None:
    address = box.start_server(SETTINGS[0])
    places = {
        "bind :443": f"bind 127.0.0.1:{box.port}", "/etc/ssl/box.example.both.pem": str(box.certificates.both),
        "127.0.0.1:8765": re.sub(r"^ws://|/rpc/$", "", address),
    }  # fmt: skip
    (box.folder / "haproxy.cfg").write_text(put(configuration("haproxy", 0), **places))
    box.start_proxy("haproxy", "-db", "-f", str(box.folder / "haproxy.cfg"))


def start_haproxy_for_connections(box: Box) -> None:
    box.prefix = ""
    places = {
        "/etc/ssl/box.example.pem": str(box.certificates.chain),
        "/etc/ssl/box.example.key": str(box.certificates.key),
    }
    address = box.start_server(put(SETTINGS[1], **places))
    places = {"bind :443": f"bind 127.0.0.1:{box.port}", "127.0.0.1:8765": address.removeprefix("wss://")}
    (box.folder / "haproxy.cfg").write_text(put(configuration("haproxy", 1), **places))
    box.start_proxy("haproxy", "-db", "-f", str(box.folder / "haproxy.cfg"))


def start_caddy(box: Box) -> None:
    path = str(box.folder / "run" / "s.sock")
    assert box.start_server(put(SETTINGS[2], **{"/run/rpcserver/rpcserver.sock": path})) == f"unix://{path}"
    site = f"https://box.example:{box.port} {{\n    bind 127.0.0.1\n    tls {box.certificates.chain} {box.certificates.key}"
    text = put(configuration("caddyfile"), **{"box.example {": site, "/run/rpcserver/rpcserver.sock": path})
    (box.folder / "Caddyfile").write_text("{\n    admin off\n    auto_https off\n}\n" + text)
    home = str(box.folder)
    box.start_proxy(
        "caddy", "run", "--adapter", "caddyfile", "--config", str(box.folder / "Caddyfile"),
        HOME=home, XDG_DATA_HOME=home, XDG_CONFIG_HOME=home,
    )  # fmt: skip


PROXIES = {
    "nginx": start_nginx,
    "haproxy": start_haproxy,
    "haproxy for connections": start_haproxy_for_connections,
    "Caddy": start_caddy,
}


def test_the_guide_has_what_is_tested() -> None:
    assert len(SETTINGS) == 3
    assert {kind: SECTION.count(f"```{kind}\n") for kind in ("nginx", "haproxy", "caddyfile")} == {
        "nginx": 1, "haproxy": 2, "caddyfile": 1,
    }  # fmt: skip


@pytest.mark.parametrize("start", PROXIES.values(), ids=PROXIES.keys())
def test_a_server_behind_it(box: Box, start: Callable[[Box], None]) -> None:
    start(box)
    status, body = box.get("/healthz")
    assert (status, body) == (200, b"ok\n")
    assert box.get("/nothing")[0] == 404

    with box.connect(X_Forwarded_For="6.6.6.6", Forwarded="for=6.6.6.6") as connection:
        assert call(connection, "rpc.hello")["result"]["principal"] == {
            "name": "owner",
            "method": "token",
            "role": "owner",
        }
        assert call(connection, "hardware.cpu")["result"]["logical"] >= 1
        large = call(connection, "rpc.ping", "x" * 1_000_000)
        assert large["error"]["code"] == -32602, "it came through and was read"
    with box.connect(Origin=f"https://box.example:{box.port}") as connection:
        assert call(connection, "rpc.ping")["result"] == "pong"
    with pytest.raises(InvalidStatus) as caught, box.connect(Origin="https://evil.example"):
        pass
    assert caught.value.response.status_code == 403

    with contextlib.ExitStack() as stack:
        strangers = [stack.enter_context(box.connect(token=False)) for _ in range(8)]
        with pytest.raises(InvalidStatus) as caught, box.connect(token=False):
            pass
        assert caught.value.response.status_code == 429, "the limit per address is that of the client"
        with box.connect(OTHER, token=False) as other, box.connect() as known:
            assert call(other, "rpc.hello")["result"]["principal"] is None
            assert call(known, "rpc.ping")["result"] == "pong"
        assert call(strangers[0], "hardware.cpu")["error"]["code"] == -32001, "nobody is the owner by coming through"
        assert call(strangers[0], "rpc.authenticate", box.token)["result"]["method"] == "token"

    log = box.log("server")
    assert re.search(rf"c1 {re.escape(CLIENT)}(:\d+)? via (127\.0\.0\.1:\d+|unix:uid=\d+) connected", log), log
    assert "6.6.6.6" not in log
    assert "Traceback" not in log


@pytest.mark.parametrize("start", [start_nginx, start_haproxy, start_haproxy_for_connections])
def test_our_client_through_it(box: Box, start: Callable[[Box], None]) -> None:
    start(box)
    ca_file = box.certificates.chain.parent / "ca.pem"
    with Client(f"wss://localhost:{box.port}{box.prefix}/", token=box.token, ca_file=ca_file) as client:
        assert client.hardware.cpu().logical >= 1


def test_a_proxy_that_keeps_authorization_for_itself(box: Box) -> None:
    line = "proxy_set_header Host $http_host;"
    start_nginx(box, **{line: f'{line} proxy_set_header Authorization "";'})
    with box.connect() as connection:
        assert call(connection, "rpc.hello")["result"]["principal"] is None
        assert call(connection, "hardware.cpu")["error"]["code"] == -32001
        assert call(connection, "rpc.authenticate", box.token)["result"] == {
            "name": "owner",
            "method": "token",
            "role": "owner",
            "session": None,
        }
        assert call(connection, "hardware.cpu")["result"]["logical"] >= 1
    url, ca_file = f"wss://localhost:{box.port}/rpc/", box.certificates.chain.parent / "ca.pem"
    with Client(url, token=box.token, token_by="call", ca_file=ca_file) as client:
        assert client.hardware.cpu().logical >= 1


@pytest.mark.parametrize("start", [start_nginx, start_haproxy, start_caddy])
def test_a_page_signs_in_through_it(box: Box, start: Callable[[Box], None]) -> None:
    """As docs/browser.md says: the page, the WebSocket with the page's origin, a ticket and its session."""
    start(box)
    connection = http.client.HTTPSConnection("box.example", box.port)
    connection.sock = box.certificates.trusting.wrap_socket(box.socket(CLIENT), server_hostname="box.example")
    connection.request("GET", f"{box.prefix}/", headers={"Accept": "text/html", "Host": "box.example"})
    answer = connection.getresponse()
    assert answer.status == 200 and b"This is rpcserver" in answer.read()
    assert "default-src 'none'" in str(answer.headers["Content-Security-Policy"])
    connection.close()
    with box.connect() as maker:
        ticket = call(maker, "rpc.create_ticket")["result"]["ticket"]
    with box.connect(token=False, Origin=f"https://box.example:{box.port}") as page:
        page.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "rpc.authenticate", "params": {"ticket": ticket}}))
        found = json.loads(page.recv(SECONDS))["result"]
        assert (found["name"], found["method"]) == ("owner", "session")
    with box.connect(token=False) as again:
        message = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "rpc.authenticate",
            "params": {"session": found["session"]["secret"]},
        }
        again.send(json.dumps(message))
        assert json.loads(again.recv(SECONDS))["result"]["session"]["id"] == found["session"]["id"]
