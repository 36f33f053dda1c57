"""A real server in the test's own event loop, and tools that speak to it: politely, or down to single bytes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import grp
import json
import os
import pwd
import socket
import struct
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from ssl import SSLContext
from typing import Any, NoReturn

import pytest
import trustme
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from rpcserver import Context, Service, ServiceError, method
from rpcserver.config import ServerConfig
from rpcserver.server import Server

TOKEN = "a-token-for-the-tests"
SECONDS = 10.0
"""How long any one thing may take here."""


SEEDS = pytest.StashKey[list[str]]()
"""The seeds of tests that draw random numbers, as a person writes them to repeat a run."""


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the seeds."""
    for seed in config.stash.get(SEEDS, []):
        terminalreporter.write_line(seed)


class Refused(ServiceError):
    """It does not want to."""

    why: str


class Calc(Service):
    """Sums and such."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []
        self.release = asyncio.Event()

    @method(kind="read")
    async def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @method()
    async def wait(self, ctx: Context) -> str:
        """Wait until released, or cancelled."""
        self.log.append("started")
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        finally:
            self.log.append(f"ended, {ctx.method}")
        return "released"

    @method()
    async def count(self, n: int, size: int = 0) -> AsyncIterator[str]:
        """Count, with ballast."""
        try:
            for i in range(n):
                yield f"{i}" + "x" * size
        finally:
            self.log.append("count ended")

    @method()
    async def total(self, items: AsyncIterator[int], ctx: Context) -> int:
        """Add up a stream."""
        total = 0
        async for item in items:
            total += item
            ctx.progress(total, message="adding")
        return total

    @method(message_bytes=None)
    async def echo(self, text: str) -> str:
        """Say it again."""
        return text

    @method()
    async def boom(self) -> None:
        """Fail."""
        raise ValueError("secret")

    @method(errors=(Refused,))
    async def refuse(self) -> None:
        """Fail as declared."""
        raise Refused("no", why="because")


class Raw:
    """A socket, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self.reader.read()
        except ConnectionResetError:
            return b""

    async def head(self) -> bytes:
        async with asyncio.timeout(SECONDS):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def frame(self) -> tuple[int, bytes]:
        """One WebSocket frame of the server: opcode and payload."""
        async with asyncio.timeout(SECONDS):
            first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack(">H", await self.reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", await self.reader.readexactly(8))
            return first & 0x0F, await self.reader.readexactly(size)

    async def close_code(self) -> int:
        """The code of the close frame that comes, whatever comes before."""
        while True:
            opcode, data = await self.frame()
            if opcode == 8:
                return int.from_bytes(data[:2], "big")

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(Exception):
            await self.writer.wait_closed()


def frame(opcode: int, data: bytes, *, fin: bool = True, masked: bool = True, rsv: int = 0) -> bytes:
    """A WebSocket frame as a client sends it (RFC 6455, section 5.2), or as it must not."""
    bit = 0x80 if masked else 0
    size = len(data)
    head = bytes((0x80 * fin | rsv | opcode,))
    if size < 126:
        head += bytes((bit | size,))
    elif size < 65536:
        head += bytes((bit | 126,)) + struct.pack(">H", size)
    else:
        head += bytes((bit | 127,)) + struct.pack(">Q", size)
    return head + (b"\0\0\0\0" if masked else b"") + data


class Tools:
    """What the tests of this folder share."""

    TOKEN = TOKEN
    SECONDS = SECONDS
    Calc = Calc
    Refused = Refused
    frame = staticmethod(frame)

    def __init__(self, folder: Path, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.folder = folder
        self.new_loop = new_loop
        self.raws: list[Raw] = []

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """As asyncio.run, on the event loop of this test."""
        with asyncio.Runner(loop_factory=self.new_loop) as runner:
            runner.run(main)

    def config(self, **sections: Any) -> ServerConfig:
        listen = {"port": 0, "unix": "none", **sections.pop("listen", {})}
        return ServerConfig.model_validate({"state_dir": str(self.folder), "grace_s": 0, "listen": listen, **sections})

    @asynccontextmanager
    async def serve(self, *services: Service[Any], **sections: Any) -> AsyncIterator[Server]:
        server = Server(self.config(**sections), services or (Calc(),), token=TOKEN)
        await server.start()
        try:
            yield server
        finally:
            for raw in self.raws:
                raw.writer.transport.abort()
            self.raws.clear()
            await server.stop(grace_s=0)

    @staticmethod
    def port(server: Server) -> int:
        """The TCP port; 0 where there is none."""
        sock = server.door.listeners[0].sock
        return 0 if sock.family == socket.AF_UNIX else int(sock.getsockname()[1])

    @asynccontextmanager
    async def connect(
        self, server: Server, subprotocol: str | None = None, *, token: str | None = TOKEN, **options: Any
    ) -> AsyncIterator[ClientConnection]:
        """A WebSocket of the plain websockets library."""
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        offered = [subprotocol] if subprotocol is not None else None
        async with connect(
            server.addresses[0],
            additional_headers={**headers, **options.pop("headers", {})},
            subprotocols=offered,  # type: ignore[arg-type]
            proxy=None,
            **options,
        ) as connection:
            yield connection

    @staticmethod
    async def call(connection: ClientConnection, method: str, params: Any = None, call_id: Any = 1, **more: Any) -> Any:
        """One call in JSON, and its answer."""
        await connection.send(Tools.request(method, params, call_id, **more))
        async with asyncio.timeout(SECONDS):
            while True:
                for line in str(await connection.recv(decode=True)).splitlines():  # A frame may hold several.
                    answer = json.loads(line)
                    if isinstance(answer, dict) and answer.get("id") == call_id and "method" not in answer:
                        return answer

    @staticmethod
    def request(method: str, params: Any = None, call_id: Any = 1, **more: Any) -> str:
        message = {"jsonrpc": "2.0", "method": method, **more}
        if call_id is not None:
            message["id"] = call_id
        if params is not None:
            message["params"] = params
        return json.dumps(message)

    def raw_of(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Raw:
        self.raws.append(Raw(reader, writer))
        return self.raws[-1]

    async def raw(
        self,
        server: Server,
        source: str = "127.0.0.1",
        *,
        ssl: SSLContext | None = None,
        receive_buffer: int | None = None,
    ) -> Raw:
        """A socket from one of this machine's addresses, with TLS where it is to have that."""
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        sock.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port(server)))
        secure: dict[str, Any] = {} if ssl is None else {"ssl": ssl, "server_hostname": "localhost"}
        return self.raw_of(*await asyncio.open_connection(sock=sock, limit=receive_buffer or 65536, **secure))

    async def http(self, server: Server, request: bytes | str) -> tuple[int, dict[str, str], bytes]:
        """A whole HTTP request, and its answer: status, headers, body. Status 0 where nothing came."""
        raw = await self.raw(server)
        await raw.send(request.encode() if isinstance(request, str) else request)
        data = await raw.rest()
        await raw.close()
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return (int(first.split()[1]) if first.startswith("HTTP/1.1 ") else 0), headers, body

    def upgrade(self, server: Server, **headers: str | None) -> bytes:
        """A WebSocket handshake. An underscore stands for a hyphen; None leaves a header out."""
        fields: dict[str, str | None] = {
            "Host": f"127.0.0.1:{self.port(server)}",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Authorization": f"Bearer {TOKEN}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
        return "\r\n".join(["GET / HTTP/1.1", *lines, "", ""]).encode()

    async def websocket(self, server: Server, **headers: str | None) -> Raw:
        """A raw socket after a successful handshake."""
        raw = await self.raw(server)
        await raw.send(self.upgrade(server, **headers))
        head = await raw.head()
        assert head.startswith(b"HTTP/1.1 101 "), head
        return raw

    @staticmethod
    async def until(condition: Any, seconds: float = SECONDS) -> None:
        """Wait until something has become true; the loop goes on meanwhile."""
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.002)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def tools(tmp_path: Path, request: pytest.FixtureRequest) -> Tools:
    """What the tests of this folder share, on Python's own event loop and on the one that is shipped."""
    return Tools(tmp_path, request.param)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who issues certificates here."""
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA, tmp_path: Path) -> dict[str, str]:
    """A certificate for this machine, as the settings of a server."""
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificate.private_key_pem.write_to_path(key)
    key.chmod(0o600)
    for part in certificate.cert_chain_pems:
        part.write_to_path(chain, append=True)
    return {"certificate_file": str(chain), "key_file": str(key)}


@pytest.fixture
def short_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose paths fit into a socket address."""
    with tempfile.TemporaryDirectory(prefix="rpc") as folder:
        yield Path(folder)


@pytest.fixture
def connect_as(missing: Callable[[str], NoReturn]) -> Callable[..., socket.socket]:
    """Connects to a Unix socket as another user, in another process, and hands the socket over."""
    if os.geteuid() != 0:
        missing("only root can connect as another user")

    def connect_as(path: Path, user: str, groups: Sequence[str] = ()) -> socket.socket:
        account = pwd.getpwnam(user)
        gids = [grp.getgrnam(group).gr_gid for group in groups]
        ours, theirs = socket.socketpair()
        if (child := os.fork()) == 0:
            try:
                os.setgroups(gids)
                os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
                os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
                sock = socket.socket(socket.AF_UNIX)
                sock.connect(str(path))
                socket.send_fds(theirs, [b"."], [sock.fileno()])
            except PermissionError:
                theirs.send(b"!")
            finally:
                os._exit(0)
        with ours, theirs:
            data, fds, *_ = socket.recv_fds(ours, 1, 1)
            os.waitpid(child, 0)
        if data == b"!":
            raise PermissionError(path)
        return socket.socket(fileno=fds[0])

    return connect_as


@pytest.fixture
def place(short_folder: Path) -> Path:
    """A folder that everybody may enter."""
    short_folder.chmod(0o711)
    return short_folder
