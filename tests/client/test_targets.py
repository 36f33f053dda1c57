"""Where a client connects, and with which token."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from rpcclient.errors import ConnectFailed
from rpcclient.targets import find_target
from rpcwire import locations


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, so that no server of the machine is found."""
    monkeypatch.setattr(locations, "state_dir", lambda: tmp_path)
    monkeypatch.setattr(locations, "token_file", lambda: tmp_path / "token")
    monkeypatch.setattr(locations, "socket_file", lambda: tmp_path / "s.sock")
    return tmp_path


def write(file: Path, text: str) -> None:
    """Write a token, which nobody else may read."""
    file.touch(mode=0o600)
    file.write_text(text)


def test_the_local_server(home: Path) -> None:
    found = find_target(environ={})
    assert (found.url, found.token, found.websocket_uri) == ("ws://127.0.0.1:8765", None, "ws://127.0.0.1:8765/")
    write(home / "token", "abc\nsecond line\n")
    assert find_target(environ={}).token == "abc"
    (home / "s.sock").touch()
    found = find_target(environ={})
    assert (found.unix_path, found.token, found.websocket_uri) == (str(home / "s.sock"), None, "ws://localhost/")
    assert find_target("unix://", environ={}).unix_path == str(home / "s.sock")


def test_the_local_token_goes_to_this_machine_only(home: Path) -> None:
    write(home / "token", "abc")
    assert find_target("ws://127.0.0.1:1", environ={}).token == "abc"
    assert find_target("ws://localhost", environ={}).token == "abc"
    assert find_target("ws://[::1]:5", environ={}).token == "abc"
    assert find_target("ws://example.org", environ={}).token is None
    assert find_target("ws://127.example.org", environ={}).token is None


def test_the_environment(home: Path) -> None:
    file = home / "other"
    write(file, "from-file\n")
    environ = {"RPC_URL": "ws://example.org:9", "RPC_TOKEN": "from-env", "RPC_TOKEN_FILE": str(file)}
    found = find_target(environ=environ)
    assert (found.host.name, found.port, found.token) == ("example.org", 9, "from-env")
    assert find_target(environ={**environ, "RPC_TOKEN": ""}).token == "from-file"
    assert find_target("ws://other.org", environ=environ).host.name == "other.org"
    assert find_target(token="mine", environ=environ).token == "mine"
    assert find_target(token_file=file, environ=environ).token == "from-file"


def test_tls_and_ports() -> None:
    found = find_target("wss://example.org", environ={})
    assert isinstance(found.tls, ssl.SSLContext)
    assert (found.port, found.websocket_uri) == (443, "wss://example.org:443/")
    assert find_target("ws://example.org", environ={}).port == 80
    assert find_target("ws://example.org:0", environ={}).port == 0
    assert find_target("ws://[::1]:5", environ={}).websocket_uri == "ws://[::1]:5/"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.2",
        "127.1",
        "0x7f.1",
        "2130706433",
        "0.0.0.0",
        "LOCALHOST",
        "localhost.",
        "desk.localhost",
        "127.0.0.1.",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::1%251]",
        "[::]",
        "１２７.0.0.1",
    ],
)
def test_other_spellings_of_this_machine(home: Path, host: str) -> None:
    write(home / "token", "abc")
    found = find_target(f"ws://{host}:5", environ={})
    assert (found.token, found.host.is_loopback) == ("abc", True)
    assert find_target("ws://LOCALHOST.:5", environ={}).websocket_uri == "ws://localhost:5/"


@pytest.mark.parametrize(
    "host",
    [
        "128.1",
        "127.example.org",
        "localhost.example.org",
        "notlocalhost",
        "1.0.0.127",
        "999.0.0.1",
        "[::2]",
        "127.0.0.0.1",
        "[::ffff:10.0.0.1]",
        "[fe80::1%25lo]",
        "[64:ff9b::7f00:1]",
    ],
)
def test_what_only_looks_like_this_machine(home: Path, host: str) -> None:
    write(home / "token", "abc")
    found = find_target(f"ws://{host}:5", environ={})
    assert (found.token, found.host.is_loopback) == (None, False)


@pytest.mark.parametrize(
    ("written", "address", "uri"),
    [
        ("[fe80::1%25eth0]", "fe80::1%eth0", "ws://[fe80::1]:5/"),
        ("[FE80::1%25Eth0]", "fe80::1%Eth0", "ws://[fe80::1]:5/"),
        ("[fe80::1%eth0]", "fe80::1%eth0", "ws://[fe80::1]:5/"),
        ("127.1", "127.0.0.1", "ws://127.0.0.1:5/"),
        ("Example.org.", "example.org.", "ws://example.org:5/"),
        ("bücher.example", "xn--bcher-kva.example", "ws://xn--bcher-kva.example:5/"),
    ],
)
def test_a_zone_and_a_dot_stay_here(written: str, address: str, uri: str) -> None:
    """RFC 6874, section 4: other machines know nothing of the zone."""
    found = find_target(f"ws://{written}:5", environ={})
    assert (found.host.address, found.websocket_uri) == (address, uri)


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("", "/"),
        ("/", "/"),
        ("/rpc", "/rpc"),
        ("/rpc/", "/rpc/"),
        ("/a%20b/é x", "/a%20b/%C3%A9%20x"),
        ("/a;b=c:d@e", "/a;b=c:d@e"),
    ],
)
def test_a_prefix(path: str, sent: str) -> None:
    assert find_target(f"wss://example.org{path}", environ={}).websocket_uri == f"wss://example.org:443{sent}"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ws://[fe80::1%25]:5", "zone"),
        ("ws://[fe80::1%25a b]:5", "zone"),
        ("ws://é..x", "é"),
        ("http://example.org", "ws://host:port"),
        ("example.org:80", "ws://host:port"),
        ("ws://", "ws://host:port"),
        ("ws://example.org:99999", "Port out of range"),
        ("ws://example.org:x", "url"),
        ("ws://[::1", "url"),
        ("ws://example.org/path#part", "leave out"),
        ("ws://example.org/?token=x", "leave out"),
        ("ws://user:secret@example.org", "token"),
    ],
)
def test_malformed_urls(url: str, said: str) -> None:
    with pytest.raises(ConnectFailed, match=said) as caught:
        find_target(url, environ={})
    assert caught.value.retryable is False
    assert caught.value.executed == "no"
    assert "secret" not in str(caught.value)


def test_files_that_cannot_be_read(home: Path) -> None:
    empty = home / "empty"
    empty.touch(mode=0o600)
    for file, said in ((home / "missing", "No such file"), (home, "directory"), (empty, "empty"), ("a\0b", "null")):
        with pytest.raises(ConnectFailed, match=said):
            find_target("ws://x", token_file=file, environ={})
    with pytest.raises(ConnectFailed, match="missing"):
        find_target("ws://x", environ={"RPC_TOKEN_FILE": str(home / "missing")})
    with pytest.raises(ConnectFailed, match="ca_file"):
        find_target("wss://x", ca_file=home / "missing", environ={})
    with pytest.raises(ConnectFailed, match=r"ca_file: \S*/empty: this file holds no certificate in PEM"):
        find_target("wss://x", ca_file=empty, environ={})


@pytest.mark.parametrize("token", ["with space", "line\nbreak", "é", "\x7f"])
def test_tokens_that_are_none(token: str) -> None:
    with pytest.raises(ConnectFailed, match="token") as caught:
        find_target("ws://x", token=token, environ={})
    assert token not in str(caught.value)
