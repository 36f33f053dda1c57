"""What is wrong with a target is said in one error of ours, by both clients alike."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rpcclient import AsyncClient, Client, RpcError
from rpcclient.errors import (
    ConnectFailed,
    ConnectionClosed,
    LocalProtocolError,
    NotSent,
    PermissionDenied,
    Unauthenticated,
)
from rpcclient.sync.memory import SyncMemoryLink

Attempt = Callable[..., RpcError]


def by_sync(*args: Any, **kwargs: Any) -> RpcError:
    client = Client(*args, **kwargs)
    try:
        with pytest.raises(RpcError) as caught:
            client.connect()
        return caught.value
    finally:
        client.close()


def by_async(*args: Any, **kwargs: Any) -> RpcError:
    async def main() -> RpcError:
        client = AsyncClient(*args, **kwargs)
        try:
            with pytest.raises(RpcError) as caught:
                await client.connect()
            return caught.value
        finally:
            await client.close()

    return asyncio.run(main())


@pytest.fixture(params=[by_sync, by_async], ids=["sync", "async"])
def attempt(request: pytest.FixtureRequest) -> Attempt:
    found: Attempt = request.param
    return found


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_nobody_listens(attempt: Attempt, free_port: int) -> None:
    error = attempt(f"ws://127.0.0.1:{free_port}", token="x")
    assert type(error) is ConnectFailed
    assert "Connection refused" in str(error) or "Connect call failed" in str(error)
    assert "is rpcserver running there?" in str(error)
    assert (error.retryable, error.executed) == (True, "no")
    assert type(attempt("ws://127.0.0.1:0", token="x")) is ConnectFailed


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70 + ".invalid", "-", "xn--a"])
def test_no_such_host(attempt: Attempt, host: str) -> None:
    error = attempt(f"ws://{host}:1", token="x")
    assert type(error) is ConnectFailed
    assert host[:60] in str(error)


def test_unix_sockets_that_are_none(attempt: Attempt, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "No such file" in str(attempt(f"unix://{tmp_path}/missing"))
    assert "refused" in str(attempt(f"unix://{tmp_path}/file"))
    assert "too long" in str(attempt("unix:///" + "x" * 200))


def test_unix_socket_whose_queue_is_full(tmp_path: Path) -> None:
    path = str(tmp_path / "full.sock")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        assert "no answer within 0.2 s" in str(by_sync(f"unix://{path}", connect_timeout_s=0.2))


def test_a_server_that_never_answers(attempt: Attempt) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        begun = time.monotonic()
        error = attempt(f"ws://127.0.0.1:{listener.getsockname()[1]}", token="x", connect_timeout_s=0.2)
    assert type(error) is ConnectFailed
    assert "no answer within 0.2 s" in str(error)
    assert time.monotonic() - begun < 5


def test_no_time_to_connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        client = Client(url, token="x", timeout_s=0.1)
        with pytest.raises(NotSent, match="before the deadline"):
            client.call("desk.add", [1])
        client.close()

        async def main() -> None:
            client = AsyncClient(url, token="x", timeout_s=0.1)
            with pytest.raises(NotSent, match="before the deadline"):
                await client.call("desk.add", [1])
            await client.close()

        asyncio.run(main())


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\xff\x00",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
        b"HTTP/1.1 101 Switch",
        b"x" * 100_000,
    ],
    ids=["nothing", "ssh", "binary", "200", "404", "bare 101", "wrong accept", "half", "long"],
)
def test_not_a_websocket_server(attempt: Attempt, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(10)
                sock.recv(65536)
                try:  # A client that has seen enough closes at once, also in the middle of a long answer.
                    sock.sendall(answer)
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(65536):
                        pass
                except OSError:
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        error = attempt(f"ws://127.0.0.1:{listener.getsockname()[1]}", token="x")
        thread.join(10)
    assert type(error) is ConnectFailed
    assert error.executed == "no"


def test_wrong_token(attempt: Attempt, running: Any, start: Any, token: str) -> None:
    other = start()  # Of its own, since wrong tokens are counted.
    error = attempt(other.tcp, token="wrong")
    assert type(error) is Unauthenticated
    assert "wrong" in str(error)
    assert attempt.__name__


def test_no_token_at_all(start: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from rpcwire import locations

    monkeypatch.setattr(locations, "token_file", lambda: tmp_path / "none")
    for name in ("RPC_TOKEN", "RPC_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    with Client(start().tcp) as client:
        with pytest.raises(Unauthenticated, match="authenticate first"):
            client.services()
        assert client.hello().principal is None


def test_refused_host(attempt: Attempt, start: Any) -> None:
    """The server takes requests for itself only: another name that leads to it is refused."""
    port = start().tcp.rpartition(":")[2]
    error = attempt(f"ws://127.0.0.2:{port}", token="x")
    assert type(error) in (ConnectFailed, PermissionDenied)


def test_no_common_subprotocol(attempt: Attempt, running: Any, token: str) -> None:
    error = attempt(running.tcp, token=token, subprotocol="soap")
    assert type(error) is ConnectFailed
    assert "soap" in str(error) or "subprotocol" in str(error)


def test_tls_to_a_server_without(attempt: Attempt, running: Any, token: str) -> None:
    error = attempt(running.tcp.replace("ws:", "wss:"), token=token)
    assert type(error) is ConnectFailed
    assert "TLS" in str(error) or "handshake" in str(error)


def test_closed_clients(running: Any) -> None:
    client = Client(running.unix)
    client.close()
    for act in (client.connect, lambda: client.call("desk.add", [1]), lambda: client.notify("desk.note", ["x"])):
        with pytest.raises(ConnectionClosed, match="closed"):
            act()
    client.close()
    with Client(running.unix) as client:
        pass
    assert client.connected is False
    with pytest.raises(ConnectionClosed):
        next(client.stream("desk.count", [1]))


def test_closed_while_connecting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = Client(f"ws://127.0.0.1:{listener.getsockname()[1]}", token="x")
        errors: list[BaseException] = []

        def connect() -> None:
            try:
                client.connect()
            except BaseException as exc:
                errors.append(exc)

        thread = threading.Thread(target=connect)
        thread.start()
        sock, _ = listener.accept()
        with sock:
            sock.recv(10)
            client.close()
            thread.join(10)
    assert [type(error) for error in errors] == [ConnectionClosed]


def test_memory_in_the_servers_own_thread(running: Any) -> None:
    async def main() -> None:
        client = Client(memory=running.server.connect_memory)
        with pytest.raises(LocalProtocolError, match="AsyncClient"):
            client.connect()
        client.close()

    asyncio.run(main())


def test_an_answer_may_come_before_the_thread_of_the_connection_reads(
    running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread may get no processor time between the end of the attempt and its reading."""
    is_answered, run = threading.Event(), SyncMemoryLink.run

    def run_late(link: SyncMemoryLink, receiver: Any) -> None:
        assert is_answered.wait(10)
        run(link, receiver)

    monkeypatch.setattr(SyncMemoryLink, "run", run_late)
    with Client(memory=running.server.connect_memory, timeout_s=5.0) as client:
        try:
            assert client.call("rpc.ping") == "pong"
        finally:
            is_answered.set()


