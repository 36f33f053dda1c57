"""Processes: what is asked for, in the order that is asked for, with secrets hidden."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

import psutil
import pytest

from rpcclient import AsyncClient
from rpcclient.stubs.hardware import ProcessAttribute
from rpcservices.hardware.readers.processes import processes

from .conftest import as_nobody

Serve = Callable[..., None]

SLEEP = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]


def test_beside_psutil(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        found = await client.hardware.processes(limit=10_000, sort="pid")
        own = next(process for process in found.processes if process.pid == os.getpid())
        me = psutil.Process()
        assert own.create_time == pytest.approx(me.create_time())
        assert (own.ppid, own.name, own.username, own.num_threads is not None) == (
            me.ppid(),
            me.name(),
            me.username(),
            True,
        )
        assert own.rss_bytes == pytest.approx(me.memory_info().rss, rel=0.5)
        assert [p.pid for p in found.processes] == sorted(p.pid for p in found.processes)
        assert found.total == len(found.processes)
        assert own.cmdline is None  # It was not asked for.

    serve(scenario)


def test_selected_attributes_and_limit(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        largest = await client.hardware.processes(
            ["pid", "create_time", "cmdline", "num_fds", "cpu_affinity", "io_counters"], limit=2, sort="memory_percent"
        )
        assert len(largest.processes) == 2
        assert largest.total >= 2
        first, second = largest.processes
        assert (first.rss_bytes or 0) >= (second.rss_bytes or 0)
        assert first.cmdline is not None or "cmdline" in first.reasons
        assert first.username is None
        oldest = (await client.hardware.processes(["cpu_times"], sort="cpu_times", limit=10_000)).processes
        times = [(p.cpu_user_s or 0.0) + (p.cpu_system_s or 0.0) for p in oldest]
        assert times == sorted(times, reverse=True)

    serve(scenario)


def test_secrets_in_command_lines(serve: Serve) -> None:
    with subprocess.Popen([*SLEEP, "--password", "hunter2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()

        def shown_by(**settings: bool) -> list[str] | None:
            result: list[list[str] | None] = []

            async def scenario(client: AsyncClient) -> None:
                found = await client.hardware.processes(["cmdline"], limit=10_000)
                result.extend(p.cmdline for p in found.processes if p.pid == child.pid)

            serve(scenario, **settings)
            return result[0]

        assert (shown_by() or [])[-2:] == ["--password", "***"]
        assert (shown_by(reveal_command_lines=True) or [])[-1] == "hunter2"
        child.stdin.close()


def test_a_zombie_is_listed_and_its_holes_are_explained(serve: Serve) -> None:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # It has ended, and is not waited for.

        async def scenario(client: AsyncClient) -> None:
            wanted: list[ProcessAttribute] = ["name", "status", "exe", "cwd", "cmdline", "num_fds", "io_counters"]
            found = await client.hardware.processes(wanted, limit=10_000)
            zombie = next(p for p in found.processes if p.pid == child.pid)
            assert (zombie.name, zombie.status) == ("true", "zombie")
            fields = {"exe", "cwd", "cmdline", "num_fds", "read_bytes"}
            assert {f for f in fields if getattr(zombie, f) is None} == fields & zombie.reasons.keys()
            assert not [reason for reason in zombie.reasons.values() if reason.startswith("gone")]
            details = await client.hardware.process(child.pid)
            assert details.process.status == "zombie"

        serve(scenario)


def test_what_may_not_be_read_is_denied_field_by_field(missing: Callable[[str], NoReturn]) -> None:
    if os.geteuid() != 0:
        missing("another user can be had by root only")

    def look() -> dict[str, str]:
        found, *_ = processes(["name", "exe", "io_counters", "num_fds"], None, 0.0, "pid", 1, reveal=False)
        assert found[0].name is not None
        return found[0].reasons

    reasons = as_nobody(look)
    assert set(reasons) >= {"exe", "read_bytes", "write_bytes", "num_fds"}
    assert {reason.partition(":")[0] for reason in reasons.values()} == {"denied"}


def test_shares_of_a_busy_process(serve: Serve) -> None:
    code = "print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()

        async def scenario(client: AsyncClient) -> None:
            async with client.hardware.watch_processes(limit=10_000, interval_s=0.5) as lists:
                found = await anext(lists)
            share = {p.pid: p.cpu_percent for p in found.processes}[child.pid]
            assert share is not None
            assert share > 5
            assert found.dt_s is not None
            shares = [p.cpu_percent or 0.0 for p in found.processes]
            assert shares == sorted(shares, reverse=True)

        try:
            serve(scenario)
        finally:
            child.kill()


def test_the_share_of_a_process_younger_than_the_last_list(serve: Serve) -> None:
    """Asking again is what the reason advises; then the share is there."""
    code = "print(flush=True)\nwhile True: pass"

    async def scenario(client: AsyncClient) -> None:
        await client.hardware.processes(["cpu_percent"])
        with busy() as pid:
            first = (await client.hardware.process(pid)).process
            assert first.cpu_percent is None
            assert first.reasons["cpu_percent"].endswith("ask again")
            async with client.hardware.watch(["cpu"], interval_s=0.3) as beats:
                await anext(beats)
            second = (await client.hardware.process(pid)).process
            assert second.cpu_percent is not None
            assert second.cpu_percent > 0

    @contextlib.contextmanager
    def busy() -> Iterator[int]:
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as young:
            assert young.stdout is not None
            young.stdout.readline()
            yield young.pid
            young.kill()

    serve(scenario)


def test_lists_without_shares_do_not_lengthen_those_of_others(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        watch = client.hardware.watch_processes
        async with (
            watch(["name"], sort="pid", interval_s=0.2) as names,
            watch(["cpu_percent"], sort="pid", interval_s=0.2) as shares,
        ):
            before = await anext(shares)
            for _ in range(5):
                assert (await anext(names)).dt_s is None
                listed = await anext(shares)
                assert listed.dt_s is not None
                # Since the list before, and not since the first one.
                assert listed.dt_s <= listed.t_mono_s - before.t_mono_s + 0.05
                before = listed

    serve(scenario)


def test_shares_of_who_joins_those_who_want_none(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        watch = client.hardware.watch_processes
        async with watch(["name"], sort="pid", interval_s=0.1) as names:
            for _ in range(2):
                left = time.monotonic()
                for _ in range(8):
                    # Those that were listed while somebody wanted shares may come late.
                    while (gone := await anext(names)).t_mono_s < left:
                        pass
                async with watch(["cpu_percent"], sort="pid", interval_s=0.1) as shares:
                    listed = await anext(shares)
                    assert listed.dt_s is not None
                    assert listed.dt_s <= listed.t_mono_s - gone.t_mono_s

    serve(scenario)
