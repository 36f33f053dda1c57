"""What a program may take, and what is said when it takes more."""

from __future__ import annotations

import asyncio
import math
import os
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from pydantic import ValidationError

from rpcclient import AsyncClient
from rpcclient.errors import InvalidParams
from rpcclient.stubs.programs import Limits, ProgramNotStarted
from rpcservices.programs.config import ProgramsConfig
from rpcservices.programs.running import cgroups
from rpcservices.programs.running.limits import rlimits
from rpcservices.programs.terms import LimitSet

Serve = Callable[..., None]
MIB = 1024 * 1024


def test_processor_time(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        done = await client.programs.run(["sh", "-c", "while :; do :; done"], limits=Limits(cpu_s=1))
        assert (done.status.signal, done.status.limit) == ("SIGXCPU", "cpu")
        script = "trap '' XCPU; while :; do :; done"
        done = await client.programs.run(["sh", "-c", script], limits=Limits(cpu_s=1))
        assert (done.status.signal, done.status.limit) == ("SIGKILL", "cpu")
        done = await client.programs.run(["sh", "-c", "kill -KILL $$"], limits=Limits(cpu_s=1))
        assert (done.status.signal, done.status.limit) == ("SIGKILL", None)

    serve(scenario)


def test_memory_of_one_process(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        # More than this process, in which the server runs, has ever held: the kernel counts that, too.
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + 100 * MIB
        code = "kept = []\nwhile True: kept.append(b'x' * (4 << 20))"
        done = await client.programs.run(["python3", "-c", code], limits=Limits(memory_bytes=most), timeout_s=60)
        assert done.status.limit == "memory"
        done = await client.programs.run(["python3", "-c", "raise SystemExit(1)"], limits=Limits(memory_bytes=most))
        assert (done.code, done.status.limit) == (1, None)

    serve(scenario)


def test_memory_of_a_tree(serve: Serve) -> None:
    """No process has too much, but all together have."""

    async def scenario(client: AsyncClient) -> None:
        code = "import os, time\nif os.fork(): os.fork()\nkept = b'x' * (60 << 20)\ntime.sleep(60)"
        begin = time.monotonic()
        done = await client.programs.run(["python3", "-c", code], limits=Limits(memory_bytes=100 * MIB), timeout_s=50)
        assert (done.status.limit, done.status.signal) == ("memory", "SIGKILL")
        assert time.monotonic() - begin < 40

    serve(scenario)


@pytest.mark.parametrize("grouped", [True, False])
def test_a_fork_bomb_is_contained(serve: Serve, kit: Any, grouped: bool) -> None:
    """It is ended, nothing of it is left, and other calls are answered meanwhile."""

    async def scenario(client: AsyncClient) -> None:
        mark = "rpc-fork-bomb"
        script = "bomb() { bomb | bomb & }; bomb; sleep 60"
        calls = []

        async def others() -> None:
            while True:
                begin = time.monotonic()
                await client.programs.list()
                calls.append(time.monotonic() - begin)
                await asyncio.sleep(0.01)

        asking = asyncio.ensure_future(others())
        done = await client.programs.run(["sh", "-c", script, mark], limits=Limits(processes=50), timeout_s=30)
        asking.cancel()
        assert done.status.limit == "processes"
        assert done.survivors == []
        await kit.until(lambda: not kit.with_argument(mark))
        assert calls
        print(f"{len(calls)} calls meanwhile, median {statistics.median(calls):.4f} s, longest {max(calls):.4f} s")

    serve(scenario, cgroups=grouped)


@pytest.mark.parametrize("grouped", [True, False])
def test_too_little_memory_to_begin_with(serve: Serve, grouped: bool) -> None:
    async def scenario(client: AsyncClient) -> None:
        try:
            done = await client.programs.run(["true"], limits=Limits(memory_bytes=1))
        except ProgramNotStarted as exc:
            assert (exc.field, "limits.memory_bytes" in str(exc)) == ("limits", True)
        else:
            assert done.status.limit == "memory", done
        assert (await client.programs.run(["true"])).code == 0

    serve(scenario, cgroups=grouped)


def test_what_a_group_bounds_is_not_bounded_twice() -> None:
    """Neither is what the kernel does not bound for root. To count all that a user runs takes long on a busy machine."""
    limits = LimitSet(processes=50, memory_bytes=100 * MIB, open_files=20)
    names = {
        (uid, bounds): {name for name, _, _ in rlimits(limits, uid, bounds)}
        for uid in (0, 1000)
        for bounds in ((), ("pids",), ("memory", "pids"))
    }
    counted = {where for where, found in names.items() if resource.RLIMIT_NPROC in found}
    assert counted == {(1000, ())}
    assert {bounds for (_, bounds), found in names.items() if resource.RLIMIT_DATA not in found} == {("memory", "pids")}
    assert all(resource.RLIMIT_NOFILE in found for found in names.values())


def test_open_files_and_file_size(serve: Serve, tmp_path: Path) -> None:
    async def scenario(client: AsyncClient) -> None:
        done = await client.programs.run(["sh", "-c", "ulimit -n"], limits=Limits(open_files=50))
        assert done.stdout == b"50\n"
        done = await client.programs.run(
            ["head", "-c", "2000000", "/dev/zero"], stdout="discard", limits=Limits(file_bytes=1000)
        )
        assert done.code == 0
        big = ["dd", "if=/dev/zero", f"of={tmp_path}/big", "bs=1000", "count=2000"]
        done = await client.programs.run(big, limits=Limits(file_bytes=MIB))
        assert (done.status.signal, done.status.limit) == ("SIGXFSZ", "file")
        assert (tmp_path / "big").stat().st_size == MIB

    serve(scenario)


def test_processors(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        done = await client.programs.run(["nproc"], limits=Limits(cpus=1))
        assert done.stdout == b"1\n"

    serve(scenario, cgroups=False)  # A group gives it a share of all of them.


def test_output_in_all_and_per_second(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        done = await client.programs.run(["yes"], limits=Limits(output_bytes=1_000_000))
        assert (done.status.limit, done.status.signal) == ("output", "SIGKILL")
        assert len(done.stdout) == 1_000_000
        assert done.stdout_lost_bytes > 0
        program = await client.programs.start(["yes"], limits=Limits(output_bytes=1001))
        assert len(await kit.all_output(client, program.id)) == 1001
        assert (await client.programs.wait(program.id)).status.limit == "output"
        begin = time.monotonic()
        slow = Limits(output_bytes_per_s=200_000)
        done = await client.programs.run(["head", "-c", "500000", "/dev/zero"], limits=slow)
        assert len(done.stdout) == 500_000
        assert time.monotonic() - begin >= 0.5  # The first 200,000 at once, and what is left at the end, too.
        program = await client.programs.start(["yes"], limits=slow)
        async with client.programs.output(program.id) as chunks:
            async for chunk in chunks:
                if chunk.offset > 600_000:
                    break
        assert time.monotonic() - begin >= 2
        await client.programs.kill(program.id)

    serve(scenario)


def test_the_pace_holds_from_the_first_read(serve: Serve) -> None:
    """One read could take more than many seconds' worth, and so could a pipe's buffer."""

    async def scenario(client: AsyncClient) -> None:
        begin = time.monotonic()
        done = await client.programs.run(["yes"], limits=Limits(output_bytes_per_s=1000), timeout_s=2, grace_s=0)
        assert done.status.limit == "time"
        pages = 2 * resource.getpagesize()
        assert 1000 < len(done.stdout) <= 1000 * (1 + time.monotonic() - begin) + pages

    serve(scenario)


def test_more_output_than_allowed_is_told_however_it_ends(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        done = await client.programs.run(["echo", "more than five"], limits=Limits(output_bytes=5))
        assert done.status.limit == "output"
        # It has ended before most of it was read.
        limits = Limits(output_bytes=1500, output_bytes_per_s=1000)
        done = await client.programs.run(["head", "-c", "3000", "/dev/zero"], limits=limits)
        assert (done.code, done.status.limit) == (0, "output")
        assert (len(done.stdout), done.stdout_lost_bytes) == (1500, 1500)
        done = await client.programs.run(["echo", "a"], limits=Limits(output_bytes=0))
        assert (done.stdout, done.stdout_lost_bytes, done.status.limit) == (b"", 2, "output")
        done = await client.programs.run(["echo", "five"], limits=Limits(output_bytes=5))
        assert (done.code, done.status.limit) == (0, None)

    serve(scenario)


def test_what_is_discarded_is_no_silence(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        talks = "for n in 1 2 3 4 5 6 7 8; do sleep 0.2; echo $n; echo $n >&2; done"
        for options in ({"stdout": "discard"}, {"stderr": "discard", "stdout": "discard"}):
            done = await client.programs.run(["sh", "-c", talks], idle_timeout_s=1.0, **options)  # type: ignore[arg-type]
            assert (done.code, done.status.limit) == (0, None)
            assert (done.stdout, done.stdout_lost_bytes) == (b"", 0)
            assert (done.stderr == b"") == ("stderr" in options)
            assert done.stderr_lost_bytes == 0
        silent = await client.programs.run(["sleep", "60"], stdout="discard", idle_timeout_s=0.2)
        assert silent.status.limit == "idle"

    serve(scenario)


def test_a_short_program_takes_some_time(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        for _ in range(20):
            assert (await client.programs.run(["true"])).duration_s > 0

    serve(scenario, loop_factory=uvloop.new_event_loop)  # Its clock stands still for a millisecond.


def test_a_program_that_prints_without_end_holds_up_nobody(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        endless = asyncio.ensure_future(client.programs.run(["yes"], timeout_s=1.5))
        answered = 0
        while not endless.done():
            assert (await client.programs.run(["echo", "here"])).stdout == b"here\n"
            answered += 1
        done = await endless
        assert done.status.limit == "time"
        assert done.stdout_lost_bytes > 0
        assert answered > 3

    serve(scenario)


def test_time_and_silence(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        talks = "for n in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 0.2; echo $n; done; sleep 60"
        done = await client.programs.run(["sh", "-c", talks], idle_timeout_s=2)
        assert (done.status.limit, done.status.timed_out) == ("idle", True)
        assert done.stdout.split()[-1] == b"12"
        done = await client.programs.run(["sleep", "60"], timeout_s=0.2)
        assert (done.status.limit, done.status.timed_out) == ("time", True)
        done = await client.programs.run(["sleep", "0.1"], timeout_s=20, idle_timeout_s=20)
        assert (done.code, done.status.limit) == (0, None)

    serve(scenario)


def test_limits_that_make_no_sense(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        for limits in (
            {"memory_bytes": 0},
            {"cpu_s": -1},
            {"cpu_s": 1e30},
            {"open_files": 1},
            {"file_bytes": 2**70},
            {"unknown": 1},
            *({name: wrong} for name in ("cpu_s", "cpus") for wrong in (math.inf, math.nan)),
        ):
            with pytest.raises(InvalidParams, match="limits"):
                await client.call("programs.run", {"argv": ["true"], "limits": limits})

    serve(scenario)


def test_times_and_sizes_that_make_no_sense(serve: Serve, kit: Any) -> None:
    """They are refused before anything is started."""
    mark = "86396.125"
    times: dict[str, list[float]] = {"timeout_s": [-1, math.inf, math.nan], "idle_timeout_s": [0, math.inf, math.nan]}
    times["grace_s"] = times["timeout_s"]
    started = {**times, "retain_s": [-1, math.inf, math.nan], "reattach_s": [-1, math.inf, math.nan]}

    async def scenario(client: AsyncClient) -> None:
        for method, wrong in (("run", {**times, "output_bytes": [-5, 2**70]}), ("start", started)):
            for name, values in wrong.items():
                for value in values:
                    with pytest.raises(InvalidParams, match=name):
                        await client.call(f"programs.{method}", {"argv": ["sleep", mark], name: value})
        assert kit.with_argument(mark) == []
        assert await client.programs.list() == []
        program = await client.programs.start(["cat"])
        for value in times["grace_s"]:
            with pytest.raises(InvalidParams, match="grace_s"):
                await client.programs.kill(program.id, grace_s=value)
        await client.programs.kill(program.id)
        with pytest.raises(ValidationError, match="retain_s"):
            ProgramsConfig(retain_s=math.inf)

    serve(scenario)


def test_what_was_used(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        size = 30 * MIB
        code = f"kept = b'x' * {size}\nfor n in range(2_000_000): pass"
        done = await client.programs.run(["python3", "-c", code])
        assert done.usage is not None
        assert done.usage.user_s > 0
        assert done.usage.max_rss_bytes is not None
        assert size < done.usage.max_rss_bytes < size + 50 * MIB
        small = await client.programs.run(["true"])
        assert small.usage is not None
        assert small.usage.max_rss_bytes is None  # What it was before hides it.

    serve(scenario)


def test_no_core_is_left(serve: Serve, tmp_path: Path) -> None:
    """Limits of other things do not lift that of the core file's size."""

    async def scenario(client: AsyncClient) -> None:
        for limits in (None, Limits(open_files=50)):
            done = await client.programs.run(["sh", "-c", "ulimit -c; kill -SEGV $$"], cwd=str(tmp_path), limits=limits)
            assert (done.stdout, done.status.signal, done.status.core_dumped) == (b"0\n", "SIGSEGV", False)
        assert not list(tmp_path.glob("core*"))

    serve(scenario)


def test_what_leaves_its_session_and_its_environment_is_ended_too(
    serve: Serve, kit: Any, missing: Callable[[str], None]
) -> None:
    if not cgroups.places().unified:
        missing("there is no control group (version 2) that this user may write to")

    async def scenario(client: AsyncClient) -> None:
        mark = "2002.25"
        script = f"setsid env -i sh -c 'sleep {mark} >/dev/null 2>&1 & exit 0' & echo begun; sleep 60"
        done = await client.programs.run(["sh", "-c", script], timeout_s=1, grace_s=0)
        assert (done.stdout, done.status.limit, done.survivors) == (b"begun\n", "time", [])
        await kit.until(lambda: not kit.with_argument(mark))

    serve(scenario)


@pytest.mark.parametrize("on_disconnect", ["kill", "keep"])
def test_processors_for_all_programs(serve: Serve, on_disconnect: Any) -> None:
    own = sorted(os.sched_getaffinity(0))

    async def scenario(client: AsyncClient) -> None:
        script = ["sh", "-c", "grep Cpus_allowed_list /proc/self/status"]
        for limits in (None, Limits(cpus=1)):
            program = await client.programs.start(script, on_disconnect=on_disconnect, limits=limits)
            assert (await program.stdout.read()).split()[1] == str(own[-1]).encode()
        assert sorted(os.sched_getaffinity(0)) == own

    serve(scenario, processors=(own[-1],))
    with pytest.raises(ValidationError, match="there is no processor 4096: this machine has 0 to"):
        ProgramsConfig(processors=(4096,))
