"""Connections through proxies: tinyproxy and microsocks, and small ones for what those do not speak."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from rpcclient import Client
from rpcclient.addresses import host_of
from rpcclient.errors import ConnectFailed, ConnectionClosed
from rpcclient.eyeballs import Address
from rpcclient.proxies import Proxy
from rpcclient.targets import find_target
from rpcclient.tunnels import ProxyRefused, choose_address, tunnel_through
from rpcwire import locations
from tests.client.relays import by_connect, by_socks4, relay

LIMIT_S = 30.0


class Running:
    """A proxy that runs as a program.

    Attributes:
        port: where it listens.
        log: what it has said so far.
    """

    def __init__(self, command: list[str], port: int) -> None:
        self.port = port
        self.log = ""
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.log += line

    def listens(self) -> bool:
        assert self._process.poll() is None, self.log
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def proxies(missing: Any, until: Any, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts tinyproxy or microsocks."""
    started: list[Running] = []

    def start(program: str, *, user: str = "", password: str = "") -> Running:
        found = shutil.which(program)
        if found is None:
            missing(f"{program} is not installed")
        port = free_port()
        if program == "microsocks":
            known = ["-u", user, "-P", password] if user else []
            started.append(Running([found, "-i", "127.0.0.1", "-p", str(port), *known], port))
        else:
            lines = [f"Port {port}", "Listen 127.0.0.1", "LogLevel Connect", "Timeout 60"]
            lines += [f"BasicAuth {user} {password}"] if user else []
            (tmp_path / "tinyproxy.conf").write_text("\n".join(lines) + "\n")
            started.append(Running([found, "-d", "-c", str(tmp_path / "tinyproxy.conf")], port))
        until(started[-1].listens)
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.fixture
def secure(start: Any, tmp_path: Path) -> Any:
    """A server with TLS; `options` has what its clients need."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o600)
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    running = start(tls={"certificate_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")})
    running.ca_file = tmp_path / "ca.pem"
    running.door = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(running.door)
    return running


def port_of(server: Any) -> int:
    return int(server.tcp.rpartition(":")[2])


@pytest.mark.parametrize(
    ("program", "scheme", "user"),
    [
        ("tinyproxy", "http", ""),
        ("tinyproxy", "http", "ada"),
        ("microsocks", "socks5", ""),
        ("microsocks", "socks5h", ""),
        ("microsocks", "socks5h", "ada"),
    ],
)
def test_the_way_through(
    call: Any, proxies: Any, running: Any, secure: Any, token: str, until: Any, program: str, scheme: str, user: str
) -> None:
    proxy = proxies(program, user=user, password="p:w @" if user and program == "microsocks" else "pw")
    password = "p%3Aw%20%40" if program == "microsocks" else "pw"
    url = f"{scheme}://{f'{user}:{password}@' if user else ''}127.0.0.1:{proxy.port}"
    assert call(running.tcp, token=token, proxy=url, allow_token_in_clear=True) == 11
    assert call(secure.tcp, token=token, proxy=url, ca_file=secure.ca_file) == 11
    name = secure.tcp.replace("127.0.0.1", "localhost")
    assert call(name, token=token, proxy=url, ca_file=secure.ca_file) == 11
    until(lambda: str(port_of(secure)) in proxy.log)


def test_much_goes_through(proxies: Any, secure: Any, token: str) -> None:
    proxy = f"socks5h://127.0.0.1:{proxies('microsocks').port}"
    with Client(secure.tcp, token=token, ca_file=secure.ca_file, proxy=proxy) as client:
        assert client.call("desk.blob", [3_000_000], returns=bytes) == bytes(3_000_000)
        assert client.call("desk.swallow", [bytes(3_000_000)]) == 3_000_000


def test_a_proxy_that_speaks_tls(call: Any, running: Any, secure: Any, token: str) -> None:
    """And TLS within TLS, where the server does, too."""
    with relay(by_connect, secure.door) as proxy:
        url = f"https://localhost:{proxy.port}"
        assert call(running.tcp, token=token, proxy=url, ca_file=secure.ca_file, allow_token_in_clear=True) == 11
        assert call(secure.tcp, token=token, proxy=url, ca_file=secure.ca_file) == 11
        assert proxy.seen == [("127.0.0.1", port_of(running)), ("127.0.0.1", port_of(secure))]
        with pytest.raises(ConnectFailed, match=f"the proxy {url}: TLS: certificate verify failed"):
            call(running.tcp, token=token, proxy=url, allow_token_in_clear=True)


def test_much_goes_through_tls_within_tls(secure: Any, token: str) -> None:
    with relay(by_connect, secure.door) as proxy:
        url = f"https://localhost:{proxy.port}"
        with Client(secure.tcp, token=token, ca_file=secure.ca_file, proxy=url) as client:
            assert client.call("desk.blob", [3_000_000], returns=bytes) == bytes(3_000_000)
            assert client.call("desk.swallow", [bytes(3_000_000)]) == 3_000_000


@pytest.mark.parametrize(("scheme", "asked"), [("socks4", "127.0.0.1"), ("socks4a", "localhost")])
def test_socks_4(call: Any, running: Any, token: str, scheme: str, asked: str) -> None:
    with relay(by_socks4) as proxy:
        url = running.tcp.replace("127.0.0.1", "localhost")
        address = f"{scheme}://127.0.0.1:{proxy.port}"
        assert call(url, token=token, proxy=address, allow_token_in_clear=True) == 11
        assert proxy.seen == [(asked, port_of(running))]
        with pytest.raises(ConnectFailed, match="SOCKS4 knows IPv4 only"):
            call("ws://[::1]:1", token=token, proxy=address, allow_token_in_clear=True)


# --- what goes wrong -----------------------------------------------------------------------------------------------


def refusal(call: Any, url: str, proxy: str, **options: Any) -> ConnectFailed:
    with pytest.raises(ConnectFailed) as caught:
        call(url, token="x", proxy=proxy, allow_token_in_clear=True, **options)
    assert "secret" not in str(caught.value)
    assert "the proxy " in str(caught.value)
    return caught.value


def test_a_wrong_password(call: Any, proxies: Any, running: Any) -> None:
    http, socks = proxies("tinyproxy", user="ada", password="pw"), proxies("microsocks", user="ada", password="pw")
    for url, said in [
        (f"http://127.0.0.1:{http.port}", "HTTP 407"),
        (f"http://ada:secret@127.0.0.1:{http.port}", "HTTP 40[17]"),
        (f"socks5h://127.0.0.1:{socks.port}", "it asks for a name and a password"),
        (f"socks5h://ada:secret@127.0.0.1:{socks.port}", "its name or password is wrong"),
    ]:
        error = refusal(call, running.tcp, url)
        assert re.search(said, str(error)), str(error)
        assert not error.retryable


def test_a_server_that_a_proxy_cannot_reach(call: Any, proxies: Any) -> None:
    """It may come back, so this is retryable, as without a proxy."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # Nobody listens there, and no proxy can get this port.
        closed = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        for name, scheme in (("tinyproxy", "http"), ("microsocks", "socks5h")):
            assert refusal(call, closed, f"{scheme}://127.0.0.1:{proxies(name).port}").retryable


