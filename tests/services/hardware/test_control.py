"""Acting on processes: only on the one that is meant."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from rpcclient import AsyncClient
from rpcclient.errors import InvalidParams
from rpcclient.stubs.hardware import ProcessDenied, ProcessGone
from rpcservices.hardware import control
from rpcservices.hardware.control import _is_pinned, find
from rpcservices.hardware.errors import ProcessGone as Gone
from rpcservices.hardware.readers.identity import start_of

Serve = Callable[..., None]
WAIT = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(WAIT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_details(serve: Serve, child: subprocess.Popen[bytes]) -> None:
    async def scenario(client: AsyncClient) -> None:
        theirs = psutil.Process(child.pid)
        found = await client.hardware.process(child.pid, theirs.create_time())
        assert found.process.cmdline == theirs.cmdline()
        assert (found.process.ppid, found.process.exe, found.process.cwd) == (os.getpid(), theirs.exe(), theirs.cwd())
        assert found.process.cpu_affinity == theirs.cpu_affinity()
        assert found.uids == list(theirs.uids())
        assert found.children == []
        assert found.process.num_fds == theirs.num_fds()
        assert found.uss_bytes is not None
        me = await client.hardware.process(os.getpid())
        assert child.pid in {each.pid for each in me.children or ()}
        assert [name for name in ("ppid", "exe", "nice") if getattr(me.process, name) is None] == []

    serve(scenario)


def test_signals(serve: Serve, child: subprocess.Popen[bytes]) -> None:
    async def scenario(client: AsyncClient) -> None:
        started = psutil.Process(child.pid).create_time()
        with pytest.raises(InvalidParams, match="no signal 'NONSENSE'"):
            await client.hardware.signal_process(child.pid, started, "NONSENSE")
        await client.hardware.signal_process(child.pid, started, "SIGINT")
        assert child.wait(10) in (-signal.SIGINT, 1)
        with pytest.raises(ProcessGone, match="has ended"):
            await client.hardware.signal_process(child.pid, started)
        with pytest.raises(ProcessGone):
            await client.hardware.process(child.pid, started)

    serve(scenario)


def test_priority_and_affinity(serve: Serve, child: subprocess.Popen[bytes]) -> None:
    async def scenario(client: AsyncClient) -> None:
        theirs = psutil.Process(child.pid)
        started = theirs.create_time()
        lower = min(theirs.nice() + 7, 19)  # Only root may raise it, and the tests may have a low one themselves.
        assert await client.hardware.set_priority(child.pid, started, lower) == lower == theirs.nice()
        allowed = theirs.cpu_affinity()
        assert await client.hardware.set_affinity(child.pid, started, allowed[:1]) == allowed[:1]
        assert theirs.cpu_affinity() == allowed[:1]
        with pytest.raises(InvalidParams, match="cpus"):
            await client.hardware.set_affinity(child.pid, started, [100_000])
        with pytest.raises(InvalidParams, match="nice"):
            await client.hardware.set_priority(child.pid, started, 99)

    serve(scenario)


def test_a_start_that_is_no_number_means_no_process(serve: Serve, child: subprocess.Popen[bytes]) -> None:
    """NaN is no distance away from any start; it must not pass for the right one."""

    async def scenario(client: AsyncClient) -> None:
        for start in (math.nan, math.inf):
            for method, more in (
                ("signal_process", {"signal": "KILL"}),
                ("set_priority", {"nice": 9}),
                ("set_affinity", {"cpus": [0]}),
                ("process", {}),
            ):
                params = {"pid": child.pid, "create_time": start, **more}
                with pytest.raises(InvalidParams, match="create_time"):
                    await client.call(f"hardware.{method}", params)

    serve(scenario)
    with pytest.raises(Gone, match="another one"):
        find(child.pid, math.nan)
    assert child.poll() is None


def test_a_process_that_ends_while_its_user_is_asked(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_then_end(process: psutil.Process) -> float:
        start = start_of(process)
        child.kill()
        child.wait()
        return start

    monkeypatch.setattr(control, "start_of", read_then_end)
    with pytest.raises(Gone, match="has ended"):
        find(child.pid, None, os.getuid())


def test_numbers_that_no_process_has(serve: Serve, child: subprocess.Popen[bytes]) -> None:
    async def scenario(client: AsyncClient) -> None:
        for pid in (2**31, 2**40, 10**30):
            with pytest.raises(InvalidParams, match="pid"):
                await client.hardware.process(pid)
            with pytest.raises(InvalidParams, match="pid"):
                await client.hardware.signal_process(pid, 1.0)
        with pytest.raises(ProcessGone):
            await client.hardware.process(2**31 - 1)
        started = psutil.Process(child.pid).create_time()
        for cpu in (-1, 2**31 - 1, 10**30):
            with pytest.raises(InvalidParams, match="cpus"):
                await client.hardware.set_affinity(child.pid, started, [cpu])

    serve(scenario)


@pytest.mark.parametrize("given", ["INT", "SIGINT", signal.SIGINT, 2, "2"], ids=repr)
def test_a_signal_by_name_or_number(serve: Serve, child: subprocess.Popen[bytes], given: str | int) -> None:
    async def scenario(client: AsyncClient) -> None:
        await client.hardware.signal_process(child.pid, psutil.Process(child.pid).create_time(), given)
        assert child.wait(10) in (-signal.SIGINT, 1)

    serve(scenario)


def test_a_step_of_the_clock_leaves_processes_the_same(
    serve: Serve, child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel computes the moment of its start anew, a second earlier or later, while a clock is being set."""
    real = psutil._pslinux.boot_time  # type: ignore[attr-defined]

    async def scenario(client: AsyncClient) -> None:
        async def listed() -> float | None:
            found = await client.hardware.processes(["name"], limit=10_000)
            return next(p.create_time for p in found.processes if p.pid == child.pid)

        before = await listed()
        monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: real() + 1.0)  # type: ignore[attr-defined]
        assert await listed() == before
        assert before is not None
        assert (await client.hardware.process(child.pid, before)).process.create_time == before
        await client.hardware.signal_process(child.pid, before, "KILL")
        assert child.wait(10) == -signal.SIGKILL

    serve(scenario)


