"""Handles of programs in several event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcclient.errors import ConnectionClosed, LocalProtocolError, RpcError

LIMIT_S = 30.0


@pytest.fixture(params=[False, True], ids=["plain", "debug"])
def debug(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def new_loop(debug: bool) -> Callable[[], asyncio.AbstractEventLoop]:
    """Makes loops of this kind."""

    def make() -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.set_debug(debug)
        return loop

    return make


def test_a_handle_goes_on_in_another_loop(daemon: Any, debug: bool) -> None:
    """Its connection has ended with the first loop; the program has not."""
    client: AsyncClient = daemon.async_client()

    async def begin() -> tuple[Any, Any]:
        program = await client.programs.start(["sh", "-c", "echo one; read x; echo $x"], on_disconnect="keep")
        chunks = program.output()
        assert (await anext(chunks)).data == b"one\n"
        return program, chunks

    program, chunks = asyncio.run(begin(), debug=debug)

    async def reads_on() -> None:
        await anext(chunks)

    with pytest.raises(ConnectionClosed, match="the stream belongs to an event loop that has ended"):
        asyncio.run(reads_on(), debug=debug)

    async def end() -> None:
        await program.control(take=True)
        await program.stdin.write(b"two\n")
        done = await program.communicate()
        assert done.stdout == b"one\ntwo\n"
        assert program.returncode == 0
        await client.close()

    asyncio.run(end(), debug=debug)


def test_a_handle_used_elsewhere(daemon: Any, debug: bool, there: Any) -> None:
    client: AsyncClient = daemon.async_client()
    program = there(client.programs.start(["sh", "-c", "echo one; read x; echo $x"]))

    async def first(chunks: Any) -> bytes:
        return bytes((await anext(chunks)).data)

    chunks = program.output()
    assert there(first(chunks)) == b"one\n"
    uses = [
        program.wait,
        lambda: program.wait(0.1),
        program.poll,
        lambda: program.communicate(b"no"),
        lambda: program.stdin.write(b"no"),
        program.stdin.close,
        program.terminate,
        program.stdout.read,
        lambda: first(chunks),
        lambda: first(program.output()),
        chunks.aclose,
        lambda: program.resize(1, 1),
        lambda: client.programs.run(["true"]),
    ]
    for use in uses:
        with pytest.raises(LocalProtocolError, match="belongs to another event loop, which is not closed") as caught:
            asyncio.run(use(), debug=debug)
        assert caught.value.executed == "no"

    async def end() -> None:
        await program.stdin.write(b"two\n")
        assert await first(chunks) == b"two\n"
        assert (await program.wait()).status.code == 0
        await client.close()

    there(end())


def test_waiting_for_a_program_of_an_ended_loop(daemon: Any, debug: bool) -> None:
    """What let its output go by has ended with its loop, too."""
    client: AsyncClient = daemon.async_client()

    async def begin() -> Any:
        program = await client.programs.start(["sh", "-c", "read x; seq 100000"], on_disconnect="keep")
        with pytest.raises(RpcError):
            await program.wait(0.2)
        return program

    program = asyncio.run(begin(), debug=debug)

    async def end() -> None:
        await program.control(take=True)
        await program.stdin.close()
        done = await program.communicate()
        assert len(done.stdout) == 588895
        await client.close()

    asyncio.run(end(), debug=debug)
