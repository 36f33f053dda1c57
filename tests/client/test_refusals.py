"""A proxy in front of a server that restarts: what it says meanwhile is no reason to give up, and no text for a person."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.exceptions import InvalidMessage

from rpcclient import AsyncClient, Client, Service, backoff, method
from rpcclient.errors import ConnectFailed, ConnectionLost, NotSent, PermissionDenied, Unauthenticated
from rpcclient.refusals import may_pass, retry_after_ms, to_refusal_error
from rpcclient.targets import find_target

PAGE = b"<html><head><title>Oops</title></head><body>nginx</body></html>"


def http(status: str, *headers: str, body: bytes = PAGE, version: str = "1.1") -> bytes:
    lines = [f"HTTP/{version} {status}", "Content-Type: text/html", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


RESET = b"(reset)"
PASSING = {
    "500": http("500 Internal Server Error"),
    "502": http("502 Bad Gateway"),
    "503": http("503 Service Unavailable", "Retry-After: 0"),
    "504": http("504 Gateway Time-out"),
    "429": http("429 Too Many Requests", "Retry-After: 0"),
    "408": http("408 Request Time-out"),
    "522": http("522 Connection timed out"),
    "without a reason": b"HTTP/1.1 502 \r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.0": http("503 Service Unavailable", version="1.0"),
    "a large page": http("502 Bad Gateway", body=PAGE * 40_000),
    "a coding": http("502 Bad Gateway", "Transfer-Encoding: gzip"),
    "after others": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    + http("502 Bad Gateway"),
    "half of another": b"HTTP/1.1 103 Early Hints\r\nLi",
    "half an answer": http("502 Bad Gateway")[:-9],
    "half a header": b"HTTP/1.1 502 Bad Gateway\r\nContent-",
    "half a line": b"HTTP/1.1 50",
    "nothing": b"",
    "a reset": RESET,
    "no HTTP": b"upstream is not there\r\n",
}


class Gateway:
    """A proxy in front of a server, which answers itself when told so."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.answer: bytes | None = None
        self.asked = threading.Semaphore(0)
        self.loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self.thread = threading.Thread(target=self.loop.run_forever, name="gateway")
        self.thread.start()
        self._server = self.run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def run(self, awaitable: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(awaitable, self.loop).result(20)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if self.answer is None:
                await self._pass(reader, writer)
            else:
                await reader.readuntil(b"\r\n\r\n")
                self.asked.release()
                if self.answer is RESET:
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                else:
                    writer.write(self.answer)
                    await writer.drain()
        self._writers.discard(writer)
        writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.add(back)

        async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    target.write(data)
                    await target.drain()
            target.close()

        await asyncio.gather(pass_on(reader, back), pass_on(there, writer))
        self._writers.discard(back)

    def fail(self, answer: bytes) -> None:
        """The server is gone: end its connections, and answer this from now on."""
        self.answer = answer
        self.run(self._cut())

    async def _cut(self) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()

    def close(self) -> None:
        async def stop() -> None:
            self._server.close()
            await self._cut()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        self.run(stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)
        self.loop.close()


@pytest.fixture
def gateway(running: Any) -> Iterator[Gateway]:
    gateway = Gateway(int(running.tcp.rpartition(":")[2]))
    yield gateway
    gateway.close()


class Bell(Service):
    """What a client offers."""

    def __init__(self) -> None:
        super().__init__()
        self.rang = threading.Event()

    @method()
    def ring(self) -> None:
        """Ring."""
        self.rang.set()


def wait_for(asked: threading.Semaphore, times: int) -> None:
    for _ in range(times):
        assert asked.acquire(timeout=20)


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_what_may_pass_is_waited_for(gateway: Gateway, token: str, flavour: str, kind: str) -> None:
    """By a call, until its deadline."""

    def meanwhile() -> None:
        wait_for(gateway.asked, 2)
        gateway.answer = None

    thread = threading.Thread(target=meanwhile)
    if flavour == "sync":
        with Client(gateway.url, token=token, timeout_s=20) as client:
            gateway.fail(PASSING[kind])
            thread.start()
            while client.connected:
                threading.Event().wait(0.002)
            assert client.call("desk.add", [1, 2]) == 3
    else:

        async def main() -> None:
            async with AsyncClient(gateway.url, token=token, timeout_s=20) as client:
                await asyncio.to_thread(gateway.fail, PASSING[kind])
                thread.start()
                while client.connected:
                    await asyncio.sleep(0)
                assert await client.call("desk.add", [1, 2]) == 3

        asyncio.run(main())
    thread.join(20)


SLOW = http("503 Service Unavailable", "Retry-After: 2000")


@pytest.mark.parametrize("answer", [PASSING["502"], PASSING["HTTP/1.0"], SLOW], ids=["502", "HTTP/1.0", "slow"])
@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_at_the_deadline_the_last_answer_is_told(gateway: Gateway, token: str, flavour: str, answer: bytes) -> None:
    if flavour == "sync":
        with Client(gateway.url, token=token) as client:
            gateway.fail(answer)
            while client.connected:
                threading.Event().wait(0.002)
            with pytest.raises(NotSent) as failed:
                client.options(timeout_s=0.5).call("desk.add", [1, 2])
    else:

        async def main() -> pytest.ExceptionInfo[NotSent]:
            async with AsyncClient(gateway.url, token=token) as client:
                await asyncio.to_thread(gateway.fail, answer)
                while client.connected:
                    await asyncio.sleep(0)
                with pytest.raises(NotSent) as failed:
                    await client.options(timeout_s=0.5).call("desk.add", [1, 2])
                return failed

        failed = asyncio.run(main())
    error = failed.value
    assert (error.executed, error.retryable) == ("no", True)
    assert f"(HTTP {answer[9:12].decode()})" in error.message
    assert "<" not in error.message
    assert error.retry_after_ms == (2_000_000 if answer is SLOW else 0 if b"Retry-After" in answer else None)


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_who_offers_services_comes_back(
    gateway: Gateway, running: Any, token: str, flavour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without anybody's call, through whatever the proxy says."""
    monkeypatch.setattr(backoff, "BACKOFF_MOST_S", 0.1)  # There is much that it says.
    bell = Bell()

    def meanwhile(connected: Callable[[], bool]) -> None:
        for answer in PASSING.values():
            gateway.fail(answer)
            wait_for(gateway.asked, 1)
        gateway.answer = None
        until = time.monotonic() + 20
        while not connected():
            assert time.monotonic() < until
            threading.Event().wait(0.01)
        for peer in running.server.connections.values():
            running.run(peer.connection.caller.call("bell.ring"))
        assert bell.rang.is_set()

    if flavour == "sync":
        with Client(gateway.url, token=token, services=[bell]) as client:
            meanwhile(lambda: client.connected)
    else:

        async def main() -> None:
            async with AsyncClient(gateway.url, token=token, services=[bell]) as client:
                await asyncio.to_thread(meanwhile, lambda: client.connected)

        asyncio.run(main())


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_who_offers_services_comes_back_from_a_refusal(
    gateway: Gateway, token: str, flavour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one that is not expected to pass, too, though later; calls are told of it at once."""
    monkeypatch.setattr(backoff, "REFUSED_S", 0.2)
    refusals = (http("401 Unauthorized"), http("404 Not Found"), http("403 Forbidden"))

    def come_back(connected: Callable[[], bool]) -> None:
        gateway.answer = None
        until = time.monotonic() + 20
        while not connected():
            assert time.monotonic() < until
            threading.Event().wait(0.01)

    if flavour == "sync":
        with Client(gateway.url, token=token, services=[Bell()]) as client:
            for answer in refusals:
                gateway.fail(answer)
                wait_for(gateway.asked, 3)
                with pytest.raises((Unauthenticated, ConnectFailed, PermissionDenied)) as failed:
                    client.call("desk.add", [1, 2])
                assert not failed.value.retryable
                come_back(lambda: client.connected)
                assert client.call("desk.add", [1, 2]) == 3
    else:

        async def main() -> None:
            async with AsyncClient(gateway.url, token=token, services=[Bell()]) as client:
                for answer in refusals:
                    await asyncio.to_thread(gateway.fail, answer)
                    await asyncio.to_thread(wait_for, gateway.asked, 3)
                    with pytest.raises((Unauthenticated, ConnectFailed, PermissionDenied)) as failed:
                        await client.call("desk.add", [1, 2])
                    assert not failed.value.retryable
                    await asyncio.to_thread(come_back, lambda: client.connected)
                    assert await client.call("desk.add", [1, 2]) == 3

        asyncio.run(main())


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_the_first_connection_fails_at_once(gateway: Gateway, token: str, flavour: str, kind: str) -> None:
    """But says that it may be tried again."""
    gateway.answer = PASSING[kind]
    if flavour == "sync":
        client = Client(gateway.url, token=token)
        with pytest.raises(ConnectFailed) as failed:
            client.connect()
        client.close()
    else:

        async def main() -> pytest.ExceptionInfo[ConnectFailed]:
            client = AsyncClient(gateway.url, token=token)
            with pytest.raises(ConnectFailed) as failed:
                await client.connect()
            await client.close()
            return failed

        failed = asyncio.run(main())
    assert failed.value.retryable
    assert "<" not in failed.value.message
    assert "nginx" not in failed.value.message
    assert gateway.asked.acquire(timeout=20)
    assert not gateway.asked.acquire(blocking=False)


def test_a_program_tells_the_last_answer(gateway: Gateway, running: Any, token: str) -> None:
    """As any call does; here of a handle whose connection does not come back."""
    from rpcclient.programs.coming_back import reconnect_error

    with Client(gateway.url, token=token) as client:
        gateway.fail(PASSING["502"])
        while client.connected:
            threading.Event().wait(0.002)
        with pytest.raises(NotSent) as failed:
            client.options(timeout_s=0.5).call("desk.add", [1, 2])
        assert "Bad Gateway (HTTP 502)" in reconnect_error(ConnectionLost("cut"), 0.5, failed.value).message


# --- one answer ---------------------------------------------------------------------------------------------------------


def test_which_statuses_may_pass() -> None:
    passing = {status for status in range(100, 600) if may_pass(status)}
    assert {408, 425, 429, 500, 502, 503, 504, 520, 522, 599} <= passing
    assert not passing & {101, 200, 301, 400, 401, 403, 404, 407, 421, 426, 501, 505, 511}


def test_retry_after() -> None:
    now = 1_800_000_000.0
    assert retry_after_ms("120", now) == 120_000
    assert retry_after_ms(" 0 ", now) == 0
    assert retry_after_ms(email.utils.formatdate(now + 30, usegmt=True), now) == 30_000
    assert retry_after_ms(email.utils.formatdate(now - 30, usegmt=True), now) == 0
    assert retry_after_ms("9" * 400, now) == 999_999_999_000
    for nothing in (None, "", "soon", "-1", "1.5", "\u0661"):
        assert retry_after_ms(nothing, now) is None


def test_pauses_honour_what_was_asked_for() -> None:
    now = [0.0]
    pauses = backoff.Pauses(lambda: now[0], lambda: 1.0)
    assert pauses.before_first_s() == 0.0
    first = pauses.after_failure_s(ConnectFailed("x"))
    assert 0 < first < pauses.after_failure_s(ConnectFailed("x")) <= backoff.BACKOFF_MOST_S
    assert pauses.after_failure_s(ConnectFailed("x", retry_after_ms=30_000)) > 30.0
    assert pauses.after_failure_s(ConnectFailed("x", retry_after_ms=10**12)) < backoff.RETRY_AFTER_MOST_S + 10
    pauses.note_connection()
    pauses.note_loss(useful=False)
    assert pauses.before_first_s() > 0.0
    pauses.note_connection()
    pauses.note_loss(useful=True)
    assert pauses.before_first_s() == 0.0
    for _ in range(3):
        pauses.note_connection()
        pauses.note_loss(useful=False)
    assert pauses.before_first_s() > first
    pauses.note_connection()
    now[0] += backoff.CALM_S
    pauses.note_loss(useful=False)
    assert pauses.before_first_s() == 0.0


def test_an_answer_that_lies_is_taken_by_its_head() -> None:
    target = find_target("ws://example.org")
    message = InvalidMessage("did not receive a valid HTTP response")
    error = to_refusal_error(
        message, target, b"HTTP/1.0 429 \r\nServer: x\r\nretry-AFTER:\t7 \r\n\r\nRetry-After: 9\r\n"
    )
    assert (error.retry_after_ms, error.retryable) == (7000, True)
    assert "Too Many Requests (HTTP 429)" in error.message
    assert "HTTP 599" in to_refusal_error(message, target, b"HTTP/1.1 599 \r\n\r\n").message
    error = to_refusal_error(message, target, b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    assert isinstance(error, ConnectFailed)
    assert not error.retryable


def test_the_words_of_a_server_of_ours_are_told(running: Any) -> None:
    with pytest.raises(Unauthenticated, match=r"the token is wrong \(HTTP 401\)"):
        Client(running.tcp, token="x" * 40).connect()


# --- answers before the answer ---------------------------------------------------------------------------------------

HINTS = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"


@pytest.mark.parametrize("flavour", ["sync", "async"])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_answers_before_the_answer(scripted: Any, flavour: str, step: int) -> None:
    def script(connection: Any) -> None:
        flush = connection.flush

        def hint_first() -> None:
            connection.flush = flush
            answer = HINTS + b"".join(connection.ws.data_to_send())
            for start in range(0, len(answer), step):
                connection.sock.sendall(answer[start : start + step])

        connection.flush = hint_first
        connection.handshake()
        connection.receive()
        connection.send('{"jsonrpc":"2.0","id":1,"result":3}')
        connection.wait_closed()

    options: Any = {"token": "x", "subprotocol": "rpc.v1.json", "timeout_s": 20}
    if flavour == "sync":
        with Client(scripted(script), **options) as client:
            assert client.call("a.b") == 3
    else:

        async def main() -> None:
            async with AsyncClient(scripted(script), **options) as client:
                assert await client.call("a.b") == 3

        asyncio.run(main())