def test_a_number_that_is_anothers_by_now_is_left_alone(serve: Serve, missing: Callable[[str], NoReturn]) -> None:
    """The kernel is made to give a number out a second time."""
    last = Path("/proc/sys/kernel/ns_last_pid")
    with subprocess.Popen(WAIT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        # psutil keeps what it has seen of this one; it must not be taken for the second.
        started = next(p for p in psutil.process_iter() if p.pid == first.pid).create_time()
    assert first.returncode is not None
    for _ in range(200):
        try:
            last.write_text(str(first.pid - 1))
        except OSError as exc:
            missing(f"the next process number cannot be chosen here: {exc}")
        second = subprocess.Popen(WAIT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if second.pid == first.pid:
            break
        second.communicate()
    else:
        missing("other processes were always faster to take the number")
    nice = psutil.Process(second.pid).nice()  # That of the tests themselves.

    async def scenario(client: AsyncClient) -> None:
        found = await client.hardware.processes(["exe"], limit=10_000)
        listed = next(p for p in found.processes if p.pid == first.pid)
        assert listed.create_time == pytest.approx(psutil.Process(first.pid).create_time(), abs=0.005)
        assert listed.create_time != pytest.approx(started, abs=0.005)
        with pytest.raises(ProcessGone, match="another one by now"):
            await client.hardware.signal_process(first.pid, started, "KILL")
        with pytest.raises(ProcessGone, match="another one by now"):
            await client.hardware.set_priority(first.pid, started, nice - 1 if nice > 0 else nice + 1)
        with pytest.raises(ProcessGone, match="another one by now"):
            await client.hardware.process(first.pid, started)

    try:
        serve(scenario)
        assert second.poll() is None
        assert psutil.Process(second.pid).nice() == nice
    finally:
        second.communicate()
    assert second.returncode == 0


def test_a_thread_of_the_kernel_that_is_bound_to_its_processors(
    serve: Serve, missing: Callable[[str], NoReturn]
) -> None:
    bound = next((p for p in psutil.process_iter(["name"]) if _is_pinned(p.pid)), None)
    if bound is None or os.geteuid() != 0:
        missing("no thread of the kernel can be seen here, or this user may not act on it")

    async def scenario(client: AsyncClient) -> None:
        for cpus in ([0], [1], [0, 1]):
            with pytest.raises(ProcessDenied, match="bound to its processors"):
                await client.hardware.set_affinity(bound.pid, bound.create_time(), cpus)

    serve(scenario)
