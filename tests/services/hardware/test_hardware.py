"""The hardware service reads this very machine, beside psutil and what the system itself says."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import psutil
import pytest

from rpcclient import AsyncClient
from rpcclient.errors import InvalidParams
from rpcservices.hardware.models import Section

Serve = Callable[..., None]


def test_the_machine_is_this_one(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        host, cpu, memory = await asyncio.gather(
            client.hardware.host(), client.hardware.cpu(), client.hardware.memory()
        )
        assert host.hostname == socket.gethostname()
        assert host.release == os.uname().release
        assert host.boot_time == psutil.boot_time()
        assert cpu.logical == psutil.cpu_count()
        assert cpu.physical == psutil.cpu_count(logical=False)
        assert memory.total_bytes == psutil.virtual_memory().total
        assert memory.swap is not None
        assert memory.swap.total_bytes == psutil.swap_memory().total

    serve(scenario)


def test_counters_beside_psutil(serve: Serve) -> None:
    """Read before, by us, and after: a counter lies between the two readings of psutil's."""

    async def scenario(client: AsyncClient) -> None:
        before = psutil.cpu_times(), psutil.disk_io_counters(perdisk=True), psutil.net_io_counters(pernic=True)
        found = await client.hardware.snapshot(["cpu", "disks", "network"])
        after = psutil.cpu_times(), psutil.disk_io_counters(perdisk=True), psutil.net_io_counters(pernic=True)
        assert found.cpu is not None
        assert found.disks is not None
        assert found.network is not None
        for kind in ("user", "system", "idle", "iowait"):
            # Idle and iowait may go back by a tick (proc(5)).
            assert getattr(before[0], kind) - 0.02 <= getattr(found.cpu.times, kind) <= getattr(after[0], kind) + 0.02
        assert {io.name for io in found.disks.io} == set(before[1])
        for io in found.disks.io:
            for field in ("read_count", "write_count", "read_bytes", "write_bytes"):
                assert getattr(before[1][io.name], field) <= getattr(io, field) <= getattr(after[1][io.name], field)
        assert {each.name for each in found.network.interfaces} == set(before[2])
        for each in found.network.interfaces:
            for field in before[2][each.name]._fields:
                old, new = getattr(before[2][each.name], field), getattr(after[2][each.name], field)
                assert old <= getattr(each, field) <= new

    serve(scenario)


def test_states_beside_psutil(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        disks, network = await client.hardware.disks(), await client.hardware.network()
        parts = {part.mountpoint: part for part in psutil.disk_partitions()}
        assert {each.mountpoint for each in disks.filesystems} == set(parts)
        for each in disks.filesystems:
            usage = psutil.disk_usage(each.mountpoint)
            assert each.total_bytes == usage.total
            assert each.used_bytes == pytest.approx(usage.used, abs=50_000_000)  # Others write here, too.
            assert each.percent == pytest.approx(usage.percent, abs=0.2)
            assert each.inodes_total == os.statvfs(each.mountpoint).f_files
        addresses, states = psutil.net_if_addrs(), psutil.net_if_stats()
        for interface in network.interfaces:
            assert interface.isup == states[interface.name].isup
            assert interface.mtu == states[interface.name].mtu
            listed = [a.address.partition("%")[0] for a in addresses[interface.name]]
            assert [a.address for a in interface.addresses] == listed

    serve(scenario)


def test_what_psutil_lacks_beside_proc_and_sys(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        pressure, cgroup = await client.hardware.pressure(), await client.hardware.cgroup()
        for resource in ("cpu", "memory", "io"):
            file = Path("/proc/pressure") / resource
            some = getattr(pressure, f"{resource}_some")
            if not file.exists():
                assert resource in pressure.reasons
                continue
            total = int(file.read_text().splitlines()[0].rpartition("=")[2])
            assert total - 5_000_000 <= some.total_us <= total
        assert cgroup.host_memory_bytes == psutil.virtual_memory().total
        assert cgroup.host_cpus == psutil.cpu_count()
        assert 0 < cgroup.usable_cpus <= cgroup.host_cpus
        assert 0 < cgroup.usable_memory_bytes <= cgroup.host_memory_bytes

    serve(scenario)


def test_everything_at_once(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        snapshot = await client.hardware.snapshot()
        assert snapshot.reasons == {}
        for section in get_args(Section):
            assert getattr(snapshot, section) is not None, section
        assert (await client.hardware.snapshot(["host"])).cpu is None
        assert (await client.hardware.snapshot([])).host is None

    serve(scenario)


def test_every_part_has_a_capability(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        capabilities = {c.section: c for c in await client.hardware.capabilities()}
        assert capabilities.keys() >= set(get_args(Section)) | {"processes", "connections", "history"}
        assert capabilities["cpu"].state == "available"
        for capability in capabilities.values():
            assert (capability.state == "available") == (capability.reason == "")

    serve(scenario)


def test_every_missing_value_has_a_reason(serve: Serve) -> None:
    def holes(model: Any, where: str = "") -> list[str]:
        reasons = getattr(model, "reasons", None)
        return [
            f"{where}.{name}"
            for name in type(model).model_fields
            if reasons is not None and getattr(model, name) is None and name not in reasons
        ]

    async def scenario(client: AsyncClient) -> None:
        await client.hardware.snapshot()
        snapshot = await client.hardware.snapshot()
        missing = []
        for section in ("host", "cpu", "memory", "sensors", "battery", "cgroup"):
            missing += holes(getattr(snapshot, section), section)
        assert missing == []

    serve(scenario)


def test_connections(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            found = await client.hardware.connections("tcp4")
            (own,) = [c for c in found.connections if c.local_port == port]
            assert (own.status, own.local_ip, own.pid) == ("LISTEN", "127.0.0.1", os.getpid())
            assert (await client.hardware.connections("unix", limit=1)).connections[0].family == "unix"

    serve(scenario)


def test_bad_input_names_the_field(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        for interval_s in (0.0, -1.0, float("nan")):
            with pytest.raises(InvalidParams, match="interval_s"):
                await client.hardware.watch(["cpu"], interval_s=interval_s).open()
        with pytest.raises(InvalidParams, match="sections"):
            await client.call("hardware.snapshot", {"sections": ["engine"]})
        with pytest.raises(InvalidParams, match="limit"):
            await client.call("hardware.processes", {"limit": 0})
        assert (await client.hardware.cpu()).logical >= 1

    serve(scenario)
