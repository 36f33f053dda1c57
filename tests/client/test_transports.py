"""A further transport is one class, found by its entry point on both sides: here abstract Unix sockets, which have a name
and no file (unix(7)), and TCP under another name, for which the kernel tells nothing of its peer."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

import pytest

from rpcclient import AsyncClient, Client
from rpcclient.errors import ConnectFailed, Unauthenticated
from rpcserver.config import ConfigError, ServerConfig
from rpcserver.server import Server
from rpcwire import transports as transports_module
from rpcwire.transports import Transport, UnusableTransport, schemes, transport_for

from .callers import by_asyncio, by_sync, by_uvloop
from .conftest import TOKEN, Running


class Abstract(Transport):
    """``abstract://NAME``."""

    identifies_peers = True

    def connect(self, url: str, timeout_s: float) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout_s)
        try:
            sock.connect(self._address(url))
        except BaseException:
            sock.close()
            raise
        return sock

    def listen(self, url: str) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(self._address(url))
        except BaseException:
            sock.close()
            raise
        return sock

    @staticmethod
    def _address(url: str) -> bytes:
        name = urlsplit(url).netloc
        if not name:
            raise ValueError("write abstract://NAME")
        return b"\0" + name.encode()


class Loop(Transport):
    """``loop://PORT``: a port of this machine."""

    def connect(self, url: str, timeout_s: float) -> socket.socket:
        return socket.create_connection(("127.0.0.1", int(urlsplit(url).netloc)), timeout_s)

    def listen(self, url: str) -> socket.socket:
        sock = socket.socket()
        try:
            sock.bind(("127.0.0.1", int(urlsplit(url).netloc)))
        except BaseException:
            sock.close()
            raise
        return sock


class Relayed(Abstract):
    """``relayed://NAME``: as abstract, and does not say who is there."""

    identifies_peers = False


class Odd(Transport):
    """``odd://WHAT``: makes what is no stream socket."""

    def make(self, url: str) -> Any:
        what = urlsplit(url).netloc
        if what == "raise":
            raise RuntimeError("out of order")
        if what == "tls":
            return ssl.create_default_context().wrap_socket(socket.socket(), server_hostname="x")
        if what == "datagrams":
            return socket.socket(type=socket.SOCK_DGRAM)
        return None if what == "none" else "socket"

    def connect(self, url: str, timeout_s: float) -> socket.socket:
        return cast("socket.socket", self.make(url))

    def listen(self, url: str) -> socket.socket:
        return cast("socket.socket", self.make(url))


class Late(Transport):
    """Connects when the test says so."""

    called, may_return = threading.Event(), threading.Event()
    made: ClassVar[socket.socket]

    def connect(self, url: str, timeout_s: float) -> socket.socket:
        type(self).made, other = socket.socketpair()
        with other:
            self.called.set()
            assert self.may_return.wait(timeout_s)
        return self.made


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """What is pretended to be installed."""
    classes = {
        "abstract": "Abstract",
        "loop": "Loop",
        "late": "Late",
        "relayed": "Relayed",
        "odd": "Odd",
        "no": "TOKEN",
        "gone": "Nothing",
    }
    points = [EntryPoint(name, f"{__name__}:{cls}", transports_module.GROUP) for name, cls in classes.items()]

    monkeypatch.setattr(transports_module, "_points", lambda: EntryPoints(points))
    return points


