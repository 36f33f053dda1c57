"""Programs in a pseudo-terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcclient.errors import InvalidParams
from rpcclient.stubs.programs import NoTerminal, TerminalSize

Serve = Callable[..., None]
SIZE = TerminalSize(rows=30, columns=100)


def test_it_is_a_terminal_of_the_size_and_type_asked_for(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        script = "test -t 0 && test -t 1 && test -t 2 && stty size && echo $TERM && tty && ps -o tty= -p $$"
        program = await client.programs.start(["sh", "-c", script], terminal=SIZE)
        shown = (await kit.all_output(client, program.id)).decode().split()
        assert shown[:3] == ["30", "100", "xterm-256color"]
        assert shown[3].startswith("/dev/pts/")
        assert shown[4] == shown[3].removeprefix("/dev/")  # Its controlling terminal, too.
        info = await client.programs.get(program.id)
        assert info.terminal == SIZE
        assert (await client.programs.wait(program.id)).status.code == 0

    serve(scenario)


def test_resizing_is_told_to_the_program(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done"
        program = await client.programs.start(["sh", "-c", script], terminal=SIZE)
        async with client.programs.output(program.id) as chunks:
            await kit.read_until(chunks, b"ready")
            await client.programs.resize(program.id, 50, 120)
            await kit.read_until(chunks, b"50 120")
        assert (await client.programs.get(program.id)).terminal == TerminalSize(rows=50, columns=120)
        with pytest.raises(InvalidParams, match="rows"):
            await client.programs.resize(program.id, 0, 10)
        await client.programs.kill(program.id)
        with pytest.raises(NoTerminal):
            await client.programs.resize(program.id, 10, 10)
        plain = await client.programs.start(["sleep", "60"])
        with pytest.raises(NoTerminal):
            await client.programs.resize(plain.id, 10, 10)

    serve(scenario)


def test_ctrl_c_goes_through_the_line_discipline(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        # Not sleep: dash loses an interrupt that comes between its vfork and the exec of a program.
        program = await client.programs.start(["sh", "-c", "echo ready; read word"], terminal=SIZE)
        async with client.programs.output(program.id) as chunks:
            await kit.read_until(chunks, b"ready")
            await client.programs.write(program.id, b"\x03")
            ended = await client.programs.wait(program.id)
        assert (ended.status.signal, ended.status.code) in (("SIGINT", None), (None, 130))

    serve(scenario)


def test_a_shell_with_job_control(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["bash", "--norc", "-i"], terminal=SIZE, env={"PS1": "> "})
        async with client.programs.output(program.id) as chunks:
            await kit.read_until(chunks, b"> ")
            # It starts no processes: one that is stopped between vfork and exec would hold up its parent for ever.
            # What its handler does may come while it prints, which cannot be done within itself.
            handler = "signal.signal(signal.SIGCONT, lambda *_: os.write(1, b'woken\\n'))"
            script = f"import os, signal; {handler}; print('begun', flush=True); [signal.pause() for _ in iter(int, 1)]"
            await client.programs.write(program.id, f'python3 -c "{script}"\n'.encode())
            await kit.read_until(chunks, b"begun\r\n")
            await client.programs.write(program.id, b"\x1a")
            await kit.read_until(chunks, b"Stopped")
            await client.programs.write(program.id, b"jobs; echo $((6*7))\n")
            await kit.read_until(chunks, b"42\r\n")
            await client.programs.write(program.id, b"fg\n")
            await kit.read_until(chunks, b"woken\r\n")
            await client.programs.write(program.id, b"\x03")
            await kit.read_until(chunks, b"> ")
            await client.programs.write(program.id, b"exit 3\n")
        assert (await client.programs.wait(program.id)).status.code == 3

    serve(scenario)


def test_all_of_it_comes_before_the_end_of_a_terminal(serve: Serve, kit: Any) -> None:
    """What is written last is still to be read after the exit, and then comes EIO, which is the end."""

    async def scenario(client: AsyncClient) -> None:
        for _ in range(10):
            program = await client.programs.start(["sh", "-c", "head -c 3000 /dev/zero; printf end"], terminal=SIZE)
            ended = await client.programs.wait(program.id)
            assert not ended.pipes_still_held
            assert await kit.all_output(client, program.id) == bytes(3000) + b"end"

    serve(scenario)


def test_end_of_input_in_a_terminal(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["sh", "-c", "cat; echo over"], terminal=SIZE)
        await client.programs.write(program.id, b"text\n")
        await client.programs.close_stdin(program.id)
        assert (await kit.all_output(client, program.id)) == b"text\r\ntext\r\nover\r\n"

    serve(scenario)


def test_something_that_stays_behind_in_the_terminal(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        script = "trap '' HUP; sleep 30 & echo done"
        program = await client.programs.start(["sh", "-c", script], terminal=SIZE)
        ended = await asyncio.wait_for(client.programs.wait(program.id), 10)
        assert ended.pipes_still_held
        assert await kit.all_output(client, program.id) == b"done\r\n"
        assert (await client.programs.kill(program.id)).survivors == []

    serve(scenario)


def test_a_full_screen_program(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["vi", "-u", "NONE"], terminal=SIZE)
        async with client.programs.output(program.id) as chunks:
            await kit.read_until(chunks, b"~")  # Drawn: it has the terminal as it wants it.
            await client.programs.write(program.id, b":q!\r")
        assert (await asyncio.wait_for(client.programs.wait(program.id), 20)).status.code == 0

    import shutil

    if shutil.which("vi") is None:
        pytest.skip("there is no vi")
    serve(scenario)


def test_a_kept_terminal_has_its_last_size_after_a_restart(serve: Serve) -> None:
    async def before(client: AsyncClient) -> None:
        program = await client.programs.start(["cat"], terminal=SIZE, on_disconnect="keep")
        await client.programs.resize(program.id, 50, 120)
        assert (await client.programs.get(program.id)).terminal == TerminalSize(rows=50, columns=120)

    async def after(client: AsyncClient) -> None:
        (program,) = await client.programs.list()
        assert program.terminal == TerminalSize(rows=50, columns=120)
        await client.programs.kill(program.id)

    serve(before)
    serve(after)
