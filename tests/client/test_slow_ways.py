"""Connections over a slow way: what progresses is not given up, however late the answer to a ping is; what stalls is."""

from __future__ import annotations

import asyncio
import contextlib
import math
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trustme
import uvloop
from serial import SerialException
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
from websockets.frames import Opcode

from rpcclient import AsyncClient, Client, dbapi
from rpcclient.dialects.urls import connect_arguments
from rpcclient.errors import ConnectionLost
from rpcclient.options import ConnectOptions
from rpcclient.pyserial.protocol_rpc import client_of
from rpcwire.gauge import Gauge
from rpcwire.limits import LinkLimits
from rpcwire.liveness import (
    DELIVERY_S,
    HEARTBEAT_BYTES,
    HEARTBEAT_S,
    LEAST_BYTES,
    Farewell,
    Heartbeat,
    Keepalive,
    Look,
    Stall,
    heartbeat_s,
)

_T = TypeVar("_T")
SIZE = 600_000
RATE = 200_000
NOTES = [f"{number} {'x' * 5000}" for number in range(SIZE // 5000)]
GIVEN_UP = r"no answer to a ping within 1\.5 s"
FLAVOURS = ("sync", "asyncio", "uvloop")
PINGS = {"ping_interval_s": 0.5, "ping_timeout_s": 1.5}


def run(flavour: str, work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine on the event loop of this name."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if flavour == "uvloop" else None) as runner:
        return runner.run(work)


class Relay:
    """A way of so many bytes a second to a port. A deep one takes everything at once and passes it on slowly, as
    routers with too much memory do; any other makes the sender wait."""

    def __init__(self, port: int, rate: float, *, deep: bool) -> None:
        self._port, self._rate, self._deep = port, rate, deep
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        self.port: int = self._listener.getsockname()[1]
        self.stalled = threading.Event()
        self._over = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def _run(self, act: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=act, args=args, name="relay")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                self._sockets += [near, far]
                for source, target in ((near, far), (far, near)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    held: queue.Queue[bytes] = queue.Queue(0 if self._deep else 1)
                    self._run(self._take, source, held)
                    self._run(self._give, held, target)

    def _take(self, source: socket.socket, held: queue.Queue[bytes]) -> None:
        data = b"-"
        while data:
            try:
                data = source.recv(4096)
            except OSError:
                data = b""
            held.put(data)

    def _give(self, held: queue.Queue[bytes], target: socket.socket) -> None:
        begun, given = time.monotonic(), 0
        while data := held.get():
            if self.stalled.is_set():
                self._over.wait()
            if not self._over.is_set():
                with contextlib.suppress(OSError):
                    target.sendall(data)
            given += len(data)
            late = begun + given / self._rate - time.monotonic()
            if late > 0:
                self._over.wait(late)
            else:
                begun, given = time.monotonic(), 0
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._over.set()
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(20)


@pytest.fixture
def relay() -> Iterator[Callable[..., Relay]]:
    made: list[Relay] = []

    def make(url: str, rate: float = RATE, *, deep: bool = False) -> Relay:
        made.append(Relay(int(url.rpartition(":")[2]), rate, deep=deep))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def serve(start: Any, tmp_path: Path, token: str) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """Starts a server that pings soon, with TLS or without; gives what a client needs to know of it, too."""

    def begin(*, encrypted: bool = False, pings: Any = PINGS, **config: Any) -> tuple[Any, dict[str, Any]]:
        options: dict[str, Any] = {"token": token, "timeout_s": 60, **PINGS}
        if encrypted:
            authority = trustme.CA()
            files = {"certificate_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")}
            issued = authority.issue_cert("127.0.0.1")
            issued.cert_chain_pems[0].write_to_path(files["certificate_file"])
            issued.private_key_pem.write_to_path(files["key_file"])
            (tmp_path / "key.pem").chmod(0o600)
            authority.cert_pem.write_to_path(tmp_path / "ca.pem")
            config["tls"] = files
            options["ca_file"] = tmp_path / "ca.pem"
        return start(keepalive=pings, **config), options

    return begin


def url_of(running: Any, relay: Relay) -> str:
    return f"{running.tcp.partition(':')[0]}://127.0.0.1:{relay.port}"


def both_ways(flavour: str, url: str, size: int, options: dict[str, Any]) -> tuple[int, bytes]:
    """Send so many bytes, and fetch as many, which are asked for behind those."""

    async def by_async() -> tuple[int, bytes]:
        async with AsyncClient(url, reconnect=False, **options) as client:
            up = client.call("desk.swallow", {"data": bytes(size)})
            return await asyncio.gather(up, client.call("desk.blob", [size], returns=bytes))

    if flavour != "sync":
        return run(flavour, by_async())
    with Client(url, reconnect=False, **options) as client, ThreadPoolExecutor(1) as pool:
        up = pool.submit(client.call, "desk.swallow", {"data": bytes(size)})
        down = client.call("desk.blob", [size], returns=bytes)
        return up.result(), down


@pytest.mark.parametrize(("deep", "encrypted"), [(False, False), (True, True)], ids=["shallow-tcp", "deep-tls"])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_progresses_goes_on(serve: Any, relay: Any, flavour: str, deep: bool, encrypted: bool) -> None:
    """It takes several times as long as a silence may."""
    running, options = serve(encrypted=encrypted)
    taken, given = both_ways(flavour, url_of(running, relay(running.tcp, deep=deep)), SIZE, options)
    assert (taken, len(given)) == (SIZE, SIZE)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_notifications_one_way(serve: Any, relay: Any, flavour: str) -> None:
    """The other side hears many small messages, and has nothing to answer."""
    running, options = serve()
    url = url_of(running, relay(running.tcp, deep=True))
    if flavour == "sync":
        with Client(url, reconnect=False, **options) as client:
            for note in NOTES:
                client.notify("desk.note", [note])
            assert client.call("desk.add", [1, 2]) == 3
    else:

        async def main() -> None:
            async with AsyncClient(url, reconnect=False, **options) as client:
                for note in NOTES:
                    await client.notify("desk.note", [note])
                assert await client.call("desk.add", [1, 2]) == 3

        run(flavour, main())
    assert running.desk.seen == NOTES


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_server_that_takes_nothing_meanwhile(
    serve: Any, relay: Any, flavour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads nothing of a client that takes slowly what it has asked for. That is no reason for the client to go."""
    limits = LinkLimits(**PINGS, stall_s=0.5, high_water_bytes=100_000)
    monkeypatch.setattr(ConnectOptions, "link_limits", property(lambda _: limits))
    running, options = serve()
    url = url_of(running, relay(running.tcp, 3_000_000))
    down, up = 12_000_000, 14_000_000  # More than the kernels take at once.

    def is_held() -> bool:
        return any(peer.link._stall.look_at < math.inf for peer in running.server.connections.values())

    async def main() -> tuple[bytes, int]:
        async with AsyncClient(url, reconnect=False, **options) as client:
            blob = asyncio.ensure_future(client.call("desk.blob", [down], returns=bytes))
            while not is_held():
                await asyncio.sleep(0.01)
            return await asyncio.gather(blob, client.call("desk.swallow", {"data": bytes(up)}))

    if flavour != "sync":
        given, taken = run(flavour, main())
    else:
        with Client(url, reconnect=False, **options) as client, ThreadPoolExecutor(1) as pool:
            blob = pool.submit(client.call, "desk.blob", [down], returns=bytes)
            while not is_held():
                threading.Event().wait(0.01)
            taken, given = client.call("desk.swallow", {"data": bytes(up)}), blob.result()
    assert (len(given), taken) == (down, up)


@pytest.mark.soak
@pytest.mark.parametrize("encrypted", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_fifteen_megabytes_at_170_kb_a_second(serve: Any, relay: Any, flavour: str, encrypted: bool) -> None:
    """One way and then the other, with the pings that both sides have unless they are told otherwise."""
    running, options = serve(encrypted=encrypted, pings={})
    options = {name: value for name, value in options.items() if name not in PINGS} | {"timeout_s": 300}
    url, size = url_of(running, relay(running.tcp, 170_000)), 15_000_000

    taken, given = both_ways(flavour, url, size, options)
    assert (taken, len(given)) == (size, size)


# --- the end of a connection ---------------------------------------------------------------------------------------------


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that wait half a second for the answer to their close frame."""
    limits = LinkLimits(**PINGS, close_timeout_s=0.5)
    monkeypatch.setattr(ConnectOptions, "link_limits", property(lambda _: limits))


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("deep", [False, True], ids=["shallow", "deep"])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_was_sent_arrives_before_the_end(serve: Any, relay: Any, flavour: str, deep: bool, until: Any) -> None:
    """A client that closes with much on its way waits for that, and not for a fixed time."""
    running, options = serve()
    url = url_of(running, relay(running.tcp, deep=deep))
    if flavour == "sync":
        with Client(url, **options) as client:
            for note in NOTES:
                client.notify("desk.note", [note])
    else:

        async def main() -> None:
            async with AsyncClient(url, **options) as client:
                for note in NOTES:
                    await client.notify("desk.note", [note])

        run(flavour, main())
    until(lambda: running.desk.seen == NOTES)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_is_given_up_is_not_waited_for(serve: Any, relay: Any, flavour: str) -> None:
    """A call under way ends with the client: to send the rest of it would take hours here."""
    running, options = serve()
    url = url_of(running, relay(running.tcp, 5000))
    data = {"data": bytes(12_000_000)}
    if flavour == "sync":
        client = Client(url, **options).connect()
        failed: list[BaseException] = []

        def call() -> None:
            try:
                client.call("desk.swallow", data)
            except ConnectionLost as exc:
                failed.append(exc)

        thread = threading.Thread(target=call)
        thread.start()
        while not client._connector.live.is_waiting:  # type: ignore[union-attr]
            threading.Event().wait(0.005)
        client.close()
        thread.join(20)
        assert failed
    else:

        async def main() -> None:
            async with AsyncClient(url, **options) as client:
                task = asyncio.create_task(client.call("desk.swallow", data))
                while not client._connector.live.is_waiting:  # type: ignore[union-attr]
                    await asyncio.sleep(0)
            with pytest.raises(ConnectionLost):
                await task

        run(flavour, main())


def test_a_server_that_stops_lets_answers_arrive(serve: Any, relay: Any) -> None:
    running, options = serve()
    with Client(url_of(running, relay(running.tcp)), reconnect=False, **options) as client:
        sizes: list[int] = []
        thread = threading.Thread(target=lambda: sizes.append(len(client.call("desk.blob", [SIZE], returns=bytes))))
        thread.start()
        while not any(peer.link._count_waiting() > SIZE // 2 for peer in running.server.connections.values()):
            threading.Event().wait(0.005)
        running.run(running.server.stop(grace_s=60, patience_s=0.5))
        thread.join(20)
        assert sizes == [SIZE]


# --- what stalls ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encrypted", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_stalls_is_given_up(serve: Any, relay: Any, flavour: str, encrypted: bool, until: Any) -> None:
    """By both sides, in the middle of much data and in silence."""
    running, options = serve(encrypted=encrypted)
    for busy in (True, False):
        way = relay(running.tcp)
        url = url_of(running, way)
        ask: tuple[str, Any] = ("desk.swallow", {"data": bytes(SIZE * 4)}) if busy else ("desk.wait", None)
        if flavour == "sync":
            with Client(url, reconnect=False, **options) as client:
                client.call("desk.add", [1, 2])
                threading.Timer(0.3, way.stalled.set).start()
                with pytest.raises(ConnectionLost, match=GIVEN_UP):
                    client.call(*ask)
        else:

            async def main() -> None:
                async with AsyncClient(url, reconnect=False, **options) as client:  # noqa: B023 - run in this turn
                    await client.call("desk.add", [1, 2])
                    asyncio.get_running_loop().call_later(0.3, way.stalled.set)  # noqa: B023 - run in this turn
                    with pytest.raises(ConnectionLost, match=GIVEN_UP):
                        await client.call(*ask)  # noqa: B023 - run in this turn

            run(flavour, main())
        until(lambda: not running.server.connections)


# --- the other side says nothing by itself -------------------------------------------------------------------------------


class Mute:
    """A server that is not ours: it reads slowly, up to so many bytes, and says nothing before it has read a message."""

    def __init__(self, script: type[Any], most: int) -> None:
        self._script, self._most = script, most
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        sock, _ = self._listener.accept()
        self._listener.close()
        with sock:
            sock.settimeout(20)
            connection = self._script(sock)
            connection.handshake()
            got, begun, frames = 0, time.monotonic(), []
            while not frames and got < self._most:
                data = sock.recv(4096)
                connection.ws.receive_data(data)
                frames = [event for event in connection.ws.events_received() if event.opcode is Opcode.TEXT]
                got += len(data)
                self.over.wait(max(begun + got / RATE - time.monotonic(), 0.0))
            if frames:
                connection.send('{"jsonrpc":"2.0","id":1,"result":"taken"}')
                connection.wait_closed()
            assert self.over.wait(20)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("to_the_end", [True, False])
def test_output_that_is_taken_is_a_sign_of_life(flavour: str, to_the_end: bool, script: type[Any]) -> None:
    """The other side's acknowledgements, that is, which its kernel sends as it reads."""
    other = Mute(script, SIZE * 2 if to_the_end else SIZE // 3)
    options: dict[str, Any] = {"token": "x", "subprotocol": "rpc.v1.json", "reconnect": False, "timeout_s": 60, **PINGS}
    call: tuple[str, Any] = ("a.b", ["x" * SIZE * (1 if to_the_end else 8)])
    with contextlib.nullcontext() if to_the_end else pytest.raises(ConnectionLost, match=GIVEN_UP):
        if flavour == "sync":
            with Client(other.url, **options) as client:
                assert client.call(*call) == "taken"
        else:

            async def main() -> None:
                async with AsyncClient(other.url, **options) as client:
                    assert await client.call(*call) == "taken"

            run(flavour, main())
    other.over.set()
    other.thread.join(20)
    assert not other.thread.is_alive()


# --- the rules, without sockets ------------------------------------------------------------------------------------------


LIMITS = LinkLimits(ping_interval_s=10, ping_timeout_s=5)


def test_pings_and_answers() -> None:
    keepalive = Keepalive(LIMITS, 0.0)
    assert keepalive.look_at == 10
    keepalive.heard_at = 4.0
    assert keepalive.look(10.0, 0, 0) is Look.WAIT
    assert keepalive.look_at == 14
    assert keepalive.look(14.0, 0, 0) is Look.PING
    assert keepalive.look_at == 19
    assert keepalive.look(18.0, 0, 0) is Look.WAIT
    keepalive.heard_at = 18.5
    assert keepalive.look(19.0, 0, 0) is Look.WAIT
    assert keepalive.look_at == 28.5
    assert keepalive.look(28.5, 0, 0) is Look.PING
    assert keepalive.look(33.5, 0, 0) is Look.DEAD
    assert Keepalive(LinkLimits(ping_interval_s=0), 0.0).look_at == float("inf")


def test_output_that_moves_keeps_a_connection() -> None:
    keepalive = Keepalive(LIMITS, 0.0)
    assert keepalive.look(10.0, 1000, 100_000) is Look.PING
    taken, now = 1000, 10.0
    for _ in range(50):  # As long as it likes.
        assert keepalive.look_at - now <= 1.0
        now, taken = keepalive.look_at, taken + 1
        assert keepalive.look(now, taken, 100_000 - taken) is Look.WAIT
    begun = now
    while (look := keepalive.look(now, taken, 50_000)) is Look.WAIT:
        now = keepalive.look_at
    assert look is Look.DEAD
    assert now == pytest.approx(begun + 5.0)


def test_a_kernel_that_takes_a_ping_is_no_sign_of_life() -> None:
    keepalive = Keepalive(LIMITS, 0.0)
    assert keepalive.look(10.0, 1000, 0) is Look.PING
    assert keepalive.look(15.0, 1002, 0) is Look.DEAD


def test_who_slept_looks_again_before_giving_up() -> None:
    """What has come in meanwhile is read in between."""
    keepalive = Keepalive(LIMITS, 0.0)
    assert keepalive.look(10.0, 0, 0) is Look.PING
    assert keepalive.look(60.0, 0, 0) is Look.WAIT
    assert keepalive.look_at < 61.0
    assert keepalive.look(keepalive.look_at, 0, 0) is Look.DEAD
    keepalive = Keepalive(LIMITS, 0.0)
    assert keepalive.look(10.0, 0, 0) is Look.PING
    assert keepalive.look(60.0, 0, 0) is Look.WAIT
    keepalive.heard_at = 60.05
    assert keepalive.look(keepalive.look_at, 0, 0) is Look.WAIT
    assert keepalive.look_at == 70.05


def test_heartbeats() -> None:
    heartbeat = Heartbeat(0.25)
    assert not heartbeat.note_input(0.0, HEARTBEAT_BYTES * 10)
    assert not heartbeat.note_input(0.2, 1)
    assert heartbeat.note_input(0.25, 1)
    heartbeat.note_output()
    assert not heartbeat.note_input(9.0, 139)  # The other side's own: the two do not go on answering each other.
    assert not heartbeat.note_input(10.0, 139)
    assert heartbeat.note_input(10.0, HEARTBEAT_BYTES)
    assert heartbeat_s(plain=False) == HEARTBEAT_S < heartbeat_s(plain=True)


def test_stalls() -> None:
    stall = Stall(2.0)
    assert stall.look_at == float("inf")
    stall.begin(1.0, 500)
    assert stall.look_at == 3.0
    assert not stall.look(3.0, 500 + LEAST_BYTES)
    assert stall.look_at == 5.0
    assert stall.look(5.0, 500 + LEAST_BYTES)
    assert stall.look(5.0, 500 + LEAST_BYTES, 2.9)
    assert not stall.look(5.0, 500 + LEAST_BYTES, 3.1)
    stall.end()
    assert stall.look_at == float("inf")


def test_farewells() -> None:
    assert Farewell(0.0, 0, 0, 5.0, patient=True).look(5.0, 0, 4.9)
    assert Farewell(0.0, 0, 10**6, 5.0, patient=False).look(5.0, 10**5, 4.9)
    farewell = Farewell(0.0, 0, 10**6, 5.0, patient=True)
    assert not farewell.look(5.0, 10**5, 0.0)
    assert not farewell.look(farewell.look_at, 10**6, 0.0)
    assert farewell.look_at == 15.0
    assert not farewell.look(15.0, 10**6, 14.0)  # It still says that much comes in.
    assert farewell.look(10.0 + DELIVERY_S, 10**6, 10.0 + DELIVERY_S)
    assert farewell.look(20.0, 10**6, 14.0)
    farewell = Farewell(0.0, 0, 10**6, 5.0, patient=True, hears=False)
    assert not farewell.look(5.0, 10**5, 4.9)
    assert farewell.look(10.0, 10**5, 9.9)


def test_a_gauge_of_a_closed_socket() -> None:
    one, two = socket.socketpair()
    with two:
        gauge = Gauge(one)
        one.send(b"x" * 1000)
        assert gauge.count_waiting(7) >= 1007
        assert gauge.count_received(1000, 0) <= 0
        assert len(two.recv(2000)) == 1000
        assert gauge.count_waiting(7) == 7
        assert gauge.count_received(1000, 0) == 1000
        one.close()
        assert gauge.count_waiting(7) == 7
        assert gauge.count_received(2000, 0) == 1000
    assert Gauge(None).count_received(10, 3) == 7
    assert Gauge(None).count_waiting(3) == 3


@pytest.mark.parametrize("wrong", [{"ping_interval_s": -1}, {"ping_interval_s": float("nan")}, {"ping_timeout_s": 0}])
def test_times_that_are_none(wrong: dict[str, float]) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            kind("ws://127.0.0.1:1", token="x", **wrong)  # type: ignore[arg-type]


def by_command(address: str) -> str:
    command = [sys.executable, "-m", "rpcclient", "--url", f"ws://{address}"]
    command += ["--ping-interval", "0.2", "--ping-timeout", "0.3", "call", "a.b"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    return done.stderr


def by_database_url(address: str) -> str:
    url = make_url(f"sqlite+rpc://{address}/main?ping_interval_s=0.2&ping_timeout_s=0.3")
    with pytest.raises(dbapi.OperationalError) as caught:
        dbapi.connect(**connect_arguments(url))
    return str(caught.value)


def by_serial_url(address: str) -> str:
    client, _ = client_of(f"rpc://{address}/dev/ttyX?ping_interval_s=0.2&ping_timeout_s=0.3")
    with client, pytest.raises(ConnectionLost) as caught:
        client.call("a.b")
    return str(caught.value)


@pytest.mark.parametrize("ask", [by_command, by_database_url, by_serial_url])
def test_where_pings_are_set(ask: Callable[[str], str], scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that reads, and neither answers nor acknowledges a ping."""
    monkeypatch.setenv("RPC_TOKEN", "x")

    def script(connection: Any) -> None:
        connection.handshake()
        while connection.sock.recv(65536):
            pass

    assert "no answer to a ping within 0.3 s" in ask(scripted(script).removeprefix("ws://"))


def test_pings_that_are_none_in_a_url() -> None:
    with pytest.raises(ArgumentError, match="ping_timeout_s: 'soon' is not a number of seconds"):
        connect_arguments(make_url("sqlite+rpc://localhost/main?ping_timeout_s=soon"))
    for wrong, said in (("soon", "is not a number of seconds"), ("0", "must be a number of seconds above 0")):
        with pytest.raises(SerialException, match=f"ping_timeout_s: .*{said}"):
            client_of(f"rpc://localhost/dev/ttyX?ping_timeout_s={wrong}")
