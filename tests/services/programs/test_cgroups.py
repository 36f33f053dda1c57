"""Control groups, where this machine lets us make some."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcclient.stubs.programs import Limits
from rpcservices.programs.running import cgroups
from rpcservices.programs.running.cgroups import CONTROLLERS, Controller, Places
from rpcservices.programs.terms import LimitSet

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
        "from rpcservices.programs.running import cgroups\nprint(cgroups.own_folder(), cgroups.folder_for_programs())"
    )

    def folders() -> list[str]:
        command = [sys.executable, "-c", code, str(leaf)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert folders() == [str(leaf), str(leaf)]
    os.setxattr(leaf.parent, "user.delegate", b"1")
    assert folders() == [str(leaf), str(leaf.parent)]


def test_a_group_is_killed_at_once_and_removed(own: str, leaf: Path) -> None:
    parents = Places(str(leaf.parent))
    cgroup = cgroups.create(parents, "p1", LimitSet())
    assert cgroup is not None
    assert cgroups.create(parents, "p1", LimitSet()) is None  # There is one already.
    assert cgroups.create(Places(), "p1", LimitSet()) is None
    folder = Path(cgroup.unified)
    assert cgroup.folders == (str(folder),)
    script = f"echo 0 > {folder}/cgroup.procs; (setsid sleep 60 &); echo ready; sleep 60"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        begin = time.monotonic()
        while cgroup.population() < 3:
            assert time.monotonic() - begin < 10
        cgroup.remove()
        assert folder.exists()  # Not while something is in it.
        assert not cgroup.out_of_memory()
        assert cgroup.kill()
    while cgroup.population():
        assert time.monotonic() - begin < 10
    cgroups.sweep(parents)
    assert folder.exists()  # It is new: somebody may be about to use it.
    os.utime(folder, (0, 0))
    cgroups.sweep(parents)
    assert not folder.exists()


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
        service.cgroup_places = Places(str(service.runtime.state_dir))
        for limits in (None, Limits(open_files=50)):  # Moved there when it has begun, and by the launcher.
            program = await client.programs.start(["sh", "-c", "exit 4"], limits=limits)
            assert (await client.programs.wait(program.id)).status.code == 4

    serve(scenario)


# --- limits that a group bounds ---------------------------------------------------------------------------------


@pytest.fixture
def bounded(missing: Callable[[str], None]) -> Callable[[Controller], None]:
    """Skips a test where no group that this user may make bounds something."""

    def check(controller: Controller) -> None:
        limits = LimitSet(memory_bytes=1 << 30, cpus=1, processes=100)
        cgroup = cgroups.create(cgroups.places(), f"test{os.getpid()}", limits)
        bounds = set() if cgroup is None else cgroup.bounds
        if cgroup is not None:
            cgroup.remove()
        if controller not in bounds:
            missing(f"no control group that this user may make bounds {controller}")

    return check


def test_processes_never_exceed_what_a_group_allows(serve: Serve, kit: Any, bounded: Callable[..., None]) -> None:
    """A fork bomb does not even grow: the kernel refuses more, and then all of it is ended."""
    bounded("pids")
    mark = f"rpc-bounded-bomb-{os.getpid()}"

    async def scenario(client: AsyncClient) -> None:
        service = client.service_here  # type: ignore[attr-defined]
        most = 0

        async def count() -> None:
            nonlocal most
            while True:
                most = max(most, len(kit.with_argument(mark)))
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count())
        script = "bomb() { bomb | bomb & }; bomb; sleep 60"
        done = await client.programs.run(["sh", "-c", script, mark], limits=Limits(processes=30), timeout_s=30)
        counting.cancel()
        assert (done.status.limit, done.survivors) == ("processes", [])
        assert 0 < most <= 30
        assert "pids" in service.cgroup_places.legacy or service.cgroup_places.unified
        threads = "import threading, time\n[threading.Thread(target=time.sleep, args=(60,)).start() for _ in range(50)]"
        done = await client.programs.run(["python3", "-c", threads], limits=Limits(processes=30), timeout_s=30)
        assert done.status.limit == "processes"  # The kernel counts threads, too.

    serve(scenario)


def test_what_a_group_was_made_for_is_gone_with_it(serve: Serve, kit: Any, bounded: Callable[..., None]) -> None:
    bounded("pids")

    async def scenario(client: AsyncClient) -> None:
        places = client.service_here.cgroup_places  # type: ignore[attr-defined]
        limits = Limits(processes=30, cpus=0.5, memory_bytes=1 << 30)
        for on_disconnect in ("kill", "keep"):
            program = await client.programs.start(["sh", "-c", "read x"], on_disconnect=on_disconnect, limits=limits)  # type: ignore[arg-type]
            folders = [Path(p) / f"rpc-{program.id}" for p in (places.unified, *places.legacy.values()) if p]
            assert folders
            for folder in folders:
                assert (folder / "cgroup.procs").read_text() == f"{program.pid}\n"
            await client.programs.kill(program.id)
            await kit.until(lambda folders=folders: not any(folder.exists() for folder in folders))

    serve(scenario)


def test_a_share_of_a_processor(serve: Serve, bounded: Callable[..., None]) -> None:
    bounded("cpu")

    async def scenario(client: AsyncClient) -> None:
        done = await client.programs.run(
            ["sh", "-c", "while :; do :; done"], limits=Limits(cpus=0.2), timeout_s=2, grace_s=0
        )
        used = done.usage.user_s + done.usage.system_s
        assert used < 0.5 * done.duration_s  # Its own processor time beside the time that it was there.
        done = await client.programs.run(["nproc"], limits=Limits(cpus=1))
        assert int(done.stdout) == len(os.sched_getaffinity(0))  # It may be on any of them.

    serve(scenario)


def test_memory_of_a_group(serve: Serve, bounded: Callable[..., None]) -> None:
    bounded("memory")

    async def scenario(client: AsyncClient) -> None:
        code = "import os, time\nif os.fork(): os.fork()\nkept = b'x' * (60 << 20)\ntime.sleep(60)"
        limits = Limits(memory_bytes=100 << 20)
        done = await client.programs.run(["python3", "-c", code], limits=limits, timeout_s=50)
        assert done.status.limit == "memory"
        for code in ("x = b'x' * (900 << 20)", "kept = []\nwhile True: kept.append(b'x' * (1 << 20))"):
            done = await client.programs.run(["python3", "-c", code], limits=limits, timeout_s=50)
            assert done.status.limit == "memory"

    serve(scenario)


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_version_one_stands_in_where_version_two_has_no_controller(controller: Controller, own: str) -> None:
    """Never both: a controller belongs to one hierarchy."""
    places = cgroups.places()
    switched_on = Path(places.unified, "cgroup.subtree_control").read_text().split()
    assert not (controller in switched_on and controller in places.legacy)
