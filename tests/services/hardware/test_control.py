"""Acting on processes: only on the one that is meant."""

from __future__ import annotations

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
from rpcclient.stubs.hardware import ProcessGone

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
        assert await client.hardware.set_priority(child.pid, started, 7) == 7 == theirs.nice()
        allowed = theirs.cpu_affinity()
        assert await client.hardware.set_affinity(child.pid, started, allowed[:1]) == allowed[:1]
        assert theirs.cpu_affinity() == allowed[:1]
        with pytest.raises(InvalidParams, match="cpus"):
            await client.hardware.set_affinity(child.pid, started, [100_000])
        with pytest.raises(InvalidParams, match="nice"):
            await client.hardware.set_priority(child.pid, started, 99)

    serve(scenario)


def test_a_number_that_is_anothers_by_now_is_left_alone(serve: Serve, missing: Callable[[str], NoReturn]) -> None:
    """The kernel is made to give a number out a second time."""
    last = Path("/proc/sys/kernel/ns_last_pid")
    with subprocess.Popen(WAIT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        started = psutil.Process(first.pid).create_time()
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

    async def scenario(client: AsyncClient) -> None:
        with pytest.raises(ProcessGone, match="another one by now"):
            await client.hardware.signal_process(first.pid, started, "KILL")
        with pytest.raises(ProcessGone, match="another one by now"):
            await client.hardware.set_priority(first.pid, started, 19)
        with pytest.raises(ProcessGone, match="another one by now"):
            await client.hardware.process(first.pid, started)

    try:
        serve(scenario)
        assert second.poll() is None
        assert psutil.Process(second.pid).nice() == 0
    finally:
        second.communicate()
    assert second.returncode == 0
