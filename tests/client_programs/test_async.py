"""Handles of started programs, in the asynchronous client. What both have in common is tested with its twin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from rpcclient import AsyncClient, OutputLost
from rpcclient.errors import DeadlineExceeded
from rpcclient.stubs.programs import StdinClosed, TerminalSize

Scenario = Callable[[AsyncClient], Coroutine[Any, Any, None]]


@pytest.fixture
def run(daemon: Any) -> Callable[[Scenario], None]:
    def perform(scenario: Scenario) -> None:
        async def main() -> None:
            async with daemon.async_client() as client:
                await scenario(client)

        asyncio.run(main())

    return perform


def test_a_conversation(run: Callable[[Scenario], None]) -> None:
    async def scenario(client: AsyncClient) -> None:
        argv = ["sh", "-c", "while read line; do echo got $line; done; echo errors >&2; exit 5"]
        async with await client.programs.start(argv, text=True) as program:
            async with program.stdin as stdin:
                for word in ("one\n", "two\n"):
                    assert await stdin.write(word) == 4
                    assert await program.stdout.readline() == f"got {word}"
                assert await program.poll() is None
            assert [line async for line in program.stderr.lines()] == ["errors\n"]
            assert await program.stdout.read() == ""
            assert (await program.wait()).status.code == 5
            with pytest.raises(StdinClosed):
                await program.stdin.write("late")
        assert program.returncode == 5
        assert [chunk.data async for chunk in program.output()] == [b"got one\ngot two\n", b"errors\n"]
        attached = await client.programs.attach(program.id, offset=4)
        assert [piece async for piece in attached.stdout] == [b"one\ngot two\n"]
        assert await attached.poll() == 5
        await program.forget()

    run(scenario)


def test_communicate(run: Callable[[Scenario], None]) -> None:
    async def scenario(client: AsyncClient) -> None:
        data = bytes(3_000_000)
        program = await client.programs.start(["sh", "-c", "cat; echo end >&2; exit 3"], overflow="wait")
        done = await program.communicate(data)
        assert (done.stdout == data, done.stderr, done.returncode) == (True, b"end\n", 3)
        async with await client.programs.start(["sh", "-c", "read go; echo end"], text=True) as slow:
            with pytest.raises(DeadlineExceeded):
                await slow.communicate(timeout_s=0.1)
            with pytest.raises(DeadlineExceeded):
                await slow.wait(0.1)
            assert (await slow.communicate("go\n")).stdout == "end\n"

    run(scenario)


def test_cancelling_a_reader_loses_nothing(run: Callable[[Scenario], None]) -> None:
    async def scenario(client: AsyncClient) -> None:
        async with await client.programs.start(["cat"], text=True) as program:
            for number in range(20):
                reading = asyncio.ensure_future(program.stdout.readline())
                await asyncio.sleep(0)
                await program.stdin.write(f"line {number}\n")
                reading.cancel()
                try:
                    assert await reading == f"line {number}\n"
                except asyncio.CancelledError:
                    assert await program.stdout.readline() == f"line {number}\n"

    run(scenario)


def test_leaving_the_block(run: Callable[[Scenario], None]) -> None:
    async def scenario(client: AsyncClient) -> None:
        async with await client.programs.start(["sleep", "60"], grace_s=0) as program:
            pass
        assert program.returncode == -9
        async with await client.programs.start(["sleep", "60"], on_disconnect="keep") as kept:
            pass
        assert await kept.poll() is None
        assert (await kept.kill()).survivors == []
        async with await client.programs.start(["sleep", "60"]) as detached:
            await detached.detach()
        assert (await detached.terminate()).status.signal == "SIGTERM"

    run(scenario)


def test_lines_go_on_behind_a_gap(run: Callable[[Scenario], None]) -> None:
    async def scenario(client: AsyncClient) -> None:
        argv = ["seq", "100000"]
        async with await client.programs.start(argv, retain_bytes=1024, overflow="skip", text=True) as program:
            await program.wait()
            lines = program.stdout.lines()
            with pytest.raises(OutputLost):
                await anext(lines)
            found = [line async for line in lines]
            assert found[-1] == "100000\n"
            assert len(found) > 100

    run(scenario)


def test_gaps_terminals_and_control(run: Callable[[Scenario], None], daemon: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        long = await client.programs.start(["head", "-c", "100000", "/dev/zero"], retain_bytes=2048, overflow="skip")
        await long.wait()
        with pytest.raises(OutputLost):
            await long.stdout.read()
        assert await long.stdout.read()
        async with (
            daemon.async_client() as other,
            await client.programs.start(["cat"], terminal=TerminalSize(rows=10, columns=20), text=True) as program,
        ):
            taken = await other.programs.attach(program.id, take=True, text=True)
            await taken.resize(11, 21)
            assert (await program.refresh()).controlled
            await program.control(take=True)
            await program.stdin.write("é\n")
            assert await program.stdout.readline() == "é\n"
            assert await program.send_signal("INT")
            assert (await program.wait()).status.signal == "SIGINT"
            assert repr(program).endswith("ended by SIGINT>")

    run(scenario)
