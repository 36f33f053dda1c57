"""Processors have the kernel's numbers, also where one is offline, and where several share a frequency policy.

``/proc/stat`` is as proc_stat(5) has it: there is no line of a processor that is offline. sysfs is as in
Documentation/admin-guide/cputopology.rst and Documentation/admin-guide/pm/cpufreq.rst.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rpcclient import AsyncClient
from rpcservices.hardware.exposition import expose
from rpcservices.hardware.models import CpuCore, Snapshot
from rpcservices.hardware.readers import cpu, procfs
from rpcservices.hardware.readers.frequencies import _from_cpuinfo
from rpcservices.hardware.readers.places import HERE, Places
from rpcservices.hardware.sampling.metrics import metrics

from .conftest import expand

Serve = Callable[..., None]

TAIL = """intr 654765 0 0 0 0 1 1 16
ctxt 1097181
btime 1795921503
processes 15641
procs_running 6
procs_blocked 0
softirq 585390 0 63403 5 140732 168173 0 3 88947 2242 121885
"""


def stat(*times: tuple[int, int, int]) -> str:
    """The file: of each processor its number, and its ticks in programs and at rest."""
    lines = [f"cpu{number} {user} 0 0 {idle} 0 0 0 0 0 0" for number, user, idle in times]
    total = f"cpu  {sum(t[1] for t in times)} 0 0 {sum(t[2] for t in times)} 0 0 0 0 0 0"
    return "\n".join([total, *lines, TAIL])


def machine(root: Path, present: str, offline: str, times: Iterable[tuple[int, int, int]]) -> Places:
    """A machine with some of its processors off."""
    expand(root, f"@ /sys/devices/system/cpu\npresent: {present}\noffline: {offline}\n@ /proc\n")
    (root / "proc" / "stat").write_text(stat(*times))
    return Places.under(root)


def shares_of(cores: Iterable[CpuCore]) -> dict[int, float | None]:
    return {core.cpu: core.percent and round(core.percent, 6) for core in cores}


FIRST = ((0, 100, 900), (2, 200, 800), (3, 300, 700))
LATER = ((0, 110, 990), (2, 250, 850), (3, 400, 700))  # A second later: busy for 10, 50 and 100 %.


def test_numbers_are_the_kernels_everywhere(serve: Serve, tmp_path: Path) -> None:
    root = tmp_path / "machine"
    places = machine(root, "0-3", "1", FIRST)

    async def scenario(client: AsyncClient) -> None:
        async with client.hardware.watch(["cpu"], interval_s=1.0) as samples:
            await anext(samples)
            (root / "proc" / "stat").write_text(stat(*LATER))
            found = await anext(samples)
        assert found.cpu is not None
        assert shares_of(found.cpu.cores) == {0: 10.0, 1: None, 2: 50.0, 3: 100.0}
        assert (found.cpu.logical, found.cpu.percent) == (3, pytest.approx(100 * 160 / 300))
        off = found.cpu.cores[1]
        assert (off.online, off.times, off.frequency_mhz) == (False, None, None)
        assert off.reasons == dict.fromkeys(("percent", "frequency_mhz", "times"), "absent: the processor is offline")
        assert found.cpu.cores[2].times is not None
        assert (found.cpu.cores[2].times.user, found.cpu.cores[2].times.idle) == (2.5, 8.5)
        async with client.hardware.subscribe(["cpu"], interval_s=0.1, filter=["cpu.cores.*"]) as metered:
            sample = await anext(metered)
        assert {name for name in sample.values if ".user" in name} == {
            f"cpu.cores.times.user{{{n}}}" for n in (0, 2, 3)
        }
        assert sample.reasons["cpu.cores.percent{1}"].startswith("absent")
        (capability,) = [c for c in await client.hardware.capabilities() if c.section == "cpu"]
        assert capability.metrics["cores.1.percent"] == "absent: the processor is offline"
        beats = 0
        async with client.hardware.watch(["memory"], interval_s=0.1) as others:
            while beats < 3:
                await anext(others)
                beats += 1
        kept = [name for name in await client.hardware.history_metrics() if name.startswith("cpu.cores.percent")]
        assert "cpu.cores.percent{1}" not in kept

    serve(scenario, places, history_interval_s=0.1)


def test_numbers_in_what_prometheus_reads(tmp_path: Path) -> None:
    places = machine(tmp_path, "0-3", "1", FIRST)
    before = cpu.read(places)
    (tmp_path / "proc" / "stat").write_text(stat(*LATER))
    found = cpu.derive(before, cpu.read(places), 1.0, places)
    page = expose(metrics(Snapshot(t_mono_s=0.0, t_wall_s=0.0, dt_s=1.0, cpu=found)))
    (family,) = [f for f in text_string_to_metric_families(page) if f.name == "hardware_cpu_cores_percent"]
    assert {sample.labels["of"]: round(sample.value, 6) for sample in family.samples} == {"0": 10, "2": 50, "3": 100}


def test_a_processor_that_goes_off_and_comes_back(tmp_path: Path) -> None:
    """The kernel may count its time from elsewhere then: there is no share over that time, and never a wrong one."""

    def reading(offline: str, *times: tuple[int, int, int]) -> cpu.CpuReading:
        return cpu.read(machine(tmp_path, "0-1", offline, times))

    def shares(before: cpu.CpuReading, now: cpu.CpuReading) -> tuple[float | None, dict[int, float | None]]:
        found = cpu.derive(before, now, 1.0, Places.under(tmp_path))
        assert all(core.percent is not None or core.reasons["percent"] for core in found.cores)
        return found.percent and round(found.percent, 6), shares_of(found.cores)

    both = reading("", (0, 100, 900), (1, 5000, 9000))
    alone = reading("1", (0, 120, 980))
    assert shares(both, alone) == (20.0, {0: 20.0, 1: None})
    back = reading("", (0, 130, 1070), (1, 5010, 30))  # Idle time began anew.
    assert shares(alone, back) == (10.0, {0: 10.0, 1: None})
    # Off and on within one interval: no reading without it, and times that are out of the line.
    assert shares(both, reading("", (0, 150, 950), (1, 5001, 20))) == (50.0, {0: 50.0, 1: None})
    assert shares(both, reading("", (0, 150, 950), (1, 5001, 90_000))) == (50.0, {0: 50.0, 1: None})
    assert shares(back, reading("", (0, 140, 1160), (1, 5060, 80)))[1] == {0: 10.0, 1: 50.0}


def test_processors_that_are_only_possible_are_not_there(tmp_path: Path) -> None:
    """A virtual machine may get more of them later: they are in the list of those that are offline, too."""
    places = machine(tmp_path, "0-1", "1-127", [(0, 1, 1)])
    assert [core.cpu for core in cpu.derive(None, cpu.read(places), None, places).cores] == [0, 1]


def test_a_container_whose_files_are_made_for_it(tmp_path: Path) -> None:
    """lxcfs renumbers the processors that a container may use from 0, and leaves the folders of sysfs as they are."""
    places = machine(tmp_path, "0-63", "", [(0, 1, 1), (1, 1, 1)])
    assert [core.cpu for core in cpu.derive(None, cpu.read(places), None, places).cores] == [0, 1]


POLICIES = """
@ /sys/devices/system/cpu/cpufreq/policy0
affected_cpus: 0 1 2 3
related_cpus: 0 1 2 3
scaling_cur_freq: 600000
scaling_min_freq: 408000
scaling_max_freq: 1416000
@ /sys/devices/system/cpu/cpufreq/policy4
affected_cpus: 4
related_cpus: 4 5
scaling_cur_freq: 1800000
scaling_min_freq: 408000
scaling_max_freq: 1800000
"""
"""An RK3399: four small cores share a policy, and two large ones another; cpu5 is off."""


def test_processors_that_share_a_frequency_policy(tmp_path: Path) -> None:
    places = machine(tmp_path, "0-5", "5", [(n, 1, 1) for n in range(5)])
    expand(tmp_path, POLICIES)
    found = cpu.derive(None, cpu.read(places), None, places)
    assert {core.cpu: core.frequency_mhz for core in found.cores} == {
        **dict.fromkeys(range(4), 600.0),
        4: 1800.0,
        5: None,
    }
    assert (found.frequency_min_mhz, found.frequency_max_mhz) == (408.0, 1800.0)
    assert found.frequency_mhz == pytest.approx((4 * 600 + 1800) / 5)


def test_a_policy_whose_processors_are_all_off_counts_nowhere(tmp_path: Path) -> None:
    places = machine(tmp_path, "0-5", "4-5", [(n, 1, 1) for n in range(4)])
    expand(tmp_path, POLICIES.replace("affected_cpus: 4\n", "affected_cpus: \n"))
    found = cpu.derive(None, cpu.read(places), None, places)
    assert [core.frequency_mhz for core in found.cores] == [600.0] * 4 + [None] * 2
    assert (found.frequency_mhz, found.frequency_min_mhz, found.frequency_max_mhz) == (600.0, 408.0, 1416.0)


def test_what_cpuinfo_measures_counts_more_than_the_policy(tmp_path: Path) -> None:
    places = machine(tmp_path, "0-2", "1", [(0, 1, 1), (2, 1, 1)])
    expand(tmp_path, POLICIES.partition("@ /sys/devices/system/cpu/cpufreq/policy4")[0])
    (tmp_path / "proc" / "cpuinfo").write_text(
        "processor\t: 0\ncpu MHz\t\t: 812.5\n\nprocessor\t: 2\ncpu MHz\t\t: 1400.25\n"
    )
    found = cpu.derive(None, cpu.read(places), None, places)
    assert {core.cpu: core.frequency_mhz for core in found.cores} == {0: 812.5, 1: None, 2: 1400.25}


def test_a_policy_for_each_processor_of_older_kernels(tmp_path: Path) -> None:
    places = machine(tmp_path, "0-1", "", [(0, 1, 1), (1, 1, 1)])
    for n in (0, 1):
        expand(
            tmp_path, f"@ /sys/devices/system/cpu/cpu{n}/cpufreq\naffected_cpus: {n}\nscaling_cur_freq: {n + 1}000000\n"
        )
    found = cpu.derive(None, cpu.read(places), None, places)
    assert [core.frequency_mhz for core in found.cores] == [1000.0, 2000.0]
    assert found.reasons["frequency_max_mhz"].startswith("absent")


def test_any_number_of_processors_of_this_machine() -> None:
    found = cpu.derive(None, cpu.read(), None)
    assert [core.cpu for core in found.cores if core.online] == list(procfs.stat().cpus)
    assert {core.cpu for core in found.cores} <= set(range(10_000))
    assert HERE.proc == Path("/proc")


@pytest.mark.parametrize(
    ("cpuinfo", "frequencies"),
    [
        ("processor\t: 0\nmodel\t\t: 7\ncpu MHz\t\t: 812.5\n\nprocessor\t: 2\ncpu MHz : 1400\n", {0: 812.5, 2: 1400.0}),
        ("processor : 1\nCPU MHz : 800.00\n", {1: 800.0}),  # Loongson.
        ("processor : 1\ncpu MHz dynamic : 5200\ncpu MHz static  : 5100\n", {1: 5200.0}),  # s390.
        ("Processor\t: ARMv7 Processor rev 4 (v7l)\nprocessor\t: 0\nBogoMIPS\t: 38.40\n", {}),
        ("cpu MHz\t: 100\nprocessor\t: 0\n", {}),
        ("processor\t: 0\ncpu MHz\t\t: unknown\n\nprocessor\t: 1\ncpu MHz\t\t:\n\nprocessor\t:\ncpu MHz\t: 1\n", {}),
        ("processor 0: version = FF,  identification = 100003\nprocessor\t: 3\ncpu MHz\t: 1.5", {3: 1.5}),
        ("processors\t: 4\ncpu MHz\t: 1\n", {}),
        ("processor\ncpu MHz\t: 1\n", {}),
        ("", {}),
    ],
)
def test_cpuinfo_of_other_machines(cpuinfo: str, frequencies: dict[int, float], tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text(cpuinfo)
    assert dict(_from_cpuinfo(Places.under(tmp_path))) == frequencies
