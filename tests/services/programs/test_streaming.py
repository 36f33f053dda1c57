"""Running a program to its end in one call that streams its output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcclient.stubs.programs import ProgramNotStarted, ProgramUnsuccessful, RunEvent

Serve = Callable[..., None]


async def all_of(events: Any) -> list[Any]:
    async with events:
        return [event async for event in events]


def written(events: list[RunEvent], stream: str) -> bytes:
    return b"".join(each.output.data for each in events if each.output is not None and each.output.stream == stream)


def test_output_comes_as_it_is_written_and_the_end_comes_last(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        script = "echo begun; read line; echo $line; echo trouble >&2; exit 3"
        events = await all_of(client.programs.stream(["sh", "-c", script], input=b"go on\n"))
        assert written(events, "stdout") == b"begun\ngo on\n"
        assert written(events, "stderr") == b"trouble\n"
        assert [event.exit is not None for event in events] == [False] * (len(events) - 1) + [True]
        assert events[-1].exit is not None
        assert events[-1].exit.status.code == 3
        assert await client.programs.list() == []
        (info,) = [
            event.exit for event in await all_of(client.programs.stream(["sleep", "60"], timeout_s=0.1)) if event.exit
        ]
        assert info.status.timed_out
        assert written(await all_of(client.programs.stream(["echo", "well"], check=True)), "stdout") == b"well\n"
        with pytest.raises(ProgramUnsuccessful, match="exit code 4") as failure:
            await all_of(client.programs.stream(["sh", "-c", "exit 4"], check=True))
        assert (failure.value.exit_code, failure.value.signal, failure.value.executed) == (4, None, "yes")
        with pytest.raises(ProgramNotStarted, match="no-such-program"):
            await all_of(client.programs.stream(["no-such-program"]))

    serve(scenario)


def test_it_is_live(serve: Serve, kit: Any) -> None:
    """What is written comes while the program runs; closing the stream ends the program with its children."""

    async def scenario(client: AsyncClient) -> None:
        mark = "61.25"
        async with client.programs.stream(["sh", "-c", f"echo here; sleep {mark} & sleep {mark}"]) as events:
            event = await anext(events)
            assert event.output is not None
            assert event.output.data == b"here\n"
            await kit.until(lambda: len(kit.with_argument(mark)) == 2)
            assert [info.running for info in await client.programs.list()] == [True]
        await kit.until(lambda: not kit.with_argument(mark))
        service = client.service_here  # type: ignore[attr-defined]
        await kit.until(lambda: not service.programs)
        assert list(service.output_folder.iterdir()) == []

    serve(scenario)


def test_a_slow_reader_holds_the_program_and_loses_nothing(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        size = 3_000_000
        events = await all_of(client.programs.stream(["head", "-c", str(size), "/dev/zero"]))
        assert len(written(events, "stdout")) == size
        assert not any(event.output.lost_bytes for event in events if event.output is not None)

    serve(scenario, retain_bytes=256 * 1024)


def test_somebody_else_may_end_it(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        async with client.programs.stream(["sh", "-c", "echo here; exec sleep 60"]) as events:
            await anext(events)
            (info,) = await client.programs.list()
            await client.programs.kill(info.id)
            last = [event async for event in events][-1]
            assert last.exit is not None
            assert last.exit.status.signal == "SIGKILL"

    serve(scenario)


def test_several_programs_are_followed_at_once(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        for name, job in (("one", "a"), ("two", "a"), ("three", "b")):
            script = f"echo {name}; read line; echo $line"
            await client.programs.start(["sh", "-c", script], labels={"job": job})
        programs = await client.programs.list(labels={"job": "a"})
        seen: dict[str, bytes] = {}
        async with client.programs.outputs(labels={"job": "a"}) as pieces:
            async for piece in pieces:
                seen[piece.id] = seen.get(piece.id, b"") + piece.output.data
                if seen[piece.id] in (b"one\n", b"two\n"):
                    await client.programs.write(piece.id, b"end\n")
        assert sorted(seen.values()) == [b"one\nend\n", b"two\nend\n"]
        assert {program.id for program in programs} == set(seen)
        (piece,) = await all_of(client.programs.outputs(beginning=programs[0].id, tail_bytes=4, wait=False))
        assert (piece.id, piece.output.data) == (programs[0].id, b"end\n")
        assert await all_of(client.programs.outputs(beginning="none")) == []
        async with client.programs.outputs(labels={"job": "b"}) as pieces:
            assert (await anext(pieces)).output.data == b"three\n"  # The program runs, and nobody waits for its end.

    serve(scenario)
