"""One chip or section that hangs takes no other one with it, and is not waited for again. (File systems: test_mounts.)"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rpcclient import AsyncClient
from rpcservices.hardware.readers.apart import Apart
from rpcservices.hardware.readers.places import Places

Machine = Callable[[str], Places]
Serve = Callable[..., None]


@pytest.fixture
def stuck(machine: Machine) -> Places:
    """A laptop of whose chips one never answers: to open a FIFO that nobody writes to hangs."""
    places = machine("laptop")
    for place in (places.sys / "class" / "hwmon").iterdir():
        for file in place.resolve().glob("temp*_input"):
            if (place / "name").read_text().strip() == "coretemp":
                file.unlink()
                os.mkfifo(file)
    return places


def release(places: Places) -> None:
    """Let the reader go, so that its thread ends with the test."""
    for file in Path(places.sys).rglob("temp*_input"):
        if file.is_fifo():
            with open(os.open(file, os.O_RDWR | os.O_NONBLOCK), "wb") as writer:  # noqa: PTH123 - a descriptor
                writer.write(b"41000\n")


def test_one_chip_among_several(serve: Serve, stuck: Places) -> None:
    async def scenario(client: AsyncClient) -> None:
        found = await client.hardware.sensors()
        readings = {(s.chip, s.kind): s for s in found.readings}
        assert readings["coretemp", "temperature"].current is None
        assert readings["coretemp", "temperature"].reason == "failed: no answer within 0.3 s"
        assert readings["thinkpad", "fan"].current is not None
        async with client.hardware.watch(["cpu", "sensors"], interval_s=0.1) as samples:
            for _ in range(3):
                sample = await anext(samples)
                assert sample.sensors is not None
                assert sample.cpu is not None
        (capability,) = [c for c in await client.hardware.capabilities() if c.section == "sensors"]
        assert capability.state == "available"
        assert capability.metrics["readings.coretemp"] == "failed: no answer within 0.3 s"
        release(stuck)

    serve(scenario, stuck, section_timeout_s=0.6)


def test_what_hangs_is_asked_once_and_waited_for_once() -> None:
    hold, asked = threading.Event(), list[str]()

    def hanging() -> str:
        asked.append("hanging")
        hold.wait(20)
        return "late"

    jobs = {"before": lambda: "1", "hanging": hanging, "after": lambda: "2"}
    apart: Apart[str, str] = Apart(0.1)
    assert apart.read(jobs) == {"before": "1", "after": "2"}
    apart.limit_s = 3600.0  # Whoever waits for it now waits too long.
    for _ in range(3):
        assert apart.read(jobs) == {"before": "1", "after": "2"}
    assert asked == ["hanging"]
    hold.set()
    while "hanging" in apart._hanging:
        threading.Event().wait(0.005)
    assert apart.read(jobs) == {"before": "1", "hanging": "late", "after": "2"}


def test_slow_ones_are_read_at_the_same_time() -> None:
    together = threading.Barrier(3)

    def slow() -> int:
        return together.wait(20)

    apart: Apart[int, int] = Apart(20.0)
    apart._took_s = dict.fromkeys(range(3), 0.8)
    assert sorted(apart.read(dict.fromkeys(range(3), slow)).values()) == [0, 1, 2]


def test_a_section_that_hangs_is_waited_for_once() -> None:
    from rpcservices.hardware.sampling.collector import Collector
    from rpcservices.hardware.sampling.sampler import Sampler
    from rpcservices.hardware.sampling.sections import SectionReader

    hold = threading.Event()

    def read() -> str:
        hold.wait(20)
        return "read"

    async def main() -> None:
        collector = Collector({"memory": SectionReader(read, slow=True)}, 0.05)
        sampler = Sampler(collector)
        assert (await sampler.take({"memory"})).reasons["memory"].startswith("failed: no answer")
        collector._timeout_s = 3600.0
        async with asyncio.timeout(10):
            for _ in range(3):
                assert (await sampler.take({"memory"})).reasons["memory"].startswith("failed: no answer")
        hold.set()
        collector.close()

    asyncio.run(main())
