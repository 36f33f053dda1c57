"""The hardware service reads this very machine, beside psutil and what the system itself says."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shutil
import socket
import subprocess
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, get_args

import psutil
import pytest
from pydantic import BaseModel

from rpcclient import AsyncClient
from rpcclient.errors import InvalidParams
from rpcservices.hardware.availability import state_of
from rpcservices.hardware.inventory.inventory import Inventory
from rpcservices.hardware.models import DiskIo, NetworkInterface, Section, Swap
from rpcservices.hardware.readers import cgroup, disks
from rpcservices.hardware.readers.network import connections
from rpcservices.hardware.readers.places import Places
from rpcservices.hardware.readers.reasons import RESET, others_denied

from .conftest import as_nobody

Serve = Callable[..., None]
MACHINES = ["laptop", "server", "raspberry", "vm", "container", "container_v1", "broken"]


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
        parts = {part.mountpoint: part for part in psutil.disk_partitions(all=True)}
        assert {part.mountpoint for part in psutil.disk_partitions()} <= {each.mountpoint for each in disks.filesystems}
        for each in disks.filesystems:
            part = parts[each.mountpoint]  # Of several at one place the last one, which is the one that is seen.
            assert (each.device, each.fstype) == (part.device, part.fstype)
            assert set(each.opts.split(",")) == set(part.opts.split(","))
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
        assert snapshot.reasons.keys() <= {"users"}  # Not every system keeps a record of them.
        for section in get_args(Section):
            assert (getattr(snapshot, section) is None) == (section in snapshot.reasons), section
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


NONE_IS_AN_ANSWER = {
    "Address": {"netmask", "broadcast"}, "User": {"terminal", "host", "pid"}, "Sensor": {"high", "critical"},
    "CpuCore": {"frequency_mhz"},  # The reason is that of the processors together.
}  # fmt: skip
"""Fields that are None where there is no such thing."""


def holes(model: Any, where: str) -> list[str]:
    """All values that are None without a reason, in a model and all within."""
    if isinstance(model, list):
        return [hole for number, item in enumerate(model) for hole in holes(item, f"{where}[{number}]")]
    if not isinstance(model, BaseModel):
        return []
    reasons = getattr(model, "reasons", {})
    found = []
    for name in type(model).model_fields:
        value = getattr(model, name)
        known = {name, name.partition("_")[0], "*"} & reasons.keys() or getattr(model, "reason", "")
        if value is None and not known and name not in NONE_IS_AN_ANSWER.get(type(model).__name__, ()):
            found.append(f"{where}.{name}")
        found += holes(value, f"{where}.{name}")
    return found


@pytest.mark.parametrize("name", [None, *MACHINES])
def test_every_missing_value_has_a_reason(name: str | None, machine: Callable[[str], Places], serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        for _ in range(2):  # At first there are no rates.
            snapshot = await client.hardware.snapshot()
            missing = []
            for section in get_args(Section):
                missing += holes(getattr(snapshot, section), section)
            assert missing == []

    serve(scenario, None if name is None else machine(name))


def test_what_has_no_rates_yet_says_so(serve: Serve) -> None:
    memory, disk, nic = Swap, DiskIo, NetworkInterface
    assert all("reasons" in model.model_fields for model in (memory, disk, nic))

    async def scenario(client: AsyncClient) -> None:
        async with client.hardware.subscribe(["network"], interval_s=0.3) as samples:
            await anext(samples)
            with interface() as name:
                reasons: dict[str, str] = {}
                while f"network.interfaces.bytes_recv_per_s{{{name}}}" not in reasons:
                    reasons = (await anext(samples)).reasons
                assert reasons[f"network.interfaces.bytes_recv_per_s{{{name}}}"].startswith("unknown")

    @contextlib.contextmanager
    def interface() -> Iterator[str]:
        name = f"rpcnew{os.getpid() % 10_000}"
        for kind in ("dummy", "bridge", "ifb"):
            made = subprocess.run(["ip", "link", "add", name, "type", kind], capture_output=True)
            if made.returncode == 0:
                break
        else:
            pytest.skip("no network interface can be made here")
        try:
            yield name
        finally:
            subprocess.run(["ip", "link", "del", name], check=False)

    serve(scenario)


def test_what_a_server_without_privileges_may_not_see(missing: Callable[[str], NoReturn]) -> None:
    if os.geteuid() != 0:
        missing("another user can be had by root only")
    with socket.create_server(("127.0.0.1", 0)):

        def look() -> dict[str, Any]:
            found = connections("tcp4", 1000)
            return {
                "pids": [c.pid for c in found.connections],
                "reasons": found.reasons,
                "others": others_denied(),
                "lacks": Inventory().lacks(),
            }

        seen = as_nobody(look)
    assert None in seen["pids"]
    assert seen["reasons"]["pid"].startswith("denied")
    assert seen["others"].startswith("denied")
    if Path("/sys/firmware/dmi/tables/DMI").exists():
        assert seen["lacks"]["memory"].startswith("denied")


def test_states_of_reasons() -> None:
    words = {"denied": "denied", "unsupported": "unsupported", "failed": "unsupported", "absent": "absent"}
    assert {word: state_of(f"{word}: because") for word in words} == words


def test_a_machine_without_names_says_so(machine: Callable[[str], Places]) -> None:
    places = machine("laptop")
    assert "pci.model" not in Inventory(places).lacks()
    for file in places.share.rglob("*.ids"):
        file.unlink()
    shutil.rmtree(places.run / "udev", ignore_errors=True)
    assert Inventory(places).lacks()["pci.model"].startswith("absent: neither udev nor pci.ids")


def test_file_systems_where_the_system_shows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without block devices, as some containers are."""
    monkeypatch.setattr(psutil, "disk_io_counters", lambda **_: None)
    monkeypatch.setattr(disks, "mounts", lambda: ())
    answer = disks.derive(None, disks.read(), None)
    assert (answer.io, answer.filesystems) == ([], [])
    assert answer.reasons["io"].startswith("absent")
    assert answer.reasons["filesystems"].startswith("absent")


