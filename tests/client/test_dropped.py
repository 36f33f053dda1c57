"""A client that nobody holds any more is closed, with a ResourceWarning, as files and sockets are."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rpcclient import Client, Context, Service, method
from rpcclient.aio.exchange import perform
from rpcclient.errors import ConnectFailed, RpcError
from rpcclient.methods import Method
from rpcclient.options import CallOptions
from tests.leftovers import state

UNCLOSED = r"unclosed client of (unix|ws|memory)"


@pytest.fixture(autouse=True)
def nothing_left(running: Any, until: Any) -> Iterator[None]:
    gc.collect()
    threads, files = state()
    yield
    until(lambda: not running.server.connections, 10)
    until(lambda: state()[0] <= threads, 10)
    until(lambda: state()[1] <= files, 10)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What is dropped here has to end by itself."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("where", ["tcp", "unix", "memory"])
def test_the_last_reference(running: Any, token: str, where: str, until: Any) -> None:
    memory = running.server.connect_memory if where == "memory" else None
    client = Client(None if memory else getattr(running, where), token=None if memory else token, memory=memory)
    assert client.call("desk.add", [1, 2]) == 3
    assert client.service("desk").add(1, 2) == 3
    assert client.hardware is not None
    assert client.options(timeout_s=5).programs is not None
    with pytest.warns(ResourceWarning, match=UNCLOSED):
        del client
    until(lambda: not running.server.connections, 10)


def test_it_is_closed_in_an_orderly_way(scripted: Any) -> None:
    codes: list[int | None] = []

    def script(connection: Any) -> None:
        connection.handshake()
        codes.append(connection.wait_closed())

    client = Client(scripted(script), token="x").connect()
    with pytest.warns(ResourceWarning, match=UNCLOSED):
        del client
    while not codes:
        time.sleep(0.005)
    assert codes == [1000]


@pytest.mark.usefixtures("no_collector")
def test_nothing_to_close(running: Any, recwarn: pytest.WarningsRecorder) -> None:
    """One that was closed, that never connected, or that could not."""
    closed = Client(running.unix).connect()
    closed.close()
    never = Client(running.unix)
    failed = Client("ws://127.0.0.1:9", token="x")
    with pytest.raises(ConnectFailed):
        failed.connect()
    del closed, never, failed
    gc.collect()
    assert not recwarn.list


def test_an_attempt_under_way(scripted: Any, until: Any) -> None:
    arrived, left = threading.Event(), threading.Event()

    def script(connection: Any) -> None:
        arrived.set()
        while connection.sock.recv(4096):
            pass
        left.set()

    client: Any = Client(scripted(script), token="x", connect_timeout_s=60)
    failed: list[BaseException] = []

    def attempt() -> None:
        try:
            client.options(timeout_s=0.2).call("desk.add")
        except RpcError as exc:
            failed.append(exc)

    thread = threading.Thread(target=attempt)
    thread.start()
    assert arrived.wait(10)
    thread.join(10)
    failed.clear()
    with pytest.warns(ResourceWarning, match=UNCLOSED):
        client = None
        gc.collect()
    assert left.wait(10)


def holders() -> dict[str, Callable[[Client], Any]]:
    return {
        "options": lambda client: client.options(timeout_s=5),
        "service": lambda client: client.service("desk"),
        "method": lambda client: client.service("desk").add,
        "batch": lambda client: client.batch(),
        "programs": lambda client: client.programs,
        "database": lambda client: client.database,
        "transaction": lambda client: client.database.transaction("main"),
        "bound method": lambda client: client.call,
        "stream to be opened": lambda client: client.stream("desk.count", [10**9]),
        "stream": lambda client: client.stream("desk.count", [10**9]).open(),
    }


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("what", holders())
def test_whoever_uses_it_keeps_it(running: Any, what: str, recwarn: pytest.WarningsRecorder) -> None:
    client = Client(running.unix).connect()
    connector = weakref.ref(client._connector)
    holder = holders()[what](client)
    del client
    held = connector()
    assert held is not None
    assert held.live is not None
    assert not recwarn.list
    if what == "stream":
        assert next(holder) == 0
    del held
    with pytest.warns(ResourceWarning, match=UNCLOSED):
        del holder


class Keeper(Service):
    """Holds the client that offers it, as a service may."""

    def __init__(self) -> None:
        super().__init__()
        self.client: Client | None = None
        self.began = threading.Event()
        self.go = threading.Event()
        self.done: list[Any] = []

    @method()
    def work(self, ctx: Context) -> int:
        """Work until told to end."""
        self.began.set()
        while not self.go.wait(0.005) and not ctx.cancelled:
            pass
        self.done.append(ctx.cancelled)
        return 1

    @method()
    def count(self, ctx: Context) -> Iterator[int]:
        """Give a first item, and the next when told to."""
        yield 1
        self.began.set()
        while not self.go.wait(0.005) and not ctx.cancelled:
            pass
        self.done.append(ctx.cancelled)
        yield 2


def test_a_cycle_is_found(running: Any) -> None:
    """A service holds its client; so do the exception of a failed call, and the hook of one that was given up."""
    keeper: Any = Keeper()
    client: Any = Client(running.unix, services=[keeper]).connect()
    keeper.client = client
    with contextlib.suppress(RpcError):
        client.call("desk.nothing")
    seen: list[Any] = []
    slow = client.options(timeout_s=0.05, progress=lambda *_: seen.append(client))
    with contextlib.suppress(RpcError):
        slow.call("desk.wait")
    with pytest.warns(ResourceWarning, match=UNCLOSED):
        client = keeper = slow = None
        gc.collect()


@pytest.mark.parametrize("which", ["work", "count"])
def test_a_handler_that_runs_keeps_its_client(
    running: Any, which: str, until: Any, recwarn: pytest.WarningsRecorder
) -> None:
    keeper = Keeper()
    client = Client(running.unix, services=[keeper]).connect()
    until(lambda: running.server.connections)
    (peer,) = running.server.connections.values()

    async def ask() -> Any:
        streams = which == "count"
        answer = await perform(peer, Method(f"keeper.{which}"), None, CallOptions(), 30.0, streams=streams)
        return [item async for item in answer] if streams else answer

    future = asyncio.run_coroutine_threadsafe(ask(), running.loop)
    assert keeper.began.wait(10)
    del client
    gc.collect()
    assert not recwarn.list
    with pytest.warns(ResourceWarning, match=UNCLOSED):
        keeper.go.set()
        assert future.result(20) == {"work": 1, "count": [1, 2]}[which]
        until(lambda: not running.server.connections, 20)
    assert keeper.done == [False]


def test_one_that_waits_for_its_server_to_come_back(process: Any, until: Any) -> None:
    """It offers services, so its thread tries again and again."""
    process.start()
    client: Any = Client(process.url, token_file=process.token_file, services=[Keeper()]).connect()
    process.kill()
    until(lambda: not client.connected, 10)
    with pytest.warns(ResourceWarning, match=UNCLOSED):
        client = None
        gc.collect()


SCRIPT = """
import sys, threading
from rpcclient import Client, Context, Service, method

