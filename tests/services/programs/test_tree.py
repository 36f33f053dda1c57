"""Ending a program ends its whole tree, and nothing else."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from rpcclient import AsyncClient
from rpcservices.programs.running import processes, tree

Serve = Callable[..., None]


def children_of_ours() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def test_a_stale_id_hits_nobody() -> None:
    """The process that has a program's id by now is another one: it started at another time."""
    with subprocess.Popen(["sleep", "60"]) as other:
        start = processes.read(other.pid)
        assert start is not None
        assert not processes.send(other.pid, start.start - 1, 9)
        root = tree.Root(other.pid, start.start - 1, "p0")
        assert other.pid not in {process.pid for process in tree.members(root)}
        tree.send([start._replace(start=start.start - 1)], 9)
        assert other.poll() is None
        assert processes.send(other.pid, start.start, 15)
        assert other.wait(10) == -15
        assert not processes.send(other.pid, start.start, 15)


def test_a_name_with_anything_in_it() -> None:
    code = "open('/proc/self/comm', 'w').write(') S 1 (x'); print('ready', flush=True); input()"
    with subprocess.Popen(["python3", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        found = processes.read(process.pid)
        assert found is not None
        assert (found.parent, found.alive) == (os.getpid(), True)
        process.communicate(b"\n")
    assert processes.read(process.pid) is None


def test_children_where_the_kernel_does_not_list_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        listed = {process.pid for process in processes.children(os.getpid())}
        monkeypatch.setattr(processes.os, "listdir", no_threads(os.listdir))
        assert child.pid in listed
        assert listed <= {process.pid for process in processes.children(os.getpid())}


def no_threads(listdir: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """A kernel without lists of children, as far as a folder of threads goes."""

    def without(path: str) -> list[str]:
        if path.endswith("/task"):
            raise FileNotFoundError(path)
        return listdir(path)

    return without


def test_identity(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["sleep", "60"])
        found = processes.read(program.pid)
        assert found is not None
        assert (found.pid, found.start) == (program.pid, program.info.pid_start)
        await client.programs.kill(program.id)

    serve(scenario)


def test_what_handles_term_has_its_time(serve: Serve, kit: Any) -> None:
    """A child that ends in order is given the time for it, although the program itself has ended at once."""

    async def scenario(client: AsyncClient) -> None:
        script = (
            "sh -c \"trap 'sleep 0.3; echo cleaned up; exit' TERM; echo ready; while :; do sleep 0.05; done\" & wait"
        )
        program = await client.programs.start(["sh", "-c", script])
        async with client.programs.output(program.id) as chunks:
            await kit.read_until(chunks, b"ready")
            ended = await client.programs.kill(program.id, grace_s=10)
        assert ended.survivors == []
        assert b"cleaned up" in await kit.all_output(client, program.id)

    serve(scenario)


def test_what_is_stopped_is_ended_too(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["sh", "-c", "kill -STOP $$; sleep 60"])
        process = psutil.Process(program.pid)
        await kit.until(lambda: process.status() == psutil.STATUS_STOPPED)
        ended = await client.programs.kill(program.id, grace_s=5)
        assert ended.status.signal == "SIGTERM"

    serve(scenario)


def test_what_has_left_before_the_end(serve: Serve, kit: Any) -> None:
    """Double fork and setsid, and the program itself is long gone: it is still found, and ended."""

    async def scenario(client: AsyncClient) -> None:
        mark = "86394.25"
        script = f"setsid sh -c 'sleep {mark} >/dev/null 2>&1 &' ; exit 3"
        program = await client.programs.start(["sh", "-c", script])
        ended = await client.programs.wait(program.id)
        assert (ended.status.code, ended.pipes_still_held) == (3, False)
        assert len(kit.with_argument(mark)) == 1
        ended = await client.programs.kill(program.id)
        assert (ended.status.code, ended.survivors) == (3, [])
        assert kit.with_argument(mark) == []

    serve(scenario)


def test_signals_have_their_defaults(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        from rpcclient.stubs.programs import Limits

        for limits in (None, Limits(open_files=100)):
            done = await client.programs.run(["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"], limits=limits)
            # Signals 32 and 33 are the C library's own; Python can neither see nor set them.
            found = [int(line.split()[1], 16) & ~(0b11 << 31) for line in done.stdout.splitlines()]
            assert found == [0, 0]

    serve(scenario)


def test_no_descriptor_of_the_server_gets_through(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        from rpcclient.stubs.programs import Limits, TerminalSize

        held = os.open("/etc/passwd", os.O_RDONLY)
        os.set_inheritable(held, True)
        try:
            for options in ({}, {"limits": Limits(open_files=64)}):
                done = await client.programs.run(["ls", "/proc/self/fd"], **options)  # type: ignore[arg-type]
                assert done.stdout.split() == [b"0", b"1", b"2", b"3"]  # 3 is the folder that ls reads.
            program = await client.programs.start(
                ["ls", "/proc/self/fd"], terminal=TerminalSize(), on_disconnect="keep"
            )
            async with client.programs.output(program.id) as chunks:
                shown = b"".join([chunk.data async for chunk in chunks])
            assert shown.split() == [b"0", b"1", b"2", b"3"]
        finally:
            os.close(held)

    serve(scenario)


@pytest.mark.parametrize("on_disconnect", ["kill", "keep"])
@pytest.mark.parametrize("cgroups", [True, False])
def test_what_an_ended_program_left_is_ended_too(
    serve: Serve, kit: Any, tmp_path: Path, on_disconnect: Any, cgroups: bool
) -> None:
    """In its session and out of it, with time to end in order."""
    mark = "86394.125"
    heard = tmp_path / "heard"
    polite = f"exec 2>/dev/null; trap 'echo TERM > {heard}; exit' TERM; echo ready; while :; do sleep 0.05; done"
    script = f'sleep {mark} & setsid sleep {mark} & (setsid sh -c "{polite}" {mark} &); exit 3'

    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["sh", "-c", script], on_disconnect=on_disconnect)
        async with client.programs.output(program.id) as chunks:
            await kit.read_until(chunks, b"ready")
        ended = await client.programs.wait(program.id)
        assert (ended.status.code, ended.pipes_still_held) == (3, True)
        assert len(kit.with_argument(mark)) == 3
        ended = await client.programs.kill(program.id, grace_s=10)
        assert (ended.status.code, ended.survivors) == (3, [])
        assert kit.with_argument(mark) == []
        assert heard.read_text() == "TERM\n"
        assert (await client.programs.kill(program.id)).survivors == []

    serve(scenario, cgroups=cgroups)


def test_what_an_ended_program_left_without_its_mark(serve: Serve, kit: Any) -> None:
    """Its session tells whose it is: it is as old as that."""
    mark = "86394.375"

    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["sh", "-c", f"env -i $(command -v sleep) {mark} & exit 3"])
        await client.programs.wait(program.id)
        await kit.until(lambda: len(kit.with_argument(mark)) == 1)
        assert (await client.programs.kill(program.id)).survivors == []
        assert kit.with_argument(mark) == []

    serve(scenario, cgroups=False)
