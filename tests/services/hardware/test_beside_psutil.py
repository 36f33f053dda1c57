"""More values beside psutil and the system's own files, read in the same second. Where a value moves, it lies between
two readings of theirs, or within the tolerance that is given."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from rpcclient import AsyncClient
from rpcclient.stubs.hardware import ProcessAttribute
from rpcservices.hardware.readers.places import numbers_of
from rpcservices.hardware.readers.users import UTMP

Serve = Callable[..., None]
MOVES_BYTES = 200 * 2**20
"""How much memory others may take or give back between two readings."""
TICK_S = 0.02
"""Times of a processor may go back by two ticks of the kernel's (proc(5))."""


def test_memory_and_swap(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        ours, theirs, swap = await client.hardware.memory(), psutil.virtual_memory(), psutil.swap_memory()
        for name in ("available", "used", "free", "active", "inactive", "buffers", "cached", "shared", "slab"):
            assert getattr(ours, f"{name}_bytes") == pytest.approx(getattr(theirs, name), abs=MOVES_BYTES), name
        assert ours.percent == pytest.approx(theirs.percent, abs=100 * MOVES_BYTES / theirs.total + 0.1)
        assert ours.swap is not None
        assert (ours.swap.used_bytes, ours.swap.free_bytes) == (
            pytest.approx(swap.used, abs=MOVES_BYTES),
            pytest.approx(swap.free, abs=MOVES_BYTES),
        )

    serve(scenario)


def test_processors(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        before, stats = psutil.cpu_times(percpu=True), psutil.cpu_stats()
        ours, load = await client.hardware.cpu(), os.getloadavg()
        after, later = psutil.cpu_times(percpu=True), psutil.cpu_stats()
        on = [core for core in ours.cores if core.online]
        assert [core.cpu for core in on] == numbers_of(Path("/sys/devices/system/cpu/online").read_text())
        for core, old, new in zip(on, before, after, strict=True):  # psutil has them in their order, without numbers.
            for kind in ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"):
                found = getattr(core.times, kind)
                assert getattr(old, kind) - TICK_S <= found <= getattr(new, kind) + TICK_S, kind
        for name in ("ctx_switches", "interrupts", "soft_interrupts"):
            assert getattr(stats, name) <= getattr(ours, name) <= getattr(later, name)
        # The kernel computes it every five seconds.
        assert ours.load_1m == pytest.approx(load[0], rel=0.2, abs=1.0)
        assert ours.load_15m == pytest.approx(load[2], rel=0.1, abs=0.5)
        frequency = psutil.cpu_freq()
        assert (ours.frequency_mhz is None) == (frequency is None)
        if frequency is not None:
            assert ours.frequency_mhz == pytest.approx(frequency.current, rel=0.7)  # It follows the load.
            assert ours.frequency_max_mhz == (frequency.max or None)

    serve(scenario)


def test_interfaces_users_and_connections(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        states = psutil.net_if_stats()
        for each in (await client.hardware.network()).interfaces:
            duplex = {psutil.NIC_DUPLEX_FULL: "full", psutil.NIC_DUPLEX_HALF: "half"}.get(states[each.name].duplex)
            assert (each.speed_mbit, each.duplex) == (states[each.name].speed or None, duplex)
        if UTMP.exists() and UTMP.stat().st_size:  # Elsewhere psutil knows of nobody, which need not be so.
            users = [(u.name, u.terminal or None, u.host or None, u.started) for u in psutil.users()]
            assert [(u.name, u.terminal, u.host, u.started) for u in await client.hardware.users()] == users
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as ours:
            there, _ = server.accept()
            found = await client.hardware.connections("tcp4", limit=10_000)
            near = ours.getsockname()
            (mine,) = [c for c in found.connections if (c.local_ip, c.local_port) == near]
            (theirs,) = [c for c in psutil.net_connections("tcp4") if c.laddr == near]
            assert (mine.remote_ip, mine.remote_port) == tuple(theirs.raddr)
            assert (mine.status, mine.pid, mine.family, mine.type) == (theirs.status, theirs.pid, "inet", "stream")
            there.close()

    serve(scenario)


def test_a_process_field_by_field(serve: Serve) -> None:
    words = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()  # It waits from now on, and nothing of it moves.

        async def scenario(client: AsyncClient) -> None:
            wanted: list[ProcessAttribute] = [
                "ppid", "name", "username", "status", "cpu_times", "memory_info", "memory_percent", "num_threads",
                "num_fds", "nice", "cpu_affinity", "io_counters", "cmdline", "exe", "cwd", "terminal",
            ]  # fmt: skip
            found = await client.hardware.processes(wanted, limit=10_000)
            ours = next(p for p in found.processes if p.pid == child.pid)
            theirs = psutil.Process(child.pid)
            for name in (
                "ppid", "name", "username", "status", "num_threads", "num_fds", "nice", "cpu_affinity", "cmdline",
                "exe", "cwd", "terminal",
            ):  # fmt: skip
                assert getattr(ours, name) == getattr(theirs, name)(), name
            memory, io, times = theirs.memory_info(), theirs.io_counters(), theirs.cpu_times()
            assert (ours.rss_bytes, ours.vms_bytes) == (memory.rss, memory.vms)
            assert ours.memory_percent == pytest.approx(theirs.memory_percent())
            assert (ours.read_bytes, ours.write_bytes) == (io.read_bytes, io.write_bytes)
            assert (ours.cpu_user_s, ours.cpu_system_s) == (times.user, times.system)
            assert ours.create_time == theirs.create_time()
            details = await client.hardware.process(child.pid)
            assert (details.uids, details.gids) == (list(theirs.uids()), list(theirs.gids()))
            assert {(f.path, f.fd) for f in details.open_files or ()} == {(f.path, f.fd) for f in theirs.open_files()}
            assert details.uss_bytes == theirs.memory_full_info().uss
            assert details.ctx_switches_voluntary == theirs.num_ctx_switches().voluntary

        serve(scenario)
        child.communicate()


def test_the_control_group(serve: Serve) -> None:
    """Of version 2, or of version 1 with a folder for each controller."""
    groups = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), path))

    def number(controller: str, first: str, second: str) -> int | None:
        """What a file says: by its name in version 1, or in version 2."""
        root, name = (f"{controller}/", first) if controller in groups else ("", second)
        file = Path("/sys/fs/cgroup") / root / groups.get(controller, groups.get("", "/")).lstrip("/") / name
        try:
            return int(file.read_text())
        except (OSError, ValueError):
            return None

    async def scenario(client: AsyncClient) -> None:
        ours = await client.hardware.cgroup()
        assert ours.path == groups.get("memory", groups.get(""))
        used = number("memory", "memory.usage_in_bytes", "memory.current")
        assert ours.memory_usage_bytes == (None if used is None else pytest.approx(used, abs=MOVES_BYTES))
        tasks = number("pids", "pids.current", "pids.current")
        assert ours.pids_current == (None if tasks is None else pytest.approx(tasks, abs=50))
        limit = number("memory", "memory.limit_in_bytes", "memory.max")
        if limit is not None and limit < 2**60:  # Those above it may be tighter.
            assert ours.memory_limit_bytes is not None
            assert ours.memory_limit_bytes <= limit

    serve(scenario)