class Busy(Service):
    "Is at work when the interpreter ends."

    @method()
    def work(self, ctx: Context) -> None:
        "Work until told to stop."
        began.set()
        while not ctx.cancelled:
            ctx.remaining_s()

began = threading.Event()
client = Client(sys.argv[1], token=sys.argv[2], services=[Busy()])
print(client.call("desk.add", [1, 2]))
stream = client.stream("desk.count", [10**9]).open()
next(stream)
if sys.argv[3] == "busy":
    threading.Thread(target=lambda: client.call("desk.ask", ["busy.work", {}]), daemon=True).start()
    began.wait()
if sys.argv[3] == "attribute":
    sys.client, sys.modules["kept"] = client, stream
"""


@pytest.mark.parametrize("how", ["module", "attribute", "busy"])
def test_the_interpreter_ends_quietly(running: Any, token: str, how: str) -> None:
    command = [sys.executable, "-W", "error", "-c", SCRIPT, running.tcp, token, how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")


AT_THE_END = """
import sys
from functools import partial
from rpcclient import Client
from rpcclient.errors import ConnectionClosed

class Late:
    "Is collected when the interpreter ends."

    def __init__(self, act):
        self.act, self.expected = act, ConnectionClosed

    def __del__(self):
        try:
            self.act()
        except self.expected as exc:
            print(exc.executed, exc)

def left_within():
    with Client(sys.argv[1], token=sys.argv[2]) as client, client.batch() as batch:
        batch.call("desk.add", [1, 2])
        with client.stream("desk.count", [10**9]) as stream:
            yield next(stream)

client = Client(sys.argv[1], token=sys.argv[2]).connect()
stream = client.stream("desk.count", [10**9]).open()
if sys.argv[3] == "close":
    late = Late(client.close)
elif sys.argv[3] == "call":
    late = Late(partial(client.call, "desk.add", [1, 2]))
elif sys.argv[3] == "connect":
    late = Late(partial(Client(sys.argv[1], token=sys.argv[2]).call, "desk.add", [1, 2]))
elif sys.argv[3] == "items":
    late = Late(partial(list, stream))
else:
    late = left_within()
    next(late)
sys.modules["kept"] = late
"""
ENDING = "no the interpreter is ending, and the threads of the client have ended\n"


@pytest.mark.parametrize(
    ("what", "said"),
    [("close", ""), ("call", ENDING), ("connect", ENDING), ("items", ENDING), ("blocks", "")],
)
def test_used_while_the_interpreter_ends(running: Any, token: str, what: str, said: str) -> None:
    """Its threads stand still: nothing may wait for them."""
    command = [sys.executable, "-W", "error", "-c", AT_THE_END, running.tcp, token, what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