def test_connections(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            found = await client.hardware.connections("tcp4", limit=10_000)
            (own,) = [c for c in found.connections if c.local_port == port and c.status == "LISTEN"]
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


def test_kinds_of_disks(serve: Serve, tmp_path: Path) -> None:
    block = tmp_path / "class" / "block"
    for folder in ("sda/device", "sda1", "dm-0", "cciss!c0d0/device"):
        (block / folder).mkdir(parents=True)
    (block / "sda1" / "partition").write_text("1\n")
    assert disks.kinds(("sda", "sda1", "dm-0", "cciss/c0d0", "gone"), tmp_path) == {
        "sda": "disk",
        "sda1": "partition",
        "dm-0": "virtual",
        "cciss/c0d0": "disk",
    }

    async def scenario(client: AsyncClient) -> None:
        for io in (await client.hardware.disks()).io:
            place = Path("/sys/class/block") / io.name
            if io.kind == "partition":
                assert place.resolve().parent.parent.name == "block"
            else:
                assert place.resolve().parent.name == "block"
                assert (io.kind == "virtual") == ("/virtual/" in str(place.resolve()))

    serve(scenario)


@pytest.mark.parametrize("counts_itself", [True, False])
def test_the_ways_to_a_disk_are_no_disks(tmp_path: Path, counts_itself: bool) -> None:
    """NVMe with several controllers (drivers/nvme/host/multipath.c); before Linux 6.3 only the ways were counted."""
    block = tmp_path / "class" / "block"
    for name, hidden in (("nvme0n1", 0), ("nvme0c0n1", 1), ("nvme0c1n1", 1), ("sda", 0)):
        (block / name / "device").mkdir(parents=True)
        (block / name / "hidden").write_text(f"{hidden}\n")
    counters = namedtuple("sdiskio", "read_count write_count read_bytes write_bytes read_time write_time busy_time")  # noqa: PYI024
    ways = {"nvme0c0n1": counters(10, 1, 4096, 512, 3, 4, 70), "nvme0c1n1": counters(20, 2, 8192, 1024, 5, 6, 90)}
    whole = counters(30, 3, 12288, 1536, 8, 10, 90)
    io = {"nvme0n1": whole if counts_itself else counters(*[0] * 7), "sda": counters(*[5] * 7), **ways}
    found = disks.paths(tuple(io), tmp_path)
    assert found == dict.fromkeys(ways, "nvme0n1")
    assert disks.without_paths(io, found) == {"nvme0n1": whole, "sda": io["sda"]}
    listed = {d.name for d in Inventory(Places(sys=tmp_path)).list(["block"])}
    assert listed == {"nvme0n1", "sda"}


@pytest.mark.parametrize("field", ["busy_time", "read_bytes", "write_bytes"])
def test_one_counter_that_goes_back_alone_has_a_reason(field: str) -> None:
    counters = ("read_count", "write_count", "read_bytes", "write_bytes", "busy_time")
    before = SimpleNamespace(**dict.fromkeys(counters, 100))
    now = SimpleNamespace(**{**dict.fromkeys(counters, 200), field: 50})
    io = disks._io("sda", "disk", before, now, 1.0)
    lacks = "busy_percent" if field == "busy_time" else f"{field}_per_s"
    assert io.reasons == {lacks: RESET}
    assert [name for name in DiskIo.model_fields if getattr(io, name) is None] == [lacks]
    assert disks._io("sda", None, None, now, None).reasons.keys() >= {"kind", "read_bytes_per_s", "busy_percent"}


@pytest.mark.parametrize(("limit", "reason"), [(2**30, "absent: the group's controller"), (0, "unknown"), (None, "no")])
def test_a_limit_without_a_use(limit: int | None, reason: str, machine: Callable[[str], Places]) -> None:
    usage = None if limit else 100
    now = dataclasses.replace(cgroup.read(machine("container")), memory_limit=limit, memory_usage=usage)
    group = cgroup.derive(None, now, None)
    assert group.memory_percent is None
    assert group.reasons["memory_percent"].startswith(reason)