@pytest.fixture
def reachable(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts servers that listen on URLs of transports and nowhere else."""
    started: list[Running] = []

    def begin(*urls: str, **config: Any) -> Running:
        started.append(Running(tmp_path, listen={"tcp": False, "unix": "none", "also": urls, **config}))
        return started[-1]

    yield begin
    for running in started:
        running.stop()


def a_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def a_name() -> str:
    return f"abstract://remote-services-{secrets.token_hex(8)}"


@pytest.mark.parametrize("call", [by_sync, by_asyncio, by_uvloop], ids=["sync", "asyncio", "uvloop"])
def test_both_clients_call_over_it(reachable: Any, call: Any) -> None:
    named, numbered = a_name(), f"loop://{a_port()}"
    running = reachable(named, numbered)
    assert running.server.addresses == [named, numbered]
    assert call(named) == 11, "the kernel says who is there"
    assert call(numbered, token=TOKEN) == 11
    with pytest.raises(Unauthenticated):
        call(numbered, token="wrong" * 8)


@pytest.mark.parametrize("number", [0, 1], ids=["abstract", "loop"])
def test_a_lost_connection_is_made_anew_over_it(reachable: Any, until: Any, number: int) -> None:
    running = reachable(a_name(), f"loop://{a_port()}")
    with Client(running.server.addresses[number], token=TOKEN) as client:
        assert client.call("desk.add", [1]) == 11
        for peer in list(running.server.connections.values()):
            running.loop.call_soon_threadsafe(peer.link.abort)
        until(lambda: not client.connected)
        assert client.call("desk.add", [2]) == 12


def test_who_is_there(reachable: Any) -> None:
    """The kernel says so of Unix sockets of a plugin that asks for it; whoever comes otherwise needs the token."""
    running = reachable(a_name(), f"loop://{a_port()}")
    with Client(running.server.addresses[0]) as client:
        known = client.hello().principal
        assert known is not None
        assert (known.name, known.method) == ("owner", "peer")
    with Client(running.server.addresses[1]) as stranger, pytest.raises(Unauthenticated):
        stranger.call("desk.add", [1])


@pytest.mark.parametrize("call", [by_sync, by_asyncio, by_uvloop], ids=["sync", "asyncio", "uvloop"])
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("abstract://nobody-listens-here-{pid}", "Connection refused: is rpcserver running there"),
        ("abstract://", "write abstract://NAME"),
        ("no://x", "no: .*: TypeError"),
        ("gone://x", "gone: .*: AttributeError"),
        ("other://x", r"write ws://host:port, wss://host:port or unix:///path, or abstract://…"),
    ],
)
def test_urls_that_lead_nowhere(call: Any, url: str, words: str) -> None:
    with pytest.raises(ConnectFailed, match=words):
        call(url.format(pid=os.getpid()), token="x")


def test_a_socket_that_comes_too_late_is_closed() -> None:
    async def main() -> None:
        connecting = asyncio.ensure_future(AsyncClient("late://x", token="x").connect())
        assert await asyncio.to_thread(Late.called.wait, 30)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        Late.may_return.set()

    asyncio.run(main())
    assert Late.made.fileno() == -1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (
            "other://x",
            r"listen\.also: other://x: no transport 'other' is installed; there are: abstract, gone, late, loop, no, odd, relayed",
        ),
        ("abstract://", r"listen\.also: abstract://: write abstract://NAME"),
        ("no://x", r"listen\.also: no://x: no: .*TypeError"),
        ("loop://{taken}", r"listen\.also: loop://\d+: Address already in use"),
    ],
)
def test_where_the_server_cannot_listen(tmp_path: Path, url: str, words: str) -> None:
    async def main(taken: int) -> None:
        where: Any = {"tcp": False, "unix": "none", "also": (url.format(taken=taken),)}
        await Server(ServerConfig(state_dir=str(tmp_path), listen=where), [], token=TOKEN).start()

    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ConfigError, match=words):
        asyncio.run(main(other.getsockname()[1]))


def test_what_is_installed() -> None:
    assert schemes() == ["abstract", "gone", "late", "loop", "no", "odd", "relayed"]
    assert isinstance(transport_for("loop"), Loop)
    assert transport_for("other") is None
    with pytest.raises(UnusableTransport):
        transport_for("gone")


@pytest.mark.parametrize("call", [by_sync, by_asyncio, by_uvloop], ids=["sync", "asyncio", "uvloop"])
def test_a_transport_is_not_trusted_unless_it_says_so(reachable: Any, call: Any) -> None:
    """A process that passes on the bytes of others may be at the other end of its Unix sockets."""
    running = reachable(a_name().replace("abstract", "relayed"), a_name())
    url = running.server.addresses[0]
    with pytest.raises(Unauthenticated):
        call(url)
    assert call(url, token=TOKEN) == 11
    assert call(url.replace("relayed", "RELAYED"), token=TOKEN) == 11


ODD = [
    ("raise", "the transport failed: RuntimeError: out of order"),
    ("none", "the transport returned NoneType: it must return a stream socket"),
    ("text", "the transport returned str: it must return a stream socket"),
    ("datagrams", "the transport returned socket: it must return a stream socket"),
    ("tls", "the transport returned SSLSocket: it must return a stream socket, without TLS"),
]


@pytest.mark.parametrize("call", [by_sync, by_asyncio, by_uvloop], ids=["sync", "asyncio", "uvloop"])
@pytest.mark.parametrize(("what", "words"), ODD)
def test_a_transport_that_makes_no_connection(call: Any, what: str, words: str) -> None:
    with pytest.raises(ConnectFailed, match=f"odd://{what}: {words}") as caught:
        call(f"odd://{what}", token="x")
    assert not caught.value.retryable


@pytest.mark.parametrize(("what", "words"), ODD)
def test_a_transport_that_makes_no_listener(tmp_path: Path, what: str, words: str) -> None:
    where: Any = {"tcp": False, "unix": "none", "also": (f"odd://{what}",)}
    server = Server(ServerConfig(state_dir=str(tmp_path), listen=where), [], token=TOKEN)
    with pytest.raises(ConfigError, match=f"odd://{what}: {words}"):
        asyncio.run(server.start())


def test_the_scheme_of_an_address_may_have_capitals(reachable: Any) -> None:
    running = reachable(a_name().replace("abstract", "Abstract"), a_name())
    assert by_sync(running.server.addresses[0]) == 11
