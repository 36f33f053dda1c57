"""Servers for the tests of the clients: one in a thread, one as a process that can be killed, and one that plays a
script over a raw socket."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.frames import DATA_OPCODES, Frame
from websockets.http11 import Request
from websockets.server import ServerProtocol

from rpcclient import Client
from rpcserver import Context, Service, method
from rpcserver.config import ServerConfig
from rpcserver.server import Server
from rpcwire.aio.peer import Pending
from rpcwire.aio.streams import StreamReader
from rpcwire.context import Caller
from rpcwire.values.dynamic import load_plain

from .callers import by_asyncio, by_sync, by_uvloop

LIMIT_S = 60.0
TOKEN = "client-tests-" + "0" * 32


class Desk(Service):
    """What the tests of the clients call."""

    def __init__(self) -> None:
        super().__init__()
        self.began = threading.Event()
        self.ended = threading.Event()
        self.seen: list[str] = []
        self.callers: dict[str, Caller] = {}

    @method(kind="read")
    async def add(self, a: int, b: int = 10) -> int:
        """Add two numbers."""
        return a + b

    @method()
    async def wait(self) -> None:
        """Wait until the caller gives up."""
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()

    @method()
    async def sleep(self, seconds: float) -> str:
        """Wait some time."""
        await asyncio.sleep(seconds)
        return "done"

    @method()
    async def note(self, value: str) -> None:
        """Take note."""
        self.seen.append(value)

    @method()
    async def count(self, n: int) -> AsyncIterator[int]:
        """Count."""
        for i in range(n):
            yield i

    @method()
    async def total(self, items: AsyncIterator[int], *, start: int = 0) -> int:
        """Add up."""
        async for item in items:
            start += item
        return start

    @method()
    async def blob(self, size: int) -> bytes:
        """Some bytes."""
        return bytes(size)

    @method()
    async def pieces(self, n: int, size: int) -> AsyncIterator[bytes]:
        """Some bytes, again and again."""
        for _ in range(n):
            yield bytes(size)

    @method(message_bytes=None)
    async def swallow(self, data: bytes) -> int:
        """Take some bytes."""
        return len(data)

    @method()
    async def ask(self, method: str, params: dict[str, Any], ctx: Context) -> Any:
        """Call the caller."""
        return await ctx.caller.call(method, params)

    @method()
    async def enter(self, name: str, ctx: Context) -> None:
        """Be known by a name to other clients."""
        self.callers[name] = ctx.caller

    @method()
    async def ask_another(self, name: str, method: str, params: dict[str, Any]) -> Any:
        """Call another client."""
        return await self.callers[name].call(method, params)

    @method()
    async def asked_items(self, method: str, params: dict[str, Any], ctx: Context) -> AsyncIterator[Any]:
        """What the caller says, as a stream."""
        yield await ctx.caller.call(method, params)

    @method()
    def ask_in_a_thread(self, method: str, params: dict[str, Any], ctx: Context) -> Any:
        """Call the caller, from a plain function."""
        asyncio.run(ctx.caller.notify("nobody.listens"))
        return asyncio.run(ctx.caller.call(method, params))

    @method()
    def ask_items_in_threads(self, method: str, params: dict[str, Any], ctx: Context) -> Iterator[Any]:
        """The same, as a stream."""
        yield asyncio.run(ctx.caller.call(method, params))

    @method()
    def down_by_client(self, url: str, depth: int) -> int:
        """Call oneself over a connection of one's own, from a plain function."""
        if depth == 0:
            return 0
        with Client(url) as client:
            return 1 + int(client.call("desk.down_by_client", [url, depth - 1]))

    @method()
    async def ask_items(self, method: str, ctx: Context) -> list[Any]:
        """Call a method of the caller that answers with a stream."""
        peer = ctx.caller._require_peer()  # type: ignore[attr-defined]
        pending = Pending(peer.loop.create_future(), is_stream=True)
        inbox = await peer.outcome(peer.begin(method, None, timeout_s=LIMIT_S, pending=pending), pending)
        return [item async for item in StreamReader(inbox, lambda raw: load_plain(raw, peer.session.codec))]

    @method()
    async def report(self, times: int, ctx: Context) -> int:
        """Report progress, each time on its own."""
        for number in range(times):
            ctx.progress(number)
            await asyncio.sleep(0)
        return times

    @method()
    async def ask_later(self, method: str, ctx: Context) -> None:
        """Call the caller once this call is answered."""
        asyncio.get_running_loop().call_later(0.01, lambda: asyncio.ensure_future(ctx.caller.call(method)))


class Running:
    """A server whose loop runs in a thread."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.folder = folder
        self.config = ServerConfig(
            state_dir=str(folder), **{"listen": {"port": 0, "unix": str(folder / "s.sock")}, **config}
        )
        self.desk = Desk()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="test-server")
        self.thread.start()
        self.server: Server = self.run(self._start())
        self.tcp, self.unix = self.server.addresses

    async def _start(self) -> Server:
        server = Server(self.config, [self.desk], token=TOKEN)
        await server.start()
        return server

    def run(self, awaitable: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(wait(), self.loop).result(LIMIT_S)

    def stop(self) -> None:
        if self.thread.is_alive():
            self.run(self.server.stop(grace_s=0.2))
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(LIMIT_S)
            self.loop.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts servers with a configuration of their own."""
    started: list[Running] = []

    def begin(**config: Any) -> Running:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Running(folder, **config))
        return started[-1]

    yield begin
    for running in started:
        running.stop()


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("server"))
    yield running
    running.stop()


