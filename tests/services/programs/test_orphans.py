"""What has lost its parent is collected when it ends, and nothing else is."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcclient.stubs.programs import Limits
from rpcservices.programs.running import processes, tree
from rpcservices.programs.running.exits import ProcessEnd
from rpcservices.programs.running.launching import Launcher
from rpcservices.programs.running.looping import SmallLoop
from rpcservices.programs.running.spawning import Launch, SpawnedProgram, spawn

Serve = Callable[..., None]
NOWHERE = {"PATH": os.defpath}
SHORT = {
    "in its session": "(true &)",
    "in one of its own": "(setsid true &)",
    "without its mark": "(env -i /bin/true &)",
}
"""Orphans of a program that runs on, by what could tell that they are its."""


def zombies_of(*parents: int) -> list[processes.Process]:
    return [process for parent in parents for process in processes.children(parent) if not process.alive]


@pytest.mark.parametrize("on_disconnect", ["kill", "keep"])
@pytest.mark.parametrize("cgroups", [True, False])
@pytest.mark.parametrize("orphan", SHORT.values(), ids=SHORT.keys())
def test_they_are_collected_when_they_end(
    serve: Serve, kit: Any, on_disconnect: Any, cgroups: bool, orphan: str
) -> None:
    """And not when the program does."""

    async def scenario(client: AsyncClient) -> None:
        launcher = client.service_here.launcher  # type: ignore[attr-defined]
        script = f"i=0; while [ $i -lt 60 ]; do {orphan}; i=$((i+1)); done; echo all; read x"
        program = await client.programs.start(["sh", "-c", script], on_disconnect=on_disconnect)
        async with client.programs.output(program.id) as chunks:
            await kit.read_until(chunks, b"all")
        reaper = kit.keeper_of(program.id).pid if on_disconnect == "keep" else launcher.pid
        await kit.until(lambda: not zombies_of(reaper))
        assert processes.read(program.pid).alive  # type: ignore[union-attr]
        assert not [each for each in zombies_of(os.getpid()) if each.session == program.pid]
        await client.programs.kill(program.id)

    serve(scenario, cgroups=cgroups)


@pytest.mark.parametrize("on_disconnect", ["kill", "keep"])
def test_what_has_ended_is_no_process_of_the_limit(serve: Serve, on_disconnect: Any) -> None:
    """Hundreds, of which no more than a few run at a time."""

    async def scenario(client: AsyncClient) -> None:
        script = "i=0; while [ $i -lt 300 ]; do (true &); sleep 0.002; i=$((i+1)); done; echo all"
        program = await client.programs.start(
            ["sh", "-c", script], on_disconnect=on_disconnect, limits=Limits(processes=30)
        )
        assert await client.programs.wait(program.id)
        ended = await client.programs.wait(program.id)
        assert (ended.status.code, ended.status.limit) == (0, None)

    serve(scenario)


def test_what_a_program_does_not_wait_for_counts_only_while_it_runs(serve: Serve) -> None:
    """Its own children stay as zombies, as it never asks for them."""
    code = (
        "import os, time\n"
        "for n in range(60):\n"
        "    if os.fork() == 0: os._exit(0)\n"
        "    time.sleep(0.05)\n"
        "print(len([n for n in os.listdir('/proc') if n.isdecimal()]))"
    )

    async def scenario(client: AsyncClient) -> None:
        done = await client.programs.run(["python3", "-c", code], limits=Limits(processes=20))
        assert (done.code, done.status.limit) == (0, None)
        bomb = code.replace("os._exit(0)", "time.sleep(60)")
        done = await client.programs.run(["python3", "-c", bomb], limits=Limits(processes=20))
        assert done.status.limit == "processes"

    serve(scenario)


def test_children_of_somebody_else_are_left_alone(serve: Serve, kit: Any) -> None:
    """A part of the server that runs programs by itself still gets their exit codes, however it has started them."""

    async def scenario(client: AsyncClient) -> None:
        own = [
            await asyncio.to_thread(subprocess.Popen, ["sh", "-c", "exit 42"], start_new_session=True),
            await asyncio.to_thread(subprocess.Popen, ["sh", "-c", "exit 42"]),
        ]
        forked, descriptor = pty.fork()
        if forked == 0:
            os._exit(43)
        ends = [each.pid for each in own]
        for pid in (*ends, forked):
            await asyncio.to_thread(os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        service = client.service_here  # type: ignore[attr-defined]
        service.launcher._process.kill()
        await client.programs.run(["sh", "-c", "(true &) ; (setsid true &)"])
        service.orphans.on_inherit()
        before = {each.pid for each in zombies_of(os.getpid())}
        swept: list[object] = []
        sweep = service.orphans._sweep
        service.orphans._sweep = lambda found: (sweep(found), swept.append(found))
        await kit.until(lambda: len(swept) >= 2)
        assert {*ends, forked} <= before
        assert [each.wait() for each in own] == [42, 42]
        _, status = await asyncio.to_thread(os.waitpid, forked, 0)
        assert os.waitstatus_to_exitcode(status) == 43
        os.close(descriptor)

    serve(scenario)


def test_when_the_launcher_is_killed_its_programs_go_on(serve: Serve, kit: Any) -> None:
    """Those that run become children of the server, with the orphans that they leave from then on."""

    async def scenario(client: AsyncClient) -> None:
        service = client.service_here  # type: ignore[attr-defined]
        before = {each.pid for each in zombies_of(os.getpid())}
        # What leads a session and is in no control group must be seen while it lives.
        seconds = 0.1 if service.cgroup_places.unified or service.cgroup_places.legacy else 3.5
        script = f"echo ready; read x; (sh -c 'exit 1' &); setsid sleep {seconds} & echo more; read x; exit 7"
        programs = [await client.programs.start(["sh", "-c", script]) for _ in range(3)]
        for program in programs:
            async with client.programs.output(program.id) as chunks:
                await kit.read_until(chunks, b"ready")
        killed = service.launcher.pid
        os.kill(killed, signal.SIGKILL)
        await kit.until(lambda: service.launcher.pid != killed)
        for program in programs:
            await client.programs.write(program.id, b"\n")
            async with client.programs.output(program.id) as chunks:
                await kit.read_until(chunks, b"more")
        assert (await client.programs.run(["sh", "-c", "exit 3"])).code == 3
        for program in programs:
            await client.programs.write(program.id, b"\n")
            ended = await client.programs.wait(program.id)
            assert (ended.status.code, ended.usage is not None) == (7, True)
        await kit.until(lambda: {each.pid for each in zombies_of(os.getpid(), service.launcher.pid)} <= before)

    serve(scenario)


def test_what_a_killed_keeper_leaves_is_collected(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        before = {each.pid for each in zombies_of(os.getpid())}
        script = "setsid sleep 60 & (setsid sleep 60 &); sleep 60 & echo ready; read x"
        program = await client.programs.start(["sh", "-c", script], on_disconnect="keep")
        async with client.programs.output(program.id) as chunks:
            await kit.read_until(chunks, b"ready")
        kit.keeper_of(program.id).kill()
        assert (await client.programs.wait(program.id)).status.lost
        await kit.until(lambda: {each.pid for each in zombies_of(os.getpid())} <= before)

    serve(scenario)


# --- the launcher by itself -------------------------------------------------------------------------------------


def closed(spawned: SpawnedProgram) -> None:
    for descriptor in (spawned.pidfd, spawned.stdin, spawned.stdout, spawned.stderr):
        if descriptor is not None:
            os.close(descriptor)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "the event did not come in time"


def test_a_program_that_has_ended_hides_no_orphans() -> None:
    """It stays until its id is needed no longer, and the kernel tells of it first."""
    launcher = Launcher()
    tree.become_subreaper()
    try:
        first = spawn(Launch(("sh", "-c", "exit 3"), "/", NOWHERE), launcher)
        until(lambda: [each.pid for each in zombies_of(launcher.pid)] == [first.pid])
        script = "i=0; while [ $i -lt 50 ]; do (true &); i=$((i+1)); done; read x"
        second = spawn(Launch(("sh", "-c", script), "/", NOWHERE), launcher)
        until(lambda: processes.read(second.pid).state == "S")  # type: ignore[union-attr]
        until(lambda: [each.pid for each in zombies_of(launcher.pid)] == [first.pid])
        third = spawn(Launch(("sh", "-c", "exit 4"), "/", NOWHERE), launcher)
        ended: dict[int, ProcessEnd] = {}
        loop = _Loop()
        launcher.listen(loop)
        for each in (first, third):
            launcher.watch(each.ticket, each.pid, each.pidfd)(lambda exited, n=each.pid: loop.saw(ended, n, exited))
        loop.run()
        assert {pid: os.waitstatus_to_exitcode(exited.status or 0) for pid, exited in ended.items()} == {
            first.pid: 3,
            third.pid: 4,
        }
        launcher.unlisten()  # Nobody runs the loop any more, so tell now what waits to be told.
        until(lambda: not zombies_of(launcher.pid))
        for each in (first, second, third):
            closed(each)
    finally:
        launcher.stop()


class _Loop(SmallLoop):
    """Stops when two have ended."""

    def call_soon_threadsafe(self, callback: Callable[[], object], /) -> object:
        return self.call_later(0, callback)

    def saw(self, ended: dict[int, ProcessEnd], pid: int, exited: ProcessEnd) -> None:
        ended[pid] = exited
        if len(ended) == 2:
            self.stop()
