# ruff: noqa: N802 - the names are NVML's
"""GPUs. Where this machine has none, the answers of NVML are recorded ones: an H100 in a server, and a GeForce whose
driver refuses some questions, as nvidia-smi shows both in public reports."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NoReturn

import pynvml
import pytest

from rpcclient import AsyncClient
from rpcservices.hardware import Hardware
from rpcservices.hardware.config import HardwareConfig
from rpcservices.hardware.readers.gpus import AGAIN_S, GpuReader
from rpcservices.hardware.readers.places import Places

MOVING = ("memory_used", "utilization_gpu", "temperature", "power_draw", "power_limit")

H100 = {
    "Name": "NVIDIA H100 80GB HBM3",
    "UUID": "GPU-6c1f4a1e-8d8a-4a3b-9f53-0a1b2c3d4e5f",
    "PciInfo": SimpleNamespace(busId="00000000:1B:00.0"),
    "MemoryInfo": SimpleNamespace(total=85520809984, used=1073741824, free=84447068160),
    "UtilizationRates": SimpleNamespace(gpu=37, memory=12),
    "Temperature": 41,
    "PowerUsage": 118540,
    "EnforcedPowerLimit": 700000,
    "FanSpeed": pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED),  # It has no fan.
    "ClockInfo": 1980,
    "ComputeRunningProcesses": [SimpleNamespace(pid=4711, usedGpuMemory=1052770304)],
}
GEFORCE = {
    **H100,
    "Name": b"NVIDIA GeForce GTX 1650",
    "UtilizationRates": pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION),
    "PowerUsage": pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN),
    "FanSpeed": 45,
    "ComputeRunningProcesses": [SimpleNamespace(pid=1, usedGpuMemory=None)],
}


class Recorded:
    """NVML as these GPUs answer it; exceptions and constants are the library's own."""

    def __init__(self, *gpus: dict[str, Any], init: Exception | None = None) -> None:
        self.gpus = gpus
        self.init = init
        self.open = False
        self.count: Exception | None = None

    def nvmlInit(self) -> None:
        if self.init is not None:
            raise self.init
        self.open = True

    def nvmlShutdown(self) -> None:
        self.open = False

    def nvmlDeviceGetCount(self) -> int:
        if self.count is not None:
            raise self.count
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if not self.gpus[index]:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return index

    def nvmlSystemGetDriverVersion(self) -> str:
        return "550.54.15"

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvmlDeviceGet"):
            return getattr(pynvml, name)

        def answer(handle: int, *_: int) -> Any:
            value = self.gpus[handle][name.removeprefix("nvmlDeviceGet")]
            if isinstance(value, Exception):
                raise value
            return value

        return answer


def read(nvml: Any, places: Places) -> Any:
    def load() -> Any:
        return nvml

    reader = GpuReader(places, load)
    found = reader.read()
    reader.close()
    return found


@pytest.fixture
def places(machine: Callable[[str], Places]) -> Places:
    return machine("vm")


def test_recorded_gpus(places: Places) -> None:
    nvml = Recorded(H100, GEFORCE)
    first, second = read(nvml, places).gpus
    assert not nvml.open
    assert (first.name, first.pci_bus_id, first.driver_version) == (
        "NVIDIA H100 80GB HBM3",
        "0000:1b:00.0",
        "550.54.15",
    )
    assert (first.memory_used_bytes, first.utilization_gpu_percent, first.temperature_celsius) == (1073741824, 37, 41)
    assert (first.power_draw_w, first.power_limit_w, first.clock_graphics_mhz) == (118.54, 700.0, 1980)
    assert (first.fan_percent, first.reasons) == (None, {"fan_percent": "unsupported: the GPU does not tell"})
    assert (first.processes or [])[0].pid == 4711
    assert (second.name, second.fan_percent) == ("NVIDIA GeForce GTX 1650", 45)
    assert second.reasons["utilization_gpu_percent"].startswith("denied")
    assert second.reasons["power_draw_w"].startswith("failed")


def test_a_gpu_that_is_lost_does_not_hide_the_others(places: Places) -> None:
    lost, there = read(Recorded({}, H100), places).gpus
    assert lost.name is None
    assert "*" in lost.reasons
    assert there.name == "NVIDIA H100 80GB HBM3"


def test_none(places: Places) -> None:
    def absent() -> NoReturn:
        raise ImportError

    assert GpuReader(places, absent).read().reasons["nvidia"].startswith("unsupported: nvidia-ml-py")
    no_driver = Recorded(init=pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND))
    assert read(no_driver, places).reasons["nvidia"].startswith("absent")
    assert read(Recorded(), places).reasons["nvidia"].startswith("absent")


