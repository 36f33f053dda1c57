"""One sampler for all: rates over the right time, no false zero, and nobody waits for anybody."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcclient.errors import InvalidParams
from rpcservices.hardware import Hardware
from rpcservices.hardware.config import HardwareConfig
from rpcservices.hardware.models import Snapshot
from rpcservices.hardware.readers import linktable, mounts, network
from rpcservices.hardware.readers.gpus import GpuReader
from rpcservices.hardware.readers.linktable import LinkTable
from rpcservices.hardware.readers.places import Places
from rpcservices.hardware.readers.reasons import RESET
from rpcservices.hardware.sampling.collector import Collector
from rpcservices.hardware.sampling.metrics import known_paths
from rpcservices.hardware.sampling.sampler import Sampler
from rpcservices.hardware.sampling.sections import SectionReader, section_readers

Serve = Callable[..., None]


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
        assert sample.network is not None
        loopback = next(each for each in sample.network.interfaces if each.name == "lo")
        assert loopback.bytes_sent_per_s is not None
        assert loopback.bytes_sent_per_s > 100_000

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


def test_metrics_with_a_filter(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        wanted = ["cpu.percent", "network.interfaces.bytes_*_per_s{lo}"]
        async with client.hardware.subscribe(["cpu", "network"], interval_s=0.1, filter=wanted) as samples:
            sample = await anext(samples)
        assert set(sample.values) == {
            "cpu.percent",
            "network.interfaces.bytes_sent_per_s{lo}",
            "network.interfaces.bytes_recv_per_s{lo}",
        }

    serve(scenario)


def test_a_misspelt_metric_is_refused(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        for bad in ("cpu.percnt", "cpu.pct*", "engine", "network.interfaces.bytes_rcv{lo}", ""):
            with pytest.raises(InvalidParams, match=r"filter: there is no metric"):
                await client.hardware.subscribe(filter=["cpu", bad]).open()
        with pytest.raises(InvalidParams, match=r"did you mean .*network.interfaces.bytes_recv"):
            await client.hardware.subscribe(filter=["network.interfaces.bytes_rcv"]).open()
        for good in ("cpu", "cpu.percent", "*", "*eth0*", "sensors.readings.current{chip/*}", "network.*{none}"):
            await client.hardware.subscribe(filter=[good]).open()

    serve(scenario)


def test_what_could_never_give_a_value_is_refused(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        subscribe = client.hardware.subscribe
        with pytest.raises(InvalidParams, match=r"filter: 'cpu.percent' is no metric of the sections .*\(memory\)"):
            await subscribe(["memory"], filter=["memory.percent", "cpu.percent"]).open()
        with pytest.raises(InvalidParams, match="sections: users: nothing that has metrics"):
            await subscribe(["users"]).open()
        with pytest.raises(InvalidParams, match="sections: none"):
            await subscribe([]).open()
        with pytest.raises(InvalidParams, match="filter: empty"):
            await subscribe(filter=[]).open()
        await subscribe(["memory", "users"], filter=["memory", "*percent"]).open()
        await subscribe(["network"], filter=["*eth0*"]).open()

    serve(scenario)


def test_every_metric_of_this_machine_has_a_known_path(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        async with client.hardware.subscribe(interval_s=0.1) as samples:
            sample = await anext(samples)
        assert {name.partition("{")[0] for name in sample.values} <= set(known_paths())

    serve(scenario)


def test_only_changes(serve: Serve) -> None:
    """The size of memory never changes: one sample, and no second one while five go by of what does change."""

    async def scenario(client: AsyncClient) -> None:
        still = client.hardware.subscribe(["memory"], interval_s=0.1, filter=["memory.total_bytes"], on_change=True)
        async with still as quiet, client.hardware.subscribe(["cpu"], interval_s=0.1) as busy:
            assert (await anext(quiet)).values.keys() == {"memory.total_bytes"}
            second = asyncio.ensure_future(anext(quiet))
            for _ in range(5):
                await anext(busy)
            assert not second.done()
            second.cancel()

    serve(scenario)


# The sampler with a section of the test's own, whose readings the test gives.


@dataclass
class Source:
    """A section that counts what is asked of it."""

    counter: float = 100.0
    readings: int = 0
    derived: list[tuple[float | None, float, float | None]] = field(default_factory=list)
    hold: threading.Event | None = None

    def read(self) -> float:
        self.readings += 1
        if self.hold is not None:
            self.hold.wait(10)
        return self.counter

    def derive(self, before: float | None, now: float, dt_s: float | None) -> tuple[float | None, float, float | None]:
        return before, now, dt_s


def sampler_of(source: Source, *, slow: bool = False, timeout_s: float = 5.0) -> tuple[Sampler, Collector]:
    collector = Collector({"memory": SectionReader(source.read, source.derive, slow)}, timeout_s)
    return Sampler(collector), collector


def test_one_reading_serves_all_who_follow() -> None:
    async def main() -> None:
        source = Source()
        sampler, collector = sampler_of(source)

        async def three() -> list[object]:
            items = sampler.follow(frozenset({"memory"}), 0.05)
            found = [await anext(items) for _ in range(3)]
            await items.aclose()
            return found

        lists = await asyncio.gather(*(three() for _ in range(200)))
        assert source.readings <= 5  # One to begin with, three, and perhaps one more while they leave.
        assert all(one is other for found in lists for one, other in zip(found, lists[0], strict=True))
        assert sampler._beats == {}
        collector.close()

    asyncio.run(main())


def test_beats_that_fall_together_share_a_reading() -> None:
    async def main() -> None:
        source = Source()
        sampler, collector = sampler_of(source)

        async def times(interval_s: float, count: int) -> list[float]:
            items = sampler.follow(frozenset({"memory"}), interval_s)
            found = [(await anext(items)).t_mono_s for _ in range(count)]
            await items.aclose()
            return found

        every, second = await asyncio.gather(times(1.0, 2), times(2.0, 1))
        assert every[1] == second[0]
        assert source.readings == 4  # One to begin with for each, and two.
        collector.close()

    asyncio.run(main())


def test_intervals_that_are_all_but_the_same_are_one_and_none_is_nothing() -> None:
    service = Hardware(HardwareConfig(min_interval_s=0.001))
    assert [service._interval(s) for s in (0.001, 0.004, 0.0149, 0.5, 3.0, 1e9)] == [
        0.001,
        0.004,
        0.015,
        0.5,
        3.0,
        86400.0,
    ]
    assert len({service._interval(1 + n / 100) for n in range(200)}) <= 21
    assert Hardware(HardwareConfig(min_interval_s=0.125))._interval(0.125) == 0.125


def test_a_frozen_follower_harms_nobody_and_gets_the_latest() -> None:
    async def main() -> None:
        source = Source()
        sampler, collector = sampler_of(source)
        frozen = sampler.follow(frozenset({"memory"}), 0.02)
        await anext(frozen)
        lively = sampler.follow(frozenset({"memory"}), 0.02)
        for number in range(10):
            source.counter = 200.0 + number
            await anext(lively)
        source.counter = 500.0
        await anext(lively)
        newest = await anext(lively)
        assert (await anext(frozen)).memory[1] == newest.memory[1] == 500.0  # type: ignore[index]
        await frozen.aclose()
        await lively.aclose()
        collector.close()

    asyncio.run(main())


@pytest.mark.parametrize("interval_s", [0.05, 1.0])
def test_a_section_that_nobody_followed_for_a_while_begins_anew(interval_s: float) -> None:
    """Another follower keeps the beat alive; the rates of who comes back are not over the gap."""

    async def main() -> None:
        kept, left = Source(), Source()
        readers = {"cpu": SectionReader(kept.read, kept.derive), "network": SectionReader(left.read, left.derive)}
        collector = Collector(readers, 5.0)  # type: ignore[arg-type]
        sampler = Sampler(collector)
        stays = sampler.follow(frozenset({"cpu"}), interval_s)
        await anext(stays)

        async def follow_both() -> Snapshot:
            both = sampler.follow(frozenset({"cpu", "network"}), interval_s)
            found = await anext(both)
            await both.aclose()
            return found

        await follow_both()
        for number in range(3):
            left.counter = 1000.0 + number
            gone = await anext(stays)
        back = await follow_both()
        assert back.dt_s is not None
        # No reading from before the last sample that the other follower has got.
        assert back.dt_s <= back.t_mono_s - gone.t_mono_s + 0.01
        before, _, dt_s = back.network  # type: ignore[misc]
        assert before == left.counter
        assert dt_s <= back.t_mono_s - gone.t_mono_s
        await stays.aclose()
        collector.close()

    asyncio.run(main())


def test_the_time_of_rates_is_that_of_sections_with_rates(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        async with client.hardware.watch(["cpu"], interval_s=0.2) as stays:
            async with client.hardware.watch(["cpu", "host"], interval_s=0.2) as both:
                await anext(both)
            for _ in range(5):
                gone = await anext(stays)
            async with client.hardware.watch(["cpu", "host", "users"], interval_s=0.2) as both:
                back = await anext(both)
            assert back.dt_s is not None
            assert back.dt_s <= back.t_mono_s - gone.t_mono_s + 0.05  # Sections are read one after the other.
        async with client.hardware.watch(["host"], interval_s=0.1) as alone:
            assert [(await anext(alone)).dt_s for _ in range(2)] == [None, None]

    serve(scenario)


def test_who_comes_while_the_last_one_leaves_is_served() -> None:
    async def main() -> None:
        sampler, collector = sampler_of(Source())
        for _ in range(20):
            one = sampler.follow(frozenset({"memory"}), 0.01)
            await anext(one)
            two = sampler.follow(frozenset({"memory"}), 0.01)  # Not begun yet.
            await one.aclose()
            async with asyncio.timeout(5):
                await anext(two)
            await two.aclose()
        collector.close()

    asyncio.run(main())


def test_first_readings_have_no_rates_and_later_ones_an_old_enough_baseline() -> None:
    async def main() -> None:
        sampler, collector = sampler_of(Source())
        first = await sampler.take({"memory"})
        assert first.dt_s is None
        assert first.memory == (None, 100.0, None)  # type: ignore[comparison-overlap]
        second = await sampler.take({"memory"})
        assert second.dt_s is not None
        assert second.dt_s > 0
        # A thousand callers in a second do not bring the interval of each down to a thousandth.
        collector._newer["memory"] = type(collector._newer["memory"])(time.monotonic() - 0.4, 90.0)
        collector._older["memory"] = type(collector._newer["memory"])(time.monotonic() - 1.4, 50.0)
        third = await sampler.take({"memory"})
        assert third.memory[0] == 50.0  # type: ignore[index]
        collector.close()

    asyncio.run(main())


def test_a_section_that_hangs_is_a_reason_and_is_asked_only_once() -> None:
    async def main() -> None:
        source = Source(hold=threading.Event())
        sampler, collector = sampler_of(source, slow=True, timeout_s=0.05)
        for _ in range(3):
            snapshot = await sampler.take({"memory"})
            assert snapshot.memory is None
            assert snapshot.reasons["memory"].startswith("failed: no answer within")
        assert source.readings == 1
        assert source.hold is not None
        source.hold.set()
        collector._timeout_s = 5.0
        await asyncio.wait(collector._pending.values())
        assert (await sampler.take({"memory"})).memory is not None
        collector.close()

    asyncio.run(main())


def test_what_may_wait_for_a_lock_is_never_read_in_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """However quick it was before: figures of the network waited for half a minute while namespaces of it ended."""
    threads: dict[str, set[int]] = {}

    def note(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            threads.setdefault(name, set()).add(threading.get_ident())
            return function(*args)

        return call

    for room, names in (
        (network.psutil, ("net_if_stats", "net_if_addrs")),
        (linktable, ("of_kernel", "of_sysfs")),
        (mounts, ("_content",)),
    ):
        for name in names:
            monkeypatch.setattr(room, name, note(name, getattr(room, name)))
    monkeypatch.setattr(network, "_TABLE", LinkTable())
    monkeypatch.setattr(network, "_DESCRIPTION", network._Description())
    monkeypatch.setattr(mounts, "_TABLE", mounts.MountTable(mounts._TABLE._make))

    async def main() -> None:
        places = Places()
        own = section_readers(places, GpuReader(places), 5.0)
        collector = Collector(
            {name: replace(reader, read=note(name, reader.read)) for name, reader in own.items()}, 5.0
        )
        for _ in range(5):
            await collector.collect(own)
        monkeypatch.setattr(network, "_STATES_S", -1.0)  # States and addresses are old at once.
        network._DESCRIPTION._latest = None
        for _ in range(5):
            readings = await collector.collect(own)
            assert readings["network"].reading is not None
        collector.close()

    asyncio.run(main())
    assert {"net_if_stats", "net_if_addrs", "network", "disks"} < threads.keys()
    assert not [name for name, idents in threads.items() if threading.get_ident() in idents]


def test_a_section_that_cannot_be_read_at_once_is_read_in_the_thread() -> None:
    ready = [True]
    threads: list[tuple[str, bool]] = []

    def read() -> float:
        threads.append(("read", threading.current_thread() is threading.main_thread()))
        return 1.0

    def read_at_once() -> float | None:
        threads.append(("at once", threading.current_thread() is threading.main_thread()))
        return 2.0 if ready[0] else None

    async def main() -> None:
        collector = Collector({"network": SectionReader(read, read_at_once=read_at_once)}, 5.0)
        values = [(await collector.collect(["network"]))["network"].reading for _ in range(2)]
        ready[0] = False
        values.append((await collector.collect(["network"]))["network"].reading)
        collector.close()
        assert values == [1.0, 2.0, 1.0]

    asyncio.run(main())
    assert threads == [("read", False), ("at once", True), ("at once", True), ("read", False)]


def test_a_section_that_fails_is_a_reason() -> None:
    async def main() -> None:
        def broken() -> float:
            raise PermissionError(13, "Permission denied", "/secret/path")

        collector = Collector({"memory": SectionReader(broken)}, 1.0)
        snapshot = await Sampler(collector).take({"memory"})
        assert snapshot.reasons["memory"] == "denied: the server's user may not read it"
        collector.close()

    asyncio.run(main())


def test_a_counter_that_was_reset_has_no_rate(machine_counters: Callable[..., object]) -> None:
    assert machine_counters(before=1000, now=400, dt_s=1.0) is None
    assert machine_counters(before=1000, now=1400, dt_s=2.0) == pytest.approx(200.0)
    assert RESET.startswith("unknown")


@pytest.fixture
def machine_counters() -> Callable[..., object]:
    from types import SimpleNamespace

    from rpcservices.hardware.readers.network import NetworkReading, derive
    from rpcservices.hardware.readers.reasons import Reasons

    fields = ("bytes_sent", "bytes_recv", "packets_sent", "packets_recv", "errin", "errout", "dropin", "dropout")

    def counters(value: int) -> NetworkReading:
        from collections import namedtuple

        kind = namedtuple("snetio", fields)  # noqa: PYI024
        return NetworkReading(
            {"eth0": kind(*[value] * 8)},
            {"eth0": SimpleNamespace(isup=True, duplex=2, speed=1000, mtu=1500)},
            {},
            Reasons(),
        )

    def rate_of(before: int, now: int, dt_s: float) -> object:
        return derive(counters(before), counters(now), dt_s).interfaces[0].bytes_recv_per_s

    return rate_of