def test_no_proxy_is_there(call: Any) -> None:
    for scheme in ("http", "socks5h"):
        error = refusal(call, "ws://127.0.0.1:1", f"{scheme}://127.0.0.1:{free_port()}")
        assert "Connection refused: is it running there?" in str(error)
        assert error.retryable


@pytest.mark.parametrize("scheme", ["http", "socks5h", "socks4a", "https"])
@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"\x00\xff\x00\xff\x00\xff\x00\xff"])
def test_what_is_no_proxy(call: Any, scheme: str, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            with sock, contextlib.suppress(OSError):
                sock.recv(65536)
                sock.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        error = refusal(call, "ws://127.0.0.1:1", f"{scheme}://u:secret@127.0.0.1:{listener.getsockname()[1]}")
        thread.join(LIMIT_S)
    assert error.executed == "no"


def test_a_proxy_that_never_answers(call: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
        error = refusal(call, "ws://127.0.0.1:1", proxy, connect_timeout_s=0.3)
    assert f"the proxy {proxy}: no answer within 0.3 s" in str(error)


def test_closed_while_a_proxy_is_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = f"socks5h://127.0.0.1:{listener.getsockname()[1]}"
        client = Client("ws://127.0.0.1:1", token="x", proxy=proxy, allow_token_in_clear=True)
        errors: list[type[BaseException]] = []

        def connect() -> None:
            try:
                client.connect()
            except BaseException as exc:
                errors.append(type(exc))

        thread = threading.Thread(target=connect)
        thread.start()
        sock, _ = listener.accept()
        with sock:
            assert sock.recv(10) == b"\x05\x01\x00"
            client.close()
            thread.join(10)
    assert errors == [ConnectionClosed]


# --- which proxy ---------------------------------------------------------------------------------------------------


def test_the_environment_of_all_programs(call: Any, running: Any, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not hold for this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert call(running.tcp, token=token) == 11
    for url in ("ws://localhost:1", "ws://127.1:1", "ws://[::1]:1", "ws://[fe80::1%25lo]:1", "unix:///x"):
        assert find_target(url).proxy is None
    for url in ("ws://example.org", "wss://example.org"):
        assert str(find_target(url).proxy) == "http://127.0.0.1:1"
        assert find_target(url, proxy=None).proxy is None
    monkeypatch.setenv("no_proxy", "example.org")
    assert find_target("wss://example.org").proxy is None


@pytest.mark.parametrize(
    ("environment", "plain", "secure"),
    [
        ({"all_proxy": "socks5h://p:1"}, "socks5h://p:1", "socks5h://p:1"),
        ({"ALL_PROXY": "p:1"}, "http://p:1", "http://p:1"),
        ({"all_proxy": "socks://p:1/"}, "socks5h://p:1", "socks5h://p:1"),
        ({"all_proxy": "SOCKS://p"}, "socks5h://p:1080", "socks5h://p:1080"),
        ({"all_proxy": "http://p:1", "http_proxy": "http://q:2"}, "http://q:2", "http://p:1"),
        ({"all_proxy": "http://p:1", "https_proxy": "http://q:2"}, "http://q:2", "http://q:2"),
        ({"all_proxy": "http://p:1", "no_proxy": ".example.org"}, "None", "None"),
        ({"all_proxy": "http://p:1", "no_proxy": "*"}, "None", "None"),
        ({"all_proxy": ""}, "None", "None"),
    ],
)
def test_one_proxy_for_everything(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], plain: str, secure: str
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(find_target("ws://box.example.org", token="x").proxy) == plain
    assert str(find_target("wss://box.example.org", token="x").proxy) == secure


def test_the_environment_of_ours(call: Any, running: Any, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds for this machine, too: 127.0.0.1 may be that of the proxy."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with relay(by_connect) as proxy:
        monkeypatch.setenv("RPC_PROXY", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(ConnectFailed, match="could read the token: write wss://; allow"):
            call(running.tcp, token=token)
        assert proxy.seen == []
        monkeypatch.setenv("RPC_ALLOW_TOKEN_IN_CLEAR", "true")
        assert call(running.tcp, token=token) == 11
        assert proxy.seen == [("127.0.0.1", port_of(running))]
        monkeypatch.delenv("RPC_ALLOW_TOKEN_IN_CLEAR")
        assert call(running.tcp, token=token, proxy=None) == 11
        assert call(running.unix) == 11
        monkeypatch.setenv("RPC_PROXY", "none")
        assert call(running.tcp, token=token) == 11
        assert len(proxy.seen) == 1
    assert find_target("wss://example.org").proxy is None


def test_the_local_token_does_not_go_through_a_proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").touch(mode=0o600)
    (tmp_path / "token").write_text("abc")
    monkeypatch.setattr(locations, "token_file", lambda: tmp_path / "token")
    assert find_target("ws://127.0.0.1:1").token == "abc"
    assert find_target("ws://127.0.0.1:1", proxy="socks5h://example.org").token is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("socks5h://Example.org", "socks5h://example.org:1080"),
        ("socks5://example.org:80", "socks5://example.org:80"),
        ("http://example.org", "http://example.org:80"),
        ("https://u:secret@example.org", "https://example.org:443"),
        ("example.org:3128", "http://example.org:3128"),
        ("http://[::1]:3128/", "http://[::1]:3128"),
    ],
)
def test_what_a_proxy_is_called(written: str, meant: str) -> None:
    assert str(find_target("ws://server.example", proxy=written).proxy) == meant
    assert "secret" not in repr(find_target("ws://server.example", proxy=written))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://u:secret@h",
        "http://",
        "http://u:secret@h:99999",
        "http://u:secret@h/path",
        "http://secret@h",
        "http://[::1",
        "socks5://u:secret" + "x" * 300 + "@h",
        "http://u%3A:secret@h",
        "http://u:secret%0A@h",
        "http://h?secret",
    ],
)
def test_what_is_no_url_of_a_proxy(url: str) -> None:
    with pytest.raises(ConnectFailed, match=r"^proxy: ") as caught:
        find_target("ws://server.example", proxy=url)
    assert "secret" not in str(caught.value)
    assert not caught.value.retryable


# --- the tunnels themselves ----------------------------------------------------------------------------------------


def run_tunnel(scheme: str, answers: list[bytes], host: str = "desk.example", **known: str) -> list[bytes]:
    """What is sent to a proxy that gives these answers, each when something was asked, one byte at a time."""
    tunnel = tunnel_through(Proxy(scheme, host_of("proxy.example"), 1, **known), host, 8765)
    sent = [next(tunnel)]
    try:
        for answer in answers:
            for index in range(len(answer)):
                output = tunnel.send(answer[index : index + 1])
                sent += [output] if output else []
        sent.append(tunnel.send(b""))
    except StopIteration:
        return sent
    raise AssertionError("the tunnel does not stand")


def test_what_is_said_to_proxies() -> None:
    http = run_tunnel("http", [b"HTTP/1.1 200 OK\r\n\r\n"], username="ada", password="pw")[0]
    assert http.startswith(b"CONNECT desk.example:8765 HTTP/1.1\r\nHost: desk.example:8765\r\n")
    assert b"\r\nProxy-Authorization: Basic YWRhOnB3\r\n" in http
    assert run_tunnel("http", [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 ", b"200 OK\r\n\r\n"])[0].startswith(b"CONNECT ")
    assert run_tunnel("http", [b"HTTP/1.1 200 OK\r\n\r\n"], "2001:db8::1")[0].startswith(b"CONNECT [2001:db8::1]:8765 ")
    place = b"\x05\x01\x00\x03\x0cdesk.example\x22\x3d"
    for own in (b"\x01\x7f\x00\x00\x01\x00\x01", b"\x03\x01a\x00\x01", b"\x03\x00\x00\x01", b"\x04" + bytes(18)):
        assert run_tunnel("socks5h", [b"\x05\x00", b"\x05\x00\x00" + own]) == [b"\x05\x01\x00", place]
    answers = [b"\x05\x02", b"\x01\x00", b"\x05\x00\x00\x01" + bytes(6)]
    asked = [b"\x05\x02\x00\x02", b"\x01\x03ada\x02pw", place]
    assert run_tunnel("socks5h", answers, username="ada", password="pw") == asked
    four = b"\x04\x01\x22\x3d\x00\x00\x00\xffada\x00desk.example\x00"
    assert run_tunnel("socks4a", [b"\x00\x5a" + bytes(6)], username="ada", password="") == [four]


@pytest.mark.parametrize(
    ("scheme", "answers", "said", "retryable"),
    [
        ("http", [b"HTTP/1.1 502 Bad Gateway\r\n\r\n"], "Bad Gateway .HTTP 502", True),
        ("http", [b"HTTP/1.1 403 \r\n\r\n"], "it refuses .HTTP 403", False),
        ("http", [b"HTTP/1.1 200 OK\r\n\r\n", b"x"], None, False),
        ("http", [b"HTTP/1.1 200"], "it hung up", True),
        ("http", [b"HTTP/1.1 200 OK\r\nVi"], "it hung up", True),
        ("http", [b"HTTP/1.1 502\r\n\r\n"], "it refuses .HTTP 502", True),
        ("http", [b"HTTP/1", b".1 503 Not now\n", b"\n"], "Not now .HTTP 503", True),
        ("http", [b"HTTP/1.1 502 Bad Gateway\r\nVi"], "Bad Gateway .HTTP 502", True),
        ("http", [b"HTTP/1.1 502 Bad Gateway\r\n" + b"a: b\r\n" * 1000], "Bad Gateway .HTTP 502", True),
        ("http", [b"HTTP/1.1 103 X\r\n\r", b"\nHTTP/1.1 504 Time-out\r\n\r\n"], "Time-out .HTTP 504", True),
        ("http", [b"HTTP/1.1 407\r\n\r\n"], "it asks for a name and a password", False),
        ("http", [b"220 mail.example\r\n"], "it does not speak HTTP", False),
        ("socks5h", [b"\x05\xff"], "it asks for a name and a password", False),
        ("socks5h", [b"\x05\x00", b"\x05\x02"], "it does not allow that", False),
        ("socks5h", [b"\x05\x00", b"\x05\x05"], "the server refuses the connection", True),
        ("socks5h", [b"\x05\x00", b"\x05\x77"], "it refuses .119", False),
        ("socks5h", [b"\x05\x00", b"\x05\x00\x00\x07\x00"], "it does not speak SOCKS5", False),
        ("socks5h", [b"\x04\x00"], "it does not speak SOCKS5", False),
        ("socks5h", [b"\x05\x42"], "it does not speak SOCKS5", False),
        ("socks5h", [b"\x05"], "it hung up", True),
        ("socks4a", [b"\x00\x5b" + bytes(6)], "it refuses, or cannot reach the server", True),
        ("socks4a", [b"\x00\x5d" + bytes(6)], "it refuses this user", False),
        ("socks4a", [b"\x04" * 8], "it does not speak SOCKS4", False),
    ],
)
def test_what_proxies_refuse(scheme: str, answers: list[bytes], said: str | None, retryable: bool) -> None:
    if said is None:
        tunnel = tunnel_through(Proxy(scheme, host_of("proxy.example"), 1), "desk.example", 8765)
        next(tunnel)
        with pytest.raises(ProxyRefused, match="it sends data behind its answer"):
            tunnel.send(b"".join(answers))
        return
    with pytest.raises(ProxyRefused, match=said) as caught:
        run_tunnel(scheme, answers)
    assert caught.value.retryable is retryable


def test_names_and_addresses_for_socks() -> None:
    four, six = Address(socket.AF_INET, ("192.0.2.1", 1)), Address(socket.AF_INET6, ("2001:db8::1", 1, 0, 0))
    assert choose_address([six, four], Proxy("socks5", host_of("p"), 1)) == "2001:db8::1"
    assert choose_address([six, four], Proxy("socks4", host_of("p"), 1)) == "192.0.2.1"
    with pytest.raises(ProxyRefused, match="255 bytes"):
        run_tunnel("socks5h", [], "x" * 256)
