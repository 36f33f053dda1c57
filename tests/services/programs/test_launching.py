"""How processes come into being: by the small process that makes them, and what is said when they do not."""

from __future__ import annotations

import os
import pwd
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcclient.stubs.programs import TerminalSize
from rpcservices.programs.running import processes
from rpcservices.programs.running.launching import Launcher
from rpcservices.programs.running.spawning import Launch, LaunchError, Spawned, spawn
from rpcservices.programs.terms import UserIds

Serve = Callable[..., None]
NOWHERE = {"PATH": os.defpath}


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    found = Launcher()
    yield found
    found.stop()


def descriptors(pid: int) -> set[str]:
    return {entry.name for entry in Path(f"/proc/{pid}/fd").iterdir()}


def output(spawned: Spawned, launcher: Launcher) -> bytes:
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


def output_after_closing(spawned: Spawned, launcher: Launcher) -> bytes:
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
