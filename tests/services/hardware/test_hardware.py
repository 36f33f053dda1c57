"""The hardware service reads this very machine, beside what the system itself says."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import psutil
import pytest

from rpcclient import AsyncClient
from rpcclient.errors import InvalidParams
from rpcserver.config import ServerConfig
from rpcserver.server import Server
from rpcservices.hardware import Hardware, readers

Serve = Callable[[Callable[[AsyncClient], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    def run(scenario: Callable[[AsyncClient], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            server = Server(ServerConfig(state_dir=str(tmp_path)), [Hardware()], token="t" * 32)
            await server.start(listen=False)
            try:
                async with AsyncClient(memory=server.connect_memory) as client:
                    await scenario(client)
            finally:
                await server.stop(grace_s=0)

        asyncio.run(main())

    return run


def test_the_machine_is_this_one(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        host, cpu, memory = await asyncio.gather(
            client.hardware.host(), client.hardware.cpu(), client.hardware.memory()
        )
        assert host.hostname == socket.gethostname()
        assert host.release == os.uname().release
        assert host.uptime_s > 0
        assert cpu.logical == os.cpu_count()
        assert memory.total_bytes == psutil.virtual_memory().total
        assert 0 < memory.available_bytes <= memory.total_bytes
        assert {interface.name for interface in await client.hardware.network()} == set(psutil.net_if_stats())

    serve(scenario)


def test_shares_come_after_the_first_reading(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        async with client.hardware.watch(["cpu"], interval_s=0.2) as samples:
            sample = await anext(samples)
        assert sample.cpu is not None
        assert sample.cpu.percent is not None
        assert 0 <= sample.cpu.percent <= 100
        assert sample.dt_s is not None
        assert sample.dt_s >= 0.15
        assert sample.memory is None

    serve(scenario)


def test_rates_see_real_traffic(serve: Serve) -> None:
    def talk(stop: threading.Event) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            while not stop.is_set():
                sock.sendto(bytes(8192), sock.getsockname())
                sock.recv(8192)

    async def scenario(client: AsyncClient) -> None:
        stop = threading.Event()
        talker = threading.Thread(target=talk, args=(stop,))
        talker.start()
        try:
            async with client.hardware.watch(["network"], interval_s=0.3) as samples:
                sample = await anext(samples)
        finally:
            stop.set()
            talker.join()
        loopback = next(each for each in sample.network or () if each.name == "lo")
        assert loopback.sent_bytes_per_s is not None
        assert loopback.sent_bytes_per_s > 100_000

    serve(scenario)


def test_two_watchers_do_not_shorten_each_others_intervals(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        async def first_dt(interval_s: float) -> float:
            async with client.hardware.watch(["cpu"], interval_s=interval_s) as samples:
                dt = (await anext(samples)).dt_s
                assert dt is not None
                return dt

        fast, slow = await asyncio.gather(first_dt(0.1), first_dt(0.6))
        assert fast < 0.5 < slow

    serve(scenario)


def test_processes(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        listed = await client.hardware.processes(limit=10_000, order="pid")
        own = next(process for process in listed if process.pid == os.getpid())
        assert own.started_at == pytest.approx(psutil.Process().create_time())
        assert own.memory_bytes is not None
        assert own.memory_bytes > 1_000_000
        assert [p.pid for p in listed] == sorted(p.pid for p in listed)
        largest = await client.hardware.processes(limit=2, order="memory")
        assert len(largest) <= 2

    serve(scenario)


def test_everything_at_once(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        snapshot = await client.hardware.snapshot()
        for section in ("cpu", "memory", "disks", "network", "sensors", "battery", "host"):
            assert getattr(snapshot, section) is not None, section
        assert snapshot.processes is None
        capabilities = {c.section: c for c in await client.hardware.capabilities()}
        assert capabilities["cpu"].state == "available"
        for capability in capabilities.values():
            assert (capability.state == "available") == (capability.reason == "")

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


# What this machine lacks: as psutil reports it on machines that have it, or that fail.


def test_sensors_of_a_real_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    package = SimpleNamespace(label="Package id 0", current=47.0, high=100.0, critical=100.0)
    fan = SimpleNamespace(label="", current=2531)
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: {"coretemp": [package]})
    monkeypatch.setattr(psutil, "sensors_fans", lambda: {"thinkpad": [fan]})
    found = readers.sensors()
    assert [(r.kind, r.chip, r.value, r.critical) for r in found.readings] == [
        ("temperature", "coretemp", 47.0, 100.0),
        ("fan", "thinkpad", 2531.0, None),
    ]
    assert found.reasons == {}


def test_a_sensor_that_fails_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> NoReturn:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(psutil, "sensors_temperatures", broken)
    found = readers.sensors()
    assert found.reasons["temperature"] == "failed: Input/output error"


def test_a_battery_discharging_and_on_mains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        psutil, "sensors_battery", lambda: SimpleNamespace(percent=93.0, secsleft=16628, power_plugged=False)
    )
    assert (readers.battery().present, readers.battery().left_s) == (True, 16628)
    on_mains = SimpleNamespace(percent=100.0, secsleft=psutil.POWER_TIME_UNLIMITED, power_plugged=True)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: on_mains)
    found = readers.battery()
    assert (found.left_s, found.reasons["left_s"]) == (None, "on mains")


def test_denied_and_gone_are_reasons() -> None:
    reasons = readers.Reasons()

    def denied() -> NoReturn:
        raise psutil.AccessDenied(1)

    def gone() -> NoReturn:
        raise psutil.NoSuchProcess(1)

    assert reasons.attempt("a", denied) is None
    assert reasons.attempt("b", gone) is None
    assert reasons["a"].startswith("denied")
    assert reasons["b"].startswith("gone")


def test_the_tightest_control_group_limit_counts(tmp_path: Path) -> None:
    inner = tmp_path / "system.slice" / "rpc.service"
    inner.mkdir(parents=True)
    own = tmp_path / "cgroup"
    own.write_text("0::/system.slice/rpc.service\n")
    assert readers.cgroup_memory_limit(tmp_path, own) is None
    (inner / "memory.max").write_text("max\n")
    (inner.parent / "memory.max").write_text("1073741824\n")
    assert readers.cgroup_memory_limit(tmp_path, own) == 1073741824
    (inner / "memory.max").write_text("536870912\n")
    assert readers.cgroup_memory_limit(tmp_path, own) == 536870912
