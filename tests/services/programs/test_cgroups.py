"""Control groups, where this machine lets us make some."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcservices.programs import cgroups
from rpcservices.programs.limits import LimitSet

Serve = Callable[..., None]


@pytest.fixture
def own(missing: Callable[[str], None]) -> str:
    folder = cgroups.own_folder()
    if not folder or not os.access(folder, os.W_OK):
        missing("there is no control group (version 2) that this user may write to")
    return folder


@pytest.fixture
def leaf(own: str) -> Iterator[Path]:
    """A subtree as a service manager delegates it, with a leaf for the server."""
    above = Path(own) / f"rpctest-{os.getpid()}"
    found = above / "server"
    found.mkdir(parents=True)
    yield found
    for folder in sorted(above.rglob("*/"), reverse=True):
        folder.rmdir()
    above.rmdir()


def test_what_is_delegated_is_used(leaf: Path) -> None:
    code = (
        "import os, sys\nopen(sys.argv[1] + '/cgroup.procs', 'w').write('0')\n"
        "from rpcservices.programs import cgroups\nprint(cgroups.own_folder(), cgroups.folder_for_programs())"
    )

    def folders() -> list[str]:
        command = [sys.executable, "-c", code, str(leaf)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert folders() == [str(leaf), str(leaf)]
    os.setxattr(leaf.parent, "user.delegate", b"1")
    assert folders() == [str(leaf), str(leaf.parent)]


def test_a_group_is_killed_at_once_and_removed(own: str, leaf: Path) -> None:
    cgroup = cgroups.create(str(leaf.parent), "p1", LimitSet())
    assert cgroup is not None
    assert cgroup.enforces
    assert cgroups.create(str(leaf.parent), "p1", LimitSet()) is None  # There is one already.
    assert cgroups.create("", "p1", LimitSet()) is None
    script = f"echo 0 > {cgroup.folder}/cgroup.procs; (setsid sleep 60 &); echo ready; sleep 60"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        begin = time.monotonic()
        while cgroup.population() < 3:
            assert time.monotonic() - begin < 10
        cgroup.remove()
        assert Path(cgroup.folder).exists()  # Not while something is in it.
        assert not cgroup.out_of_memory()
        assert cgroup.kill()
    while cgroup.population():
        assert time.monotonic() - begin < 10
    cgroups.sweep(str(leaf.parent))
    assert Path(cgroup.folder).exists()  # It is new: somebody may be about to use it.
    cgroup.remove()
    assert not Path(cgroup.folder).exists()


def test_a_started_program_has_one_of_its_own(own: str, serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        for on_disconnect in ("kill", "keep"):
            program = await client.programs.start(["sh", "-c", "read x"], on_disconnect=on_disconnect)  # type: ignore[arg-type]
            folder = Path(own) / f"rpc-{program.id}"
            assert (folder / "cgroup.procs").read_text() == f"{program.pid}\n"
            await client.programs.kill(program.id)
            await kit.until(lambda folder=folder: not folder.exists())

    serve(scenario)


def test_it_works_without(serve: Serve, own: str) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["sh", "-c", "read x"])
        assert not (Path(own) / f"rpc-{program.id}").exists()
        await client.programs.kill(program.id)

    serve(scenario, cgroups=False)


def test_a_group_that_cannot_be_entered(serve: Serve, own: str) -> None:
    """The folder is there, but is no control group: the program is started without."""

    async def scenario(client: AsyncClient) -> None:
        service = client.service_here  # type: ignore[attr-defined]
        service.cgroup_parent = str(service.runtime.state_dir)
        program = await client.programs.start(["sh", "-c", "exit 4"])
        assert (await client.programs.wait(program.id)).status.code == 4

    serve(scenario)