def test_a_driver_that_is_loaded_later(places: Places) -> None:
    """It is looked for again, but not with each reading; and at once where it was there."""
    nvml, clock, loads = Recorded(H100, init=pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)), [100.0], [0]

    def load() -> Any:
        loads[0] += 1
        return nvml

    reader = GpuReader(places, load, lambda: clock[0])
    for _ in range(5):
        assert reader.read().reasons["nvidia"].startswith("absent")
    assert loads == [1]
    nvml.init = None
    assert reader.read().gpus == []
    clock[0] += AGAIN_S
    assert [gpu.name for gpu in reader.read().gpus] == ["NVIDIA H100 80GB HBM3"]
    nvml.count = pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)
    assert reader.read().reasons["nvidia"].startswith("failed")
    nvml.count = None
    assert len(reader.read().gpus) == 1
    reader.close()


def test_beside_nvidia_smi() -> None:
    """Where there is none, as on most machines, no GPU is found either, and the reason is given."""
    if shutil.which("nvidia-smi") is None:
        assert GpuReader().read().reasons["nvidia"].startswith(("absent", "unsupported"))
        return
    fields = "name,uuid,memory.total,driver_version,memory.used,utilization.gpu,temperature.gpu,power.draw,power.limit,pci.bus_id"
    said = subprocess.run(
        ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = GpuReader().read().gpus
    for line, gpu in zip(said.stdout.splitlines(), found, strict=True):
        name, uuid, total, driver, *moving, bus = (part.strip() for part in line.split(","))
        assert (gpu.name, gpu.uuid, gpu.driver_version) == (name, uuid, driver)
        assert gpu.memory_total_bytes == pytest.approx(int(total) * 2**20, rel=0.01)
        assert gpu.pci_bus_id == f"{bus.lower()[4:]}"
        ours = (
            None if gpu.memory_used_bytes is None else gpu.memory_used_bytes / 2**20, gpu.utilization_gpu_percent,
            gpu.temperature_celsius, gpu.power_draw_w, gpu.power_limit_w,
        )  # fmt: skip
        # Driver and library count the driver's own memory differently; the others move between the two readings.
        for field, own, theirs, near in zip(MOVING, ours, moving, (1024, 100, 15, 200, 1), strict=True):
            if theirs.replace(".", "").isdigit():
                assert own == pytest.approx(float(theirs), abs=near), field
            else:
                assert own is None, field


def test_processes_are_those_that_the_caller_may_see(with_ada: Callable[..., None]) -> None:
    """By their numbers and memory they tell what others do."""
    mine, gone = os.getpid(), 2**22 + 1  # There is no process with the second number.
    running = [SimpleNamespace(pid=pid, usedGpuMemory=1) for pid in (mine, gone)]
    nvml = Recorded({**H100, "ComputeRunningProcesses": running})

    def serve(scenario: Any, roles: dict[str, Any]) -> None:
        hardware = Hardware(HardwareConfig(min_interval_s=0.05))
        hardware._gpus._load = lambda: nvml
        with_ada(hardware, scenario, roles)

    async def seen(client: AsyncClient) -> tuple[list[int] | None, str]:
        gpu = (await client.hardware.gpus()).gpus[0]
        pids = None if gpu.processes is None else [process.pid for process in gpu.processes]
        snapshot = await client.hardware.snapshot(["gpus"])
        assert snapshot.gpus is not None
        assert snapshot.gpus.gpus[0].processes == gpu.processes
        async with client.hardware.watch(["gpus"], interval_s=0.05) as stream:
            followed = await anext(stream)
        assert followed.gpus is not None
        assert followed.gpus.gpus[0].processes == gpu.processes
        return pids, gpu.reasons.get("processes", "")

    async def by_permission(owner: AsyncClient, ada: AsyncClient) -> None:
        assert await seen(owner) == ([mine, gone], "")
        assert await seen(ada) == (None, "denied: your role lacks the permission hardware.processes")

    async def by_condition(owner: AsyncClient, ada: AsyncClient) -> None:
        assert await seen(owner) == ([mine], "")
        pids, reason = await seen(ada)
        assert (pids, reason.partition(":")[0]) == (None, "denied")
        assert "does not know your user" in reason

    serve(by_permission, {"hers": {"principals": ["ada"], "permissions": ["hardware.read"]}})
    own = {"permissions": ["hardware.*"], "hardware": {"processes": "own"}}
    serve(by_condition, {"owner": own, "hers": {"principals": ["ada"], **own}})