@pytest.fixture
def running(_shared: Running) -> Running:
    """The server that most tests share."""
    _shared.desk.began.clear()
    _shared.desk.ended.clear()
    return _shared


@pytest.fixture
def token() -> str:
    return TOKEN


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a proxy nor anything else of the environment decides where a test goes."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("RPC_"):
            monkeypatch.delenv(name)


@pytest.fixture(params=[by_sync, by_asyncio, by_uvloop], ids=["sync", "asyncio", "uvloop"])
def call(request: pytest.FixtureRequest) -> Callable[..., int]:
    """Makes a call, with the arguments of a client: each kind of client in turn."""
    found: Callable[..., int] = request.param
    return found


PLUGIN = """
import asyncio
from collections.abc import AsyncIterator
from rpcserver import Service, method

class Desk(Service):
    "What the tests call."

    @method(kind="read")
    async def add(self, a: int, b: int = 10) -> int:
        "Add two numbers."
        return a + b

    @method()
    async def wait(self) -> None:
        "Wait until the caller gives up."
        print("desk began", flush=True)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            print("desk cancelled", flush=True)
            raise

    @method(kind="read")
    async def stall(self) -> AsyncIterator[int]:
        "A stream whose first item never comes."
        print("desk began", flush=True)
        await asyncio.Event().wait()
        yield 1
"""


class Process:
    """A server process, at an address that stays when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plugin = folder / "desk_plugin.py"
        self.plugin.write_text(PLUGIN)
        self.token_file = folder / "token"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        environment = {**os.environ, "RPCSERVER_STATE_DIR": str(self.folder)}
        environment["RPCSERVER_PLUGINS__DISABLED"] = '["programs", "database", "hardware"]'
        command = [sys.executable, "-m", "rpcserver", "serve", "--port", str(self.port), "--unix", "none"]
        command += ["--plugin", str(self.plugin), "--token-file", str(self.token_file), "--log-level", "WARNING"]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.expect("rpcserver: listening")

    def expect(self, beginning: str) -> None:
        """Wait for a line on the server's standard output."""
        assert self.process is not None
        assert self.process.stdout is not None
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            line = pool.submit(self.process.stdout.readline).result(LIMIT_S)
        assert line.startswith(beginning), line

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(LIMIT_S)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    yield process
    process.kill()


class Script:
    """A connection of a client to a server that does what the test says."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.ws = ServerProtocol(select_subprotocol=lambda _, offered: offered[0] if offered else None)
        self.frames: list[bytes] = []

    def handshake(self, headers: dict[str, str] | None = None) -> Request:
        while not (events := self.ws.events_received()):
            self.ws.receive_data(self.sock.recv(65536))
        request = events[0]
        assert isinstance(request, Request)
        response = self.ws.accept(request)
        for name, value in (headers or {}).items():
            response.headers[name] = value
        self.ws.send_response(response)
        self.flush()
        return request

    def flush(self) -> None:
        self.sock.sendall(b"".join(self.ws.data_to_send()))

    def receive(self) -> bytes:
        """The next message of the client."""
        while not self.frames:
            data = self.sock.recv(65536)
            assert data, "the client has closed the connection"
            self.ws.receive_data(data)
            events = self.ws.events_received()
            self.frames += [bytes(e.data) for e in events if isinstance(e, Frame) and e.opcode in DATA_OPCODES]
        return self.frames.pop(0)

    def send(self, message: bytes | str) -> None:
        if isinstance(message, str):
            self.ws.send_text(message.encode())
        else:
            self.ws.send_binary(message)
        self.flush()

    def wait_closed(self) -> int | None:
        """Wait for the client to close; returns the close code."""
        while self.ws.close_rcvd is None:
            data = self.sock.recv(65536)
            if not data:
                return None
            self.ws.receive_data(data)
            self.ws.events_received()
            self.flush()
        return self.ws.close_rcvd.code


@pytest.fixture
def script() -> type[Script]:
    """What a test makes of a socket to play a server's part on it."""
    return Script


@pytest.fixture
def scripted() -> Iterator[Callable[..., str]]:
    """Starts a server that gives each connection to a function of the test; returns its URL."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        listeners: list[socket.socket] = []
        futures: list[concurrent.futures.Future[None]] = []

        def serve(*scripts: Callable[[Script], None]) -> str:
            listener = socket.create_server(("127.0.0.1", 0))
            listeners.append(listener)

            def accept() -> None:
                for script in scripts:
                    sock, _ = listener.accept()
                    sock.settimeout(LIMIT_S)
                    with sock:
                        script(Script(sock))

            futures.append(pool.submit(accept))
            return f"ws://127.0.0.1:{listener.getsockname()[1]}"

        yield serve
        try:
            for future in futures:
                future.result(LIMIT_S)
        finally:
            for listener in listeners:
                listener.close()


@pytest.fixture
def until() -> Callable[..., None]:
    """Waits for what no event tells."""

    def wait(condition: Callable[[], object], limit_s: float = LIMIT_S) -> None:
        end = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < end, "it did not happen in time"
            threading.Event().wait(0.005)

    return wait
