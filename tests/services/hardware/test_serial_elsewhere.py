"""A serial port in several event loops, and in processes that are forked."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
import textwrap
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from rpcclient import AsyncClient
from rpcclient.errors import ConnectionClosed, LocalProtocolError

LIMIT_S = 30.0


class Line:
    """A pseudo-terminal: its near end is the serial port.

    Attributes:
        far: the other end.
        port: the file of the near end.
    """

    def __init__(self) -> None:
        self.far, self._near = pty.openpty()
        tty.setraw(self._near)
        self.port = os.ttyname(self._near)

    def close(self) -> None:
        os.close(self._near)
        os.close(self.far)


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.close()


@pytest.mark.parametrize("kind", ["asyncio", "asyncio debug", "uvloop"])
def test_a_port_of_an_ended_loop(served: tuple[str, Path], line: Line, kind: str) -> None:
    factory = uvloop.new_event_loop if kind == "uvloop" else None
    client = AsyncClient(served[0], token_file=served[1])

    def run(work):
        with asyncio.Runner(loop_factory=factory, debug=kind.endswith("debug")) as runner:
            return runner.run(asyncio.wait_for(work, LIMIT_S))

    port = run(client.hardware.serial(line.port))
    for use in (lambda: port.read(1), lambda: port.write(b"x"), port.flush, port.lines):
        with pytest.raises(ConnectionClosed, match="the serial port belongs to an event loop that has ended") as caught:
            run(use())
        assert caught.value.executed == "no"
    with pytest.raises(ConnectionClosed):
        _ = port.in_waiting
    run(port.close())
    assert port.closed

    async def anew() -> None:
        async with await client.hardware.serial(line.port, timeout=LIMIT_S) as port:
            os.write(line.far, b"abc")
            assert await port.read(3) == b"abc"
        await client.close()

    run(anew())


@pytest.mark.parametrize("debug", [False, True])
def test_a_port_used_elsewhere(served: tuple[str, Path], line: Line, debug: bool) -> None:
    loop = asyncio.new_event_loop()
    loop.set_debug(debug)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def there(work):
        return asyncio.run_coroutine_threadsafe(work, loop).result(LIMIT_S)

    client = AsyncClient(served[0], token_file=served[1])
    port = there(client.hardware.serial(line.port, timeout=LIMIT_S))
    for use in (lambda: port.read(1), lambda: port.write(b"x"), port.reset_input_buffer, port.close):
        with pytest.raises(LocalProtocolError, match="the serial port belongs to another event loop"):
            asyncio.run(use(), debug=debug)
    assert not port.closed
    os.write(line.far, b"abc")
    assert there(port.read(3)) == b"abc"
    there(port.close())
    there(client.close())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(LIMIT_S)
    loop.close()


FORKS = """
import os, sys, asyncio
sys.path.insert(0, sys.argv[4])
from tests.client.forked import Child
from rpcclient import AsyncClient, Client

url, token_file, file = sys.argv[1:4]
far = int(sys.argv[5])
"""


def in_a_process(served: tuple[str, Path], line: Line, script: str) -> list[str]:
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", FORKS + textwrap.dedent(script),
         served[0], str(served[1]), line.port, root, str(line.far)],
        capture_output=True, text=True, timeout=110, pass_fds=[line.far],
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout.splitlines()


def test_a_child_does_nothing_to_the_port(served: tuple[str, Path], line: Line) -> None:
    script = """
    client = Client(url, token_file=token_file).connect()
    port = client.hardware.serial(file, timeout=30)
    for use in (lambda: port.read(1), lambda: port.write(b"x"), lambda: port.in_waiting, lambda: port.cts,
                lambda: port.reset_input_buffer(), lambda: setattr(port, "baudrate", 19200)):
        print(Child(use).answer())
    print(Child(lambda: [port.close(), port.closed, client.connected]).answer())
    def ends():
        global port
        port = None
        import gc; gc.collect()
        return client.connected
    print(Child(ends).answer())
    os.write(far, b"abc")
    print(port.read(3), port.write(b"def"), os.read(far, 3))
    port.close()
    client.close()
    """
    *refused, closed, garbage, last = in_a_process(served, line, script)
    assert len(refused) == 6
    for told in refused:
        assert told.startswith("['ConnectionClosed', 'no', 'the serial port belongs to the process that this one was")
    assert (closed, garbage) == ("['returned', [None, True, False]]", "['returned', False]")
    assert last == "b'abc' 3 b'def'"


def test_an_asynchronous_port(served: tuple[str, Path], line: Line) -> None:
    script = """
    client = AsyncClient(url, token_file=token_file)
    async def main():
        port = await client.hardware.serial(file, timeout=30)
        async def child():
            return await port.read(1)
        print(await asyncio.to_thread(lambda: Child(lambda: asyncio.run(child())).answer()))
        print(Child(lambda: asyncio.run(port.write(b"x"))).answer())
        print(Child(lambda: [asyncio.run(port.close()), port.closed]).answer())
        os.write(far, b"abc")
        print(await port.read(3), await port.write(b"def"), os.read(far, 3))
        await port.close()
        await client.close()
    asyncio.run(main())
    """
    one, two, closed, last = in_a_process(served, line, script)
    for told in (one, two):
        assert told.startswith("['ConnectionClosed', 'no', 'the serial port belongs to the process that this one was")
    assert (closed, last) == ("['returned', [None, True]]", "b'abc' 3 b'def'")
