"""Many programs, and those that take more than their share: the server stays as it was."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from statistics import median
from typing import Any

import psutil
import pytest

from rpcclient import AsyncClient
from rpcclient.stubs.programs import Limits

AT_A_TIME = 50
MIB = 1024 * 1024


def state(process: psutil.Process) -> tuple[int, int, int]:
    """Open descriptors, children (zombies too), and memory of the server."""
    return process.num_fds(), len(process.children(recursive=True)), process.memory_info().rss


async def settled(process: psutil.Process, fds: int, children: int, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while (now := state(process))[:2] > (fds, children) or now[1] > children:
        assert time.monotonic() < end, (now, fds, children)
        await asyncio.sleep(0.05)


async def many(client: AsyncClient, count: int) -> None:
    """Half are run, half are started, read and forgotten; each tenth leaves a child behind."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            script = f"echo {number}" if number % 10 else f"setsid sleep 0.01 >&- 2>&- <&- & echo {number}"
            if number % 2:
                done = await client.programs.run(["sh", "-c", script])
                assert done.stdout == b"%d\n" % number
            else:
                program = await client.programs.start(["sh", "-c", script])
                assert await program.stdout.read() == b"%d\n" % number
                assert (await program.wait()).status.code == 0
                await program.forget()

    await asyncio.gather(*(worker() for _ in range(AT_A_TIME)))


def leaves_nothing(daemon: Any, warm_up: int, count: int, memory_bytes: int) -> str:
    process = psutil.Process(daemon.process.pid)

    async def main() -> str:
        async with daemon.async_client() as client:
            await many(client, warm_up)
            await settled(process, 10_000, 1)  # The small process that starts programs stays.
            fds, children, rss = state(process)
            begin = time.perf_counter()
            await many(client, count)
            taken = time.perf_counter() - begin
            await settled(process, fds, children)
            after = state(process)
            assert await client.programs.list() == []
            assert after[2] - rss < memory_bytes, (after[2], rss)
            return (
                f"{count} programs, {AT_A_TIME} at a time: {count / taken:.0f}/s; descriptors {fds} → {after[0]}, "
                f"children {children} → {after[1]}, memory {rss / MIB:.1f} → {after[2] / MIB:.1f} MiB"
            )

    return asyncio.run(main())


def test_three_hundred_programs_leave_nothing(daemon_with: Callable[..., Any]) -> None:
    leaves_nothing(daemon_with(), 100, 300, 8 * MIB)


@pytest.mark.soak
def test_ten_thousand_programs_leave_nothing(daemon_with: Callable[..., Any]) -> None:
    print(leaves_nothing(daemon_with(), 500, 10_000, 8 * MIB))


async def p99_s(client: AsyncClient, seconds: float) -> float:
    """How long one call in a hundred takes at least."""
    times = []
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        await client.call("rpc.ping")
        times.append(time.perf_counter() - begin)
        await asyncio.sleep(0.002)
    times.sort()
    return times[len(times) * 99 // 100]


@contextlib.contextmanager
def as_on_another_computer() -> Iterator[None]:
    """What takes the server's processors would not keep its clients waiting, which are elsewhere: neither shall it this
    one, where that is permitted (sched(7))."""
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, param)


Disturbance = Callable[[AsyncClient], contextlib.AbstractAsyncContextManager[None]]


def compare(daemon: Any, seconds: float, rounds: int, disturbed: Disturbance) -> str:
    """How long calls take, in turn by themselves and beside something."""

    async def main() -> str:
        async with daemon.async_client() as client, daemon.async_client() as other:
            before, during = [], []
            for _ in range(rounds):
                before.append(await p99_s(client, seconds))
                async with disturbed(other):
                    during.append(await p99_s(client, seconds))
            usual, then = median(before) * 1000, median(during) * 1000
            return f"p99 of a call: {usual:.2f} ms; beside {disturbed.__name__}: {then:.2f} ms, {then / usual:.2f} x"

    with as_on_another_computer():
        return asyncio.run(main())