def test_memory_without_a_loop() -> None:
    def fail(_: str) -> Any:
        raise RuntimeError("the loop is closed")

    error = by_sync(memory=fail)
    assert type(error) is ConnectFailed
    assert "the loop is closed" in str(error)


def test_what_nobody_expects_is_an_error_of_ours_too(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: str) -> Any:
        raise KeyError("odd")

    error = by_sync(memory=fail)
    assert type(error) is ConnectFailed
    assert "KeyError" in str(error)
    assert "odd" in caplog.text


@pytest.mark.parametrize("limit", ["5000", "9" * 5000, "-1", "x", ""])
def test_what_the_server_says_of_its_limit(scripted: Any, limit: str) -> None:
    def script(connection: Any) -> None:
        connection.handshake({"RPC-Message-Bytes": limit} if limit else {})
        assert connection.wait_closed() == 1000

    with Client(scripted(script), token="x"):
        pass


def test_a_prefix_is_where_the_websocket_is(scripted: Any) -> None:
    """As behind a reverse proxy."""
    seen: list[tuple[str, str]] = []

    def script(connection: Any) -> None:
        request = connection.handshake()
        seen.append((request.path, request.headers["Host"]))
        connection.wait_closed()

    url = scripted(script, script)

    async def main() -> None:
        async with AsyncClient(f"{url}/rpc", token="x"):
            pass

    with Client(f"{url}/rpc/a%20b/", token="x"):
        pass
    asyncio.run(main())
    host = url.removeprefix("ws://")
    assert seen == [("/rpc/a%20b/", host), ("/rpc", host)]
