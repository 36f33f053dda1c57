"""A server with several addresses, of which some do not answer (RFC 8305)."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from rpcclient import AsyncClient, Client
from rpcclient.errors import ConnectFailed, ConnectionClosed
from rpcclient.eyeballs import Address, interleave

NAME = "both.example"
LIMIT_S = 60.0
"""Far longer than any of this takes: what waits so long has tried one address only."""


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the system's resolver is to say: addresses for a name, or something to call. A list of several addresses
    cannot be had otherwise."""
    known: dict[str, Any] = {}
    resolve = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in known:
            return resolve(host, port, *args, **kwargs)
        found = known[host]() if callable(known[host]) else known[host]
        return [entry for address in found for entry in resolve(address, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


@contextlib.contextmanager
def swallowing(address: str, port: int = 0) -> Iterator[int]:
    """A port that swallows whatever wants to connect: the queue of its listener is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def connecting(address: str, port: int) -> int:
    """Sockets of this machine that wait for an answer from there."""
    number = f"{int.from_bytes(socket.inet_aton(address), 'little'):08X}:{port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return sum(row[2] == number and row[3] == "02" for row in rows)


@pytest.fixture
def server(start: Any, tmp_path: Path) -> Any:
    return start(listen={"port": 0, "unix": str(tmp_path / "s.sock"), "allowed_hosts": [NAME]})


def port_of(server: Any) -> int:
    return int(server.tcp.rpartition(":")[2])


def test_a_first_address_that_swallows(call: Any, names: Any, server: Any, token: str, until: Any) -> None:
    port = port_of(server)
    names[NAME] = ["127.0.0.2", "127.0.0.3", "127.0.0.1"]
    with swallowing("127.0.0.2", port), swallowing("127.0.0.3", port):
        before = connecting("127.0.0.2", port)
        assert call(f"ws://{NAME}:{port}", token=token, connect_timeout_s=LIMIT_S) == 11
        until(lambda: connecting("127.0.0.2", port) == before)  # What lost is closed.


def test_addresses_that_fail_at_once(call: Any, names: Any, server: Any, token: str) -> None:
    """Nobody waits between those. 100 of them would take 25 s otherwise, and be no answer in time."""
    names[NAME] = [*(f"127.0.1.{n}" for n in range(1, 100)), "127.0.0.1"]
    assert call(f"ws://{NAME}:{port_of(server)}", token=token, connect_timeout_s=20.0) == 11


def test_a_family_that_this_machine_lacks(call: Any, names: Any, server: Any, token: str) -> None:
    names[NAME] = ["2001:db8::1", "127.0.0.1"]  # Of the documentation's range: nobody has a route there.
    assert call(f"ws://{NAME}:{port_of(server)}", token=token, connect_timeout_s=LIMIT_S) == 11


def test_the_first_that_answers_wins_over_the_first_in_line(call: Any, names: Any, server: Any, token: str) -> None:
    """It takes its time, but the one that comes after it says no."""
    port = port_of(server)
    names[NAME] = ["127.0.0.1", "127.0.0.9"]
    assert call(f"ws://{NAME}:{port}", token=token, connect_timeout_s=LIMIT_S) == 11


def test_small_messages_do_not_wait_for_acknowledgements() -> None:
    """The request behind a TLS handshake used to wait for 40 ms."""
    with Address(socket.AF_INET, ("127.0.0.1", 1)).socket() as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_no_address_answers(call: Any, names: Any) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        names[NAME] = ["127.0.0.1", "127.0.0.5"]
        with pytest.raises(ConnectFailed) as caught:
            call(f"ws://{NAME}:{closed.getsockname()[1]}", token="x")
    assert "127.0.0.1: Connection refused; 127.0.0.5: Connection refused" in str(caught.value)
    assert caught.value.retryable


def test_the_time_is_over(call: Any, names: Any) -> None:
    names[NAME] = ["127.0.0.2", "127.0.0.5"]
    with swallowing("127.0.0.2") as port, pytest.raises(ConnectFailed) as caught:
        call(f"ws://{NAME}:{port}", token="x", connect_timeout_s=1.0)
    assert "no answer within 1 s (127.0.0.2: no answer; 127.0.0.5: Connection refused)" in str(caught.value)


@pytest.fixture
def stuck(names: Any) -> Iterator[threading.Event]:
    """A resolver that does not come to an end; set once it was asked."""
    asked, release = threading.Event(), threading.Event()

    def never() -> list[str]:
        asked.set()
        release.wait()
        return []

    names[NAME] = never
    yield asked
    release.set()


def test_a_name_that_is_looked_up_for_ever(call: Any, stuck: Any) -> None:
    with pytest.raises(ConnectFailed, match=r"no answer within 0.3 s \(its name could not be looked up in time\)"):
        call(f"ws://{NAME}:1", token="x", connect_timeout_s=0.3)


def test_a_name_that_looks_like_an_address(call: Any, names: Any, stuck: Any) -> None:
    """It has to be looked up, too, and nobody may wait for that."""
    names["1.2.3.4.5"] = names[NAME]
    with pytest.raises(ConnectFailed, match="its name could not be looked up in time"):
        call("ws://1.2.3.4.5:1", token="x", connect_timeout_s=0.3)


def test_closed_while_a_name_is_looked_up(stuck: threading.Event) -> None:
    assert _closed_while(f"ws://{NAME}:1", lambda: stuck.wait(LIMIT_S)) == [ConnectionClosed]


def test_closed_while_no_address_answers(until: Any) -> None:
    with swallowing("127.0.0.2") as port:
        before = connecting("127.0.0.2", port)
        wait = lambda: until(lambda: connecting("127.0.0.2", port) > before)  # noqa: E731
        assert _closed_while(f"ws://127.0.0.2:{port}", wait) == [ConnectionClosed]
        until(lambda: connecting("127.0.0.2", port) == before)


def _closed_while(url: str, wait: Callable[[], object]) -> list[type[BaseException]]:
    client = Client(url, token="x", connect_timeout_s=LIMIT_S)
    errors: list[type[BaseException]] = []

    def connect() -> None:
        try:
            client.connect()
        except BaseException as exc:
            errors.append(type(exc))

    thread = threading.Thread(target=connect)
    thread.start()
    wait()
    client.close()
    thread.join(10)
    assert not thread.is_alive()
    return errors


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_cancelled_while_connecting(stuck: threading.Event, until: Any, loop_factory: Any) -> None:
    """Neither a name nor an address holds up the end of the loop."""

    async def cancelled(url: str, reached: Callable[[], object]) -> None:
        client = AsyncClient(url, token="x", connect_timeout_s=LIMIT_S)
        task = asyncio.ensure_future(client.connect())
        await asyncio.to_thread(until, reached)
        await client.close()
        with pytest.raises((asyncio.CancelledError, ConnectionClosed)):
            await task

    async def main(port: int) -> None:
        await cancelled(f"ws://{NAME}:1", stuck.is_set)
        await cancelled(f"ws://127.0.0.2:{port}", lambda: connecting("127.0.0.2", port) > before)

    with swallowing("127.0.0.2") as port:
        before = connecting("127.0.0.2", port)
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(main(port))
        until(lambda: connecting("127.0.0.2", port) == before)


SYNC = "from rpcclient import Client; Client({url!r}, token='x', connect_timeout_s=60).connect()"
ASYNC = """
import asyncio
from rpcclient import AsyncClient
asyncio.run(AsyncClient({url!r}, token='x', connect_timeout_s=60).connect())
"""


@pytest.mark.parametrize("program", [SYNC, ASYNC], ids=["sync", "async"])
def test_interrupted_while_no_address_answers(program: str, until: Any) -> None:
    with swallowing("127.0.0.2") as port:
        before = connecting("127.0.0.2", port)
        command = [sys.executable, "-c", program.format(url=f"ws://127.0.0.2:{port}")]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            until(lambda: connecting("127.0.0.2", port) > before, LIMIT_S)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in said


def test_families_take_turns() -> None:
    four = [Address(socket.AF_INET, (f"192.0.2.{n}", 1)) for n in range(4)]
    six = [Address(socket.AF_INET6, (f"2001:db8::{n}", 1, 0, 0)) for n in range(2)]
    assert interleave([*six, *four]) == [six[0], four[0], six[1], four[1], four[2], four[3]]
    assert interleave([four[0], six[0], four[0], six[0], four[1]]) == [four[0], six[0], four[1]]
    assert interleave([]) == []


def test_a_zone_is_used_and_not_said(call: Any, start: Any, token: str, tmp_path: Path) -> None:
    """The server would refuse a Host header with a zone. (::1 needs no zone, and takes any.)"""
    server = start(listen={"port": 0, "host": "::1", "unix": str(tmp_path / "s.sock")})
    assert call(f"ws://[::1%251]:{port_of(server)}", token=token) == 11
    with pytest.raises(ConnectFailed):
        call(f"ws://[fe80::1%25no-such-if]:{port_of(server)}", token=token)