@contextlib.asynccontextmanager
async def endless_printers(client: AsyncClient) -> AsyncIterator[None]:
    """One is as slow as it is let, one as fast as it can, and one waits for its reader."""
    limits = Limits(output_bytes_per_s=10 * MIB)
    endless = await client.programs.start(["yes"], overflow="skip", retain_bytes=MIB, limits=limits)
    free = await client.programs.start(["yes"], overflow="skip", retain_bytes=MIB)
    held = await client.programs.start(["yes"], overflow="wait", retain_bytes=MIB)
    assert await held.stdout.readline() == b"y\n"
    yield
    info = await endless.refresh()
    assert info.stdout_bytes - info.stdout_start <= 2 * MIB
    assert (await free.refresh()).stdout_bytes > info.stdout_bytes
    assert (await held.refresh()).stdout_bytes <= 64 * MIB
    limited = await client.programs.start(["yes"], limits=Limits(output_bytes=MIB))
    assert (await limited.wait()).status.limit == "output"
    for program in (endless, free, held):
        assert (await program.kill()).survivors == []


@contextlib.asynccontextmanager
async def fork_bombs(client: AsyncClient) -> AsyncIterator[None]:
    """One after the other, each ended at fifty processes."""
    ended = 0

    async def bombs() -> None:
        nonlocal ended
        script = "bomb() { bomb | bomb & }; bomb; sleep 60"
        while True:
            done = await client.programs.run(["sh", "-c", script], limits=Limits(processes=50), timeout_s=30)
            assert (done.status.limit, done.survivors) == ("processes", [])
            ended += 1

    task = asyncio.create_task(bombs())
    yield
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled(), task.exception()
    assert ended


def orphans_at_a_time(count: int) -> Disturbance:
    """A program that leaves so many orphans, which end by and by, and are collected."""

    @contextlib.asynccontextmanager
    async def orphans(client: AsyncClient) -> AsyncIterator[None]:
        script = f"i=0; while [ $i -lt {count} ]; do (sleep 0.001 &); i=$((i+1)); done; echo all; read x"
        program = await client.programs.start(["sh", "-c", script], limits=Limits(processes=500))
        yield
        assert await program.stdout.readline() == b"all\n"
        launcher = psutil.Process(program.pid).parent()
        assert launcher is not None
        end = time.monotonic() + 60
        while len(left := launcher.children()) > 1:
            assert time.monotonic() < end, left
            await asyncio.sleep(0.05)
        assert (await program.kill()).status.limit is None

    return orphans


def test_orphans_are_collected_beside_calls(daemon: Any) -> None:
    compare(daemon, 0.3, 1, orphans_at_a_time(300))


def test_endless_printers_are_contained(daemon: Any) -> None:
    compare(daemon, 0.3, 1, endless_printers)


@pytest.fixture
def apart(daemon_with: Callable[..., Any], missing: Callable[[str], None]) -> Iterator[Any]:
    """A daemon that shares one processor with this process, and has programs use another."""
    own = os.sched_getaffinity(0)
    if len(own) < 2:
        missing("there is only one processor")
    os.sched_setaffinity(0, {max(own)})
    try:
        yield daemon_with(processors=[min(own)])
    finally:
        os.sched_setaffinity(0, own)


@pytest.mark.soak
@pytest.mark.parametrize("beside", [endless_printers, fork_bombs, orphans_at_a_time(10_000)])
@pytest.mark.parametrize("server", ["daemon", "apart"])
def test_calls_beside_those_that_take_all(beside: Disturbance, server: str, request: pytest.FixtureRequest) -> None:
    """Figures to look at: with programs on all processors, and on one that the server does not use."""
    print(f"{server}: {compare(request.getfixturevalue(server), 5, 7, beside)}")
