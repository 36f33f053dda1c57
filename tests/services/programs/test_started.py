"""Programs that were started: followed, fed, signalled, ended with all that they have started."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from rpcclient import AsyncClient
from rpcclient.errors import InvalidParams
from rpcclient.stubs.programs import ProgramNotFound, ProgramNotStarted, StdinClosed
from rpcservices.programs import Programs
from rpcservices.programs.keeping.ledger import read_notes
from rpcservices.programs.keeping.leftovers import Trace
from rpcservices.programs.running.records import About
from rpcservices.programs.running.spawning import Launch
from rpcservices.programs.running.supervision import Supervision
from rpcservices.programs.terms import MARK

Serve = Callable[..., None]


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, "the event did not come in time"
        await asyncio.sleep(0.01)


def with_argument(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if mark in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


async def all_output(client: AsyncClient, program: str, **options: Any) -> bytes:
    async with client.programs.output(program, **options) as chunks:
        return b"".join([chunk.data async for chunk in chunks])


def test_a_conversation(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["sh", "-c", "while read line; do echo got $line; done; exit 5"])
        async with client.programs.output(program.id) as chunks:
            for word in (b"one\n", b"two\n"):
                await client.programs.write(program.id, word)
                assert (await anext(chunks)).data == b"got " + word
            await client.programs.close_stdin(program.id)
            with pytest.raises(StopAsyncIteration):
                await anext(chunks)
        ended = await client.programs.wait(program.id)
        assert ended.status.code == 5
        info = await client.programs.get(program.id)
        assert (info.running, info.stdout_bytes) == (False, 16)

    serve(scenario)


def test_all_output_comes_before_the_exit(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        for _ in range(20):
            program = await client.programs.start(["sh", "-c", "head -c 3000 /dev/zero; echo end"])
            await client.programs.wait(program.id)
            assert await all_output(client, program.id) == bytes(3000) + b"end\n"

    serve(scenario)


def test_two_viewers_and_offsets(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["sh", "-c", "echo 0123456789; echo errors >&2"])
        both = await asyncio.gather(*(all_output(client, program.id, stream="stdout") for _ in range(2)))
        assert both == [b"0123456789\n", b"0123456789\n"]
        assert await all_output(client, program.id, stream="stdout", offset=4) == b"456789\n"
        assert await all_output(client, program.id, stream="stderr") == b"errors\n"

    serve(scenario)


def test_what_is_no_longer_kept_is_counted(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["sh", "-c", "head -c 1000000 /dev/zero; printf end"], overflow="skip")
        await client.programs.wait(program.id)
        async with client.programs.output(program.id) as chunks:
            found = [chunk async for chunk in chunks]
        assert found[0].lost_bytes > 0
        assert found[0].lost_bytes == found[0].offset
        assert sum(len(chunk.data) for chunk in found) + found[0].lost_bytes == 1_000_003
        assert found[-1].data.endswith(b"end")

    serve(scenario, retain_bytes=100_000)


def test_signals(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        script = "trap 'echo interrupted' INT; echo ready; while :; do sleep 0.05; done"
        program = await client.programs.start(["sh", "-c", script])
        async with client.programs.output(program.id) as chunks:
            assert (await anext(chunks)).data == b"ready\n"
            assert await client.programs.signal(program.id, "INT")
            assert (await anext(chunks)).data == b"interrupted\n"
        for same in ("winch", "SIGWINCH", str(signal.SIGWINCH.value)):
            assert await client.programs.signal(program.id, same)
        for wrong in ("NOSUCH", "SIG", "", "0", "4711", "\u00b2"):
            with pytest.raises(InvalidParams, match="there is no signal"):
                await client.programs.signal(program.id, wrong)
        ended = await client.programs.kill(program.id)
        assert ended.status.signal == "SIGKILL"
        assert not await client.programs.signal(program.id, "SIGTERM")

    serve(scenario)


def test_killing_takes_the_whole_tree(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        mark = "86398.25"
        # In the group, in a session of its own, and double-forked away from its parent.
        script = f"sleep {mark} & setsid sleep {mark} & (setsid sh -c 'sleep {mark}' &) & sleep {mark}"
        program = await client.programs.start(["sh", "-c", script])
        await until(lambda: len(with_argument(mark)) == 4)
        ended = await client.programs.kill(program.id, grace_s=0.2)
        assert ended.survivors == []
        assert with_argument(mark) == []

    serve(scenario)


def test_it_ends_with_its_connection(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        mark = "86397.25"
        other: AsyncClient = client.open_another()  # type: ignore[attr-defined]
        await other.programs.start(["sleep", mark])
        await until(lambda: with_argument(mark))
        await other.close()
        await until(lambda: not with_argument(mark), 2)

    serve(scenario)


def test_names_that_nothing_has(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        programs = client.programs
        for call in (programs.wait, programs.kill, programs.get, programs.forget, programs.close_stdin):
            with pytest.raises(ProgramNotFound) as caught:
                await call("p0")
            assert caught.value.id == "p0"
        with pytest.raises(ProgramNotFound):
            await programs.output("p0").open()

    serve(scenario)


def test_stdin_that_is_closed(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["sleep", "60"])
        await client.programs.close_stdin(program.id)
        with pytest.raises(StdinClosed):
            await client.programs.write(program.id, b"too late")
        await client.programs.forget(program.id)
        assert await client.programs.list() == []

    serve(scenario)


def test_writing_waits_for_a_program_that_does_not_read(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["sh", "-c", "read go; exec cat"])
        big = asyncio.ensure_future(client.programs.write(program.id, b"go\n" + b"x" * 1_000_000))
        written = 0
        async with client.programs.output(program.id) as chunks:
            async for chunk in chunks:
                written += len(chunk.data)
                if written == 1_000_000:
                    break
        await big
        await client.programs.kill(program.id)

    serve(scenario)


def test_nothing_runs_whose_output_cannot_be_kept(serve: Serve, tmp_path: Path, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        mark = "86396.375"
        folder = tmp_path / "services" / "programs" / "output"
        folder.rmdir()
        folder.touch()
        with pytest.raises(ProgramNotStarted, match="output cannot be kept"):
            await client.programs.start(["sleep", mark])
        assert await client.programs.list() == []
        assert kit.with_argument(mark) == []

    serve(scenario)


def test_nothing_runs_that_nobody_can_look_after(serve: Serve, tmp_path: Path, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        mark = "86396.625"
        service: Programs = client.service_here  # type: ignore[attr-defined]
        script = f"setsid sleep {mark} & sleep {mark}"
        launch = Launch(["sh", "-c", script], "/", {"PATH": os.environ["PATH"], MARK: "p1"})
        spawned, cgroup = await service.spawn(launch)
        notes = str(tmp_path / "services" / "programs" / "hosted")
        assert read_notes(notes) == {"p1": Trace("p1", spawned.pid, spawned.start)}
        await kit.until(lambda: len(kit.with_argument(mark)) == 2)
        supervision = Supervision("p1", timeout_s="soon")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            service.host(About("p1", "ada", ["sh"], "/", 1.0), spawned, supervision, (), cgroup=cgroup)
        assert kit.with_argument(mark) == []
        assert read_notes(notes) == {}

    serve(scenario)


def test_kept_programs_are_forgotten_in_time(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["true"])
        await client.programs.wait(program.id)

        async def gone() -> None:
            while await client.programs.list():
                await asyncio.sleep(0.01)

        await asyncio.wait_for(gone(), 5)

    serve(scenario, retain_s=0.1)
