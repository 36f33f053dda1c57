"""Programs that outlive the server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop

from rpcclient import AsyncClient, Client
from rpcclient.stubs.programs import NoTerminal, ProgramNotFound, ProgramNotStarted, StdinClosed, TerminalSize
from rpcserver.config import ServerConfig
from rpcserver.server import Server
from rpcservices.programs import Programs
from rpcservices.programs.keeping.client import KeptProgram
from rpcservices.programs.running import records
from rpcservices.programs.running.records import About, Order
from rpcservices.programs.running.spawning import Launch
from rpcservices.programs.running.supervision import Ending, Supervision
from rpcservices.programs.terms import MARK

Serve = Callable[..., None]


def test_it_goes_on_without_a_server(serve: Serve, kit: Any) -> None:
    known: dict[str, str] = {}

    async def before(client: AsyncClient) -> None:
        script = "echo one; read x; echo got $x; echo err >&2; exit 7"
        program = await client.programs.start(["sh", "-c", script], on_disconnect="keep", labels={"a": "b"})
        async with client.programs.output(program.id) as chunks:
            await kit.read_until(chunks, b"one\n")
        known["id"] = program.id

    async def after(client: AsyncClient) -> None:
        (program,) = await client.programs.list()
        assert (program.id, program.running, program.labels) == (known["id"], True, {"a": "b"})
        assert psutil.Process(program.pid).is_running()
        await client.programs.write(program.id, b"there\n")
        assert await kit.all_output(client, program.id, stream="stdout") == b"one\ngot there\n"
        assert await kit.all_output(client, program.id, stream="stderr") == b"err\n"
        assert (await client.programs.wait(program.id)).status.code == 7

    async def later(client: AsyncClient) -> None:
        """Long after its end, a third server still knows everything."""
        ended = await client.programs.wait(known["id"])
        assert ended.status.code == 7
        assert ended.usage is not None
        assert await kit.all_output(client, known["id"], stream="stdout", offset=4) == b"got there\n"
        await client.programs.forget(known["id"])
        with pytest.raises(ProgramNotFound):
            await client.programs.get(known["id"])

    async def at_last(client: AsyncClient) -> None:
        assert await client.programs.list() == []

    for scenario in (before, after, later, at_last):
        serve(scenario)


def test_a_timeout_of_years(serve: Serve, kit: Any) -> None:
    """It is beyond what epoll can wait for at once."""

    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["cat"], on_disconnect="keep", timeout_s=1e9, idle_timeout_s=1e9)
        await client.programs.write(program.id, b"here\n")
        await client.programs.close_stdin(program.id)
        assert await kit.all_output(client, program.id) == b"here\n"
        ended = await client.programs.wait(program.id)
        assert (ended.status.code, ended.status.lost) == (0, False)

    serve(scenario)


def test_nothing_runs_that_its_keeper_cannot_write_down(kit: Any, tmp_path: Path) -> None:
    mark = "86396.875"
    (tmp_path / f"{records.ABOUT}.new").mkdir()
    launch = Launch(["sleep", mark], "/", {"PATH": os.environ["PATH"], MARK: "p1"})
    order = Order(About("p1", "ada", launch.argv, "/", 1.0, retain_bytes=1024), launch, Supervision("p1"))
    command = [sys.executable, "-I", "-m", "rpcservices.programs.keeping.keeper", str(tmp_path)]
    done = subprocess.run(command, input=order.dump(), capture_output=True, timeout=20)
    assert (done.returncode, json.loads(done.stdout)["field"]) == (1, "argv")
    assert kit.with_argument(mark) == []


def test_it_ends_while_there_is_no_server(serve: Serve, kit: Any, tmp_path: Path) -> None:
    known: dict[str, str] = {}
    gate = tmp_path / "gate"

    async def before(client: AsyncClient) -> None:
        script = f"while [ ! -e {gate} ]; do sleep 0.05; done; head -c 300000 /dev/zero; echo end; kill -USR1 $$"
        known["id"] = (await client.programs.start(["sh", "-c", script], on_disconnect="keep")).id

    async def after(client: AsyncClient) -> None:
        ended = await client.programs.wait(known["id"])
        assert (ended.status.signal, ended.status.lost) == ("SIGUSR1", False)
        assert await kit.all_output(client, known["id"]) == bytes(300_000) + b"end\n"
        info = await client.programs.get(known["id"])
        assert info.stdout_bytes == 300_004

    serve(before)
    keeper = kit.keeper_of(known["id"])
    gate.touch()
    keeper.wait(20)
    serve(after)


def test_it_does_all_that_others_do(serve: Serve, kit: Any, tmp_path: Path) -> None:
    async def scenario(client: AsyncClient) -> None:
        keep: dict[str, Any] = {"on_disconnect": "keep"}
        shell = await client.programs.start(
            ["sh", "-c", "trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done"],
            terminal=TerminalSize(rows=20, columns=70),
            **keep,
        )
        async with client.programs.output(shell.id) as chunks:
            await kit.read_until(chunks, b"20 70")
            await client.programs.resize(shell.id, 33, 44)
            await kit.read_until(chunks, b"33 44")
            await client.programs.write(shell.id, b"\x03")
        assert (await client.programs.wait(shell.id)).status.signal == "SIGINT"

        mark = "86396.25"
        tree = await client.programs.start(
            ["sh", "-c", f"(setsid env -i sleep {mark} &) & trap '' TERM; sleep {mark}; sleep {mark}"], **keep
        )
        await kit.until(lambda: len(kit.with_argument(mark)) >= 2)
        with pytest.raises(NoTerminal):
            await client.programs.resize(tree.id, 1, 1)
        ended = await client.programs.kill(tree.id, grace_s=0.3)
        assert (ended.status.signal, ended.survivors) == ("SIGKILL", [])
        await kit.until(lambda: not kit.with_argument(mark))

        timed = await client.programs.start(["sleep", "60"], timeout_s=0.2, **keep)
        ended = await client.programs.wait(timed.id)
        assert (ended.status.limit, ended.status.timed_out, ended.status.signal) == ("time", True, "SIGTERM")

        signalled = await client.programs.start(["sleep", "60"], **keep)
        assert await client.programs.signal(signalled.id, "USR2")
        assert (await client.programs.wait(signalled.id)).status.signal == "SIGUSR2"
        with pytest.raises(StdinClosed):
            await client.programs.write(signalled.id, b"late")
        with pytest.raises(ProgramNotStarted, match="argv") as caught:
            await client.programs.start(["no-such-program-here"], **keep)
        assert caught.value.errno == "ENOENT"
        await kit.until(lambda: not kit.keepers(str(tmp_path)))

    serve(scenario)


def test_the_keeper_is_killed(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        mark = "86396.5"
        script = f"echo before; (setsid sleep {mark} &) ; sleep {mark}"
        program = await client.programs.start(["sh", "-c", script], on_disconnect="keep")
        async with client.programs.output(program.id) as chunks:
            await kit.read_until(chunks, b"before")
            await kit.until(lambda: len(kit.with_argument(mark)) == 2)
            os.kill(kit.keeper_of(program.id).pid, signal.SIGKILL)
            with pytest.raises(StopAsyncIteration):
                await asyncio.wait_for(anext(chunks), 20)
        ended = await client.programs.wait(program.id)
        assert ended.status.lost
        assert (ended.status.code, ended.status.signal, ended.usage) == (None, None, None)
        assert not kit.with_argument(mark)
        assert await kit.all_output(client, program.id) == b"before\n"

    serve(scenario)


def test_the_keeper_is_asked_to_end(serve: Serve, kit: Any) -> None:
    """As when the machine is shut down: the program is ended in order, and that is written down."""

    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(
            ["sh", "-c", "trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.05; done"],
            on_disconnect="keep",
        )
        async with client.programs.output(program.id) as chunks:
            await kit.read_until(chunks, b"ready")
            os.kill(kit.keeper_of(program.id).pid, signal.SIGTERM)
            await kit.read_until(chunks, b"bye")
        assert (await client.programs.wait(program.id)).status.code == 9

    serve(scenario)


def test_forgotten_in_time_after_a_restart(serve: Serve, kit: Any, tmp_path: Path) -> None:
    async def before(client: AsyncClient) -> None:
        program = await client.programs.start(["true"], on_disconnect="keep", retain_s=0.5)
        await client.programs.wait(program.id)

    async def after(client: AsyncClient) -> None:
        async def gone() -> None:
            while await client.programs.list():
                await asyncio.sleep(0.01)

        await asyncio.wait_for(gone(), 10)
        assert list((tmp_path / "services" / "programs" / "kept").iterdir()) == []

    serve(before)
    serve(after)


@pytest.mark.parametrize("is_plain", [False, True], ids=["AsyncClient", "Client"])
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_one_that_is_forgotten_at_once_leaves_nothing_to_a_server_that_stops(
    is_plain: bool, new_loop: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path, kit: Any
) -> None:
    """Its keeper has told its end, and has not ended itself yet."""
    has_leave = threading.Event()

    async def main() -> None:
        service = Programs()
        server = Server(ServerConfig(state_dir=str(tmp_path)), [service], token="t" * 32)
        await server.start(listen=False)
        try:
            async with AsyncClient(memory=server.connect_memory) as client:
                program_id = (await client.programs.start(["sleep", "1000"], on_disconnect="keep")).id
                program = service.programs[program_id]
                assert isinstance(program, KeptProgram)
                keeper, listening = program._keeper, program.listening
                assert keeper is not None
                assert listening is not None
                wait = keeper.wait
                keeper.wait = lambda timeout=None: wait(timeout if has_leave.wait(20) else 0)  # type: ignore[method-assign]
                if is_plain:

                    def kill_and_forget() -> None:
                        with Client(memory=server.connect_memory) as plain:
                            plain.programs.kill(program_id)
                            plain.programs.forget(program_id)

                    await asyncio.to_thread(kill_and_forget)
                else:
                    await client.programs.kill(program_id)
                    await client.programs.forget(program_id)
                assert not service.programs
                assert not listening.done()
        finally:
            await server.stop(grace_s=0)
            has_leave.set()
        assert listening.done()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    assert kit.keepers(str(tmp_path)) == []


def test_a_keeper_is_small(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["cat"], on_disconnect="keep")
        keeper = kit.keeper_of(program.id)
        loaded = {path.path for path in keeper.memory_maps() if path.path.endswith(".so")}
        assert not [path for path in loaded if "pydantic" in path or "msgspec" in path or "psutil" in path]
        assert keeper.num_threads() == 1
        await client.programs.kill(program.id)

    serve(scenario)


def test_kept_programs_are_listed_in_the_order_of_their_starts(serve: Serve) -> None:
    started: list[str] = []

    async def before(client: AsyncClient) -> None:
        programs = [await client.programs.start(["sleep", "60"], on_disconnect="keep") for _ in range(5)]
        started.extend(program.id for program in programs)

    async def after(client: AsyncClient) -> None:
        assert [program.id for program in await client.programs.list()] == started
        for program_id in started:
            await client.programs.kill(program_id)
            await client.programs.forget(program_id)

    serve(before)
    serve(after)


def test_words_that_only_another_version_of_the_keeper_knows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They end no program, and what comes after them is heard."""

    async def main() -> None:
        about = About("p1", "ada", ["sleep", "60"], "/", time.time(), boot_id="another boot")
        program = KeptProgram(about, str(tmp_path))
        reader = asyncio.StreamReader()
        for line in (b"hello", b'{"output": {"video": [0, 1, false]}}', b'{"output": {"stdout": 1}}', b"[1]"):
            reader.feed_data(line + b"\n")
        reader.feed_data(json.dumps({"ending": asdict(Ending(code=3)), "ended_at": 1.0}).encode() + b"\n")
        reader.feed_eof()
        await program._listen(reader)
        assert program.exit is not None
        assert (program.exit.status.code, program.exit.status.lost) == (3, False)

    asyncio.run(main())
    assert caplog.text.count("its keeper said something unknown") == 4
