"""How processes come into being: by the small process that makes them, and what is said when they do not."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from rpcclient import AsyncClient
from rpcclient.stubs.programs import Limits, ProgramNotStarted, TerminalSize
from rpcservices.programs.running import processes
from rpcservices.programs.running.launching import Launcher
from rpcservices.programs.running.spawning import Launch, LaunchError, SpawnedProgram, spawn
from rpcservices.programs.terms import MARK, UserIds

Serve = Callable[..., None]
NOWHERE = {"PATH": os.defpath}


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    found = Launcher()
    yield found
    found.stop()


def descriptors(pid: int) -> set[str]:
    return {entry.name for entry in Path(f"/proc/{pid}/fd").iterdir()}


def output(spawned: SpawnedProgram, launcher: Launcher) -> bytes:
    """All that it writes; it is let go, and everything of it is closed."""
    assert spawned.stdout is not None
    os.set_blocking(spawned.stdout, True)
    with os.fdopen(spawned.stdout, "rb") as file:
        found = file.read()
    launcher.let_go(spawned.ticket, spawned.pid)
    for descriptor in (spawned.pidfd, spawned.stdin, spawned.stderr):
        if descriptor is not None:
            os.close(descriptor)
    return found


def test_it_is_a_child_of_the_launcher_in_a_session_of_its_own(launcher: Launcher) -> None:
    spawned = spawn(Launch(("sh", "-c", "read x"), "/", NOWHERE), launcher)
    process = processes.read(spawned.pid)
    assert process is not None
    assert (process.parent, process.session, process.group) == (launcher.pid, spawned.pid, spawned.pid)
    assert process.start == spawned.start
    end = time.monotonic() + 20
    while descriptors(spawned.pid) != {"0", "1", "2"}:  # The loader still has the program's libraries open.
        assert time.monotonic() < end
    assert output_after_closing(spawned, launcher) == b""


def output_after_closing(spawned: SpawnedProgram, launcher: Launcher) -> bytes:
    assert spawned.stdin is not None
    os.close(spawned.stdin)
    spawned.stdin = None
    return output(spawned, launcher)


def test_it_is_found_on_its_own_path(launcher: Launcher, tmp_path: Path) -> None:
    for name, text in (("first", "#!/bin/sh\necho first"), ("second", "#!/bin/sh\necho second")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "tool").write_text(text)
        (folder / "tool").chmod(0o755)
    (tmp_path / "first" / "tool").chmod(0o644)  # It is no program: the next one is.
    path = f"{tmp_path}/none:{tmp_path}/first:{tmp_path}/second"
    assert output(spawn(Launch(("tool",), "/", {"PATH": path}), launcher), launcher) == b"second\n"
    assert output(spawn(Launch(("./tool",), f"{tmp_path}/second", {}), launcher), launcher) == b"second\n"
    refused = Launch(("tool",), "/", {"PATH": f"{tmp_path}/first"})
    with pytest.raises(LaunchError, match="argv: tool: Permission denied"):
        spawn(refused, launcher)


@pytest.mark.parametrize(
    ("launch", "field", "symbol"),
    [
        (Launch(("no-such-program",), "/", NOWHERE), "argv", "ENOENT"),
        (Launch(("/etc/hostname/x",), "/", {}), "argv", "ENOTDIR"),
        (Launch(("/dev/null",), "/", {}), "argv", "EACCES"),
        (Launch(("true",), "/no/such/folder", NOWHERE), "cwd", "ENOENT"),
        (Launch(("true", "\0"), "/", NOWHERE), "argv", None),
        (Launch(("true",), "/", NOWHERE, cgroups=("/no/such/group",)), "cgroup", "ENOENT"),
    ],
)
def test_what_cannot_be_started(launcher: Launcher, launch: Launch, field: str, symbol: str | None) -> None:
    launcher.start()
    before = descriptors(os.getpid())
    with pytest.raises(LaunchError) as caught:
        spawn(launch, launcher)
    assert (caught.value.field, caught.value.symbol) == (field, symbol)
    assert descriptors(os.getpid()) == before


def test_it_is_begun_anew_when_it_was_killed() -> None:
    launcher = Launcher()
    launcher.start()
    process = launcher._process
    assert process is not None
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    try:
        assert output(spawn(Launch(("echo", "again"), "/", NOWHERE), launcher), launcher) == b"again\n"
        assert launcher._process is not process
    finally:
        launcher.stop()
    assert launcher._process is None
    launcher.stop()  # A second time does nothing.


def test_it_ends_with_the_server(serve: Serve) -> None:
    found: list[int] = []

    async def scenario(client: AsyncClient) -> None:
        process = client.service_here.launcher._process  # type: ignore[attr-defined]
        assert os.getsid(process.pid) == process.pid  # Ctrl-C at the server's terminal is not for it.
        found.append(process.pid)

    serve(scenario)
    assert processes.read(found[0]) is None


def test_another_user_by_a_bare_name(launcher: Launcher, missing: Callable[[str], None]) -> None:
    """Nothing of the interpreter is needed any more once the rights are gone."""
    if os.geteuid() != 0:
        missing("only root can switch users")
    nobody = pwd.getpwnam("nobody")
    user = UserIds(nobody.pw_uid, nobody.pw_gid, (nobody.pw_gid,))
    spawned = spawn(Launch(("id", "-un"), "/", NOWHERE, user=user, stderr="merge"), launcher)
    assert output(spawned, launcher) == b"nobody\n"


def test_a_terminal_that_the_program_controls(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(
            ["sh", "-c", "tty; ps -o tpgid= -p $$; echo $$"], terminal=TerminalSize(rows=24, columns=80)
        )
        name, foreground, own = (await kit.all_output(client, program.id)).split()
        assert name.startswith(b"/dev/pts/")
        assert foreground == own

    serve(scenario)


LOOPS = {"asyncio": None, "uvloop": uvloop.new_event_loop}


@pytest.mark.parametrize("loop", LOOPS)
def test_a_program_without_limits_needs_no_thread(serve: Serve, monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    """To hand it over and back would cost more than all else that is done for a short program."""

    async def scenario(client: AsyncClient) -> None:
        service = client.service_here  # type: ignore[attr-defined]
        in_thread: list[Launch] = []
        spawn_in_thread = service._spawn_in_thread

        async def noted(launch: Launch) -> Any:
            in_thread.append(launch)
            return await spawn_in_thread(launch)

        monkeypatch.setattr(service, "_spawn_in_thread", noted)
        for _ in range(3):
            assert (await client.programs.run(["sh", "-c", "echo out; exit 3"])).stdout == b"out\n"
        with pytest.raises(ProgramNotStarted, match="no-such-program: No such file") as caught:
            await client.programs.run(["no-such-program"])
        assert caught.value.errno == "ENOENT"
        before = descriptors(os.getpid())
        with pytest.raises(ProgramNotStarted, match="cwd: /no/such/folder: No such file"):
            await client.programs.run(["true"], cwd="/no/such/folder")
        assert descriptors(os.getpid()) == before
        assert in_thread == []
        # What limits a program has to be prepared, and a small process that has ended to be started again.
        assert (await client.programs.run(["true"], limits=Limits(open_files=100))).code == 0
        service.launcher._process.kill()
        assert (await client.programs.run(["sh", "-c", "exit 4"])).code == 4
        assert 1 <= len(in_thread) <= 2
        assert (await client.programs.run(["true"])).code == 0

    serve(scenario, loop_factory=LOOPS[loop])


@pytest.mark.parametrize("loop", LOOPS)
def test_a_call_that_is_cancelled_while_its_program_starts_leaves_nothing(serve: Serve, kit: Any, loop: str) -> None:
    async def scenario(client: AsyncClient) -> None:
        service = client.service_here  # type: ignore[attr-defined]
        mark = "86397.125"
        os.kill(service.launcher.pid, signal.SIGSTOP)
        try:
            before = descriptors(os.getpid())
            starting = asyncio.ensure_future(service.spawn(service_launch(mark)))
            await kit.until(lambda: descriptors(os.getpid()) > before)
            starting.cancel()
        finally:
            os.kill(service.launcher.pid, signal.SIGCONT)
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert kit.with_argument(mark) == []
        await kit.until(lambda: descriptors(os.getpid()) <= before)

    serve(scenario, loop_factory=LOOPS[loop])


def service_launch(mark: str) -> Launch:
    return Launch(("sleep", mark), "/", {**NOWHERE, MARK: "p1"})


def test_ids_are_given_back_also_when_nobody_asks_for_another_program(serve: Serve, kit: Any) -> None:
    """Of a program that was started, as of one that was run: neither stays as a zombie."""

    async def scenario(client: AsyncClient) -> None:
        launcher = client.service_here.launcher  # type: ignore[attr-defined]
        program = await client.programs.start(["true"])
        await client.programs.wait(program.id)
        await client.programs.run(["true"])
        await kit.until(lambda: not list(processes.children(launcher.pid)))

    serve(scenario)
