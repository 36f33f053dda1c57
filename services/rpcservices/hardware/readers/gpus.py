"""Reads graphics processors: NVIDIA's by NVML (nvidia-ml-py), AMD's by sysfs (Documentation/gpu/amdgpu/thermal.rst)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, TypeVar

from rpcservices.hardware.models import Gpu, GpuProcess, Gpus

from .places import HERE, Places, entries, number, text
from .reasons import Reasons

_T = TypeVar("_T")

AGAIN_S = 10.0
"""Time between two attempts to open NVML, in seconds: the driver may be loaded later."""


def load_nvml() -> Any:
    """NVIDIA's library.

    Raises:
        ImportError: nvidia-ml-py is not installed.
    """
    import pynvml  # type: ignore[import-untyped]

    return pynvml


class GpuReader:
    """Reads graphics processors. NVML is opened at the first reading that finds it, and stays open.

    Parameters:
        places: the folders in which the system shows its hardware.
        load: returns the module ``pynvml``.
        now: returns the time of a monotonic clock, in seconds.
    """

    def __init__(
        self,
        places: Places = HERE,
        load: Callable[[], Any] = load_nvml,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._places = places
        self._load = load
        self._now = now
        self._nvml: Any = None
        self._why = ""
        self._tried_s = -AGAIN_S

    def read(self) -> Gpus:
        """Read all graphics processors."""
        reasons = Reasons()
        nvidia = self._nvidia(reasons)
        amd = _amd(self._places, len(nvidia))
        if not amd:
            reasons["amd"] = "absent: the system shows none"
        return Gpus(gpus=nvidia + amd, reasons=reasons)

    def close(self) -> None:
        """Close NVML."""
        if self._nvml is not None:
            with contextlib.suppress(Exception):
                self._nvml.nvmlShutdown()
            self._nvml = None

    def _nvidia(self, reasons: Reasons) -> list[Gpu]:
        if self._nvml is None and self._now() - self._tried_s >= AGAIN_S:
            self._tried_s = self._now()
            self._why = self._open()
        nvml = self._nvml
        if nvml is None:
            reasons["nvidia"] = self._why
            return []
        try:
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as exc:
            reasons["nvidia"] = f"failed: {exc}"
            self._why = reasons["nvidia"]
            self._tried_s = -AGAIN_S
            self.close()  # The driver may have been reloaded: open NVML again at the next reading.
            return []
        if not count:
            reasons["nvidia"] = "absent: the driver shows none"
        return [_nvidia(nvml, index) for index in range(count)]

    def _open(self) -> str:
        try:
            nvml = self._load()
        except ImportError:
            return "unsupported: nvidia-ml-py is not installed (the extra `gpu` has it)"
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as exc:
            return f"absent: {exc}"
        self._nvml = nvml
        return ""


def _nvidia(nvml: Any, index: int) -> Gpu:
    reasons = Reasons()

    def ask(fields: str, read: Callable[[], _T]) -> _T | None:
        """Ask NVML one question; if it fails, note the reason for all fields that depend on it."""
        try:
            return read()
        except nvml.NVMLError_NotSupported:
            reason = "unsupported: the GPU does not tell"
        except nvml.NVMLError_NoPermission:
            reason = "denied: the server's user may not read it"
        except nvml.NVMLError as exc:
            reason = f"failed: {exc}"
        except (AttributeError, OSError):
            reason = "unsupported: the driver is too old"
        reasons.note(None, fields, reason)
        return None

    handle = ask("name", lambda: nvml.nvmlDeviceGetHandleByIndex(index))
    if handle is None:
        why = reasons["name"]
        return Gpu.model_validate(
            dict.fromkeys(Gpu.model_fields) | {"index": index, "vendor": "nvidia"} | {"reasons": {"*": why}}
        )
    memory = ask("memory_total_bytes memory_used_bytes memory_free_bytes", lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    use = ask("utilization_gpu_percent utilization_memory_percent", lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
    bus = ask("pci_bus_id", lambda: nvml.nvmlDeviceGetPciInfo(handle).busId)
    power = ask("power_draw_w", lambda: nvml.nvmlDeviceGetPowerUsage(handle))
    limit = ask("power_limit_w", lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle))
    running = ask("processes", lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle))
    return Gpu(
        index=index,
        name=_str(ask("name", lambda: nvml.nvmlDeviceGetName(handle))),
        vendor="nvidia",
        uuid=_str(ask("uuid", lambda: nvml.nvmlDeviceGetUUID(handle))),
        pci_bus_id=_slot(_str(bus)),
        driver_version=_str(ask("driver_version", nvml.nvmlSystemGetDriverVersion)),
        memory_total_bytes=memory and memory.total,
        memory_used_bytes=memory and memory.used,
        memory_free_bytes=memory and memory.free,
        utilization_gpu_percent=use and use.gpu,
        utilization_memory_percent=use and use.memory,
        temperature_celsius=ask(
            "temperature_celsius", lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
        ),
        power_draw_w=None if power is None else power / 1000,
        power_limit_w=None if limit is None else limit / 1000,
        fan_percent=ask("fan_percent", lambda: nvml.nvmlDeviceGetFanSpeed(handle)),
        clock_graphics_mhz=ask(
            "clock_graphics_mhz", lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_GRAPHICS)
        ),
        clock_memory_mhz=ask("clock_memory_mhz", lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)),
        processes=None
        if running is None
        else [GpuProcess(pid=each.pid, memory_bytes=each.usedGpuMemory) for each in running],
        reasons=reasons,
    )


def _str(value: str | bytes | None) -> str | None:
    """Turn bytes into text: older bindings give bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _slot(bus: str | None) -> str | None:
    """Shorten the PCI domain: NVML writes it with eight digits, the kernel with four."""
    if bus is None:
        return None
    domain, _, rest = bus.lower().partition(":")
    return f"{domain[-4:]}:{rest}"


def _amd(places: Places, first: int) -> list[Gpu]:
    gpus: list[Gpu] = []
    for card in entries(places.sys / "class" / "drm"):
        device = card / "device"
        if not card.name.removeprefix("card").isdigit() or text(device / "vendor") != "0x1002":
            continue
        reasons = Reasons()
        total, used = number(device / "mem_info_vram_total"), number(device / "mem_info_vram_used")
        sensors = next((folder for folder in entries(device / "hwmon")), device)
        heat, cap = number(sensors / "temp1_input"), number(sensors / "power1_cap")
        power = number(sensors / "power1_average") or number(sensors / "power1_input")
        clock, memory_clock = number(sensors / "freq1_input"), number(sensors / "freq2_input")
        pwm, pwm_max = number(sensors / "pwm1"), number(sensors / "pwm1_max")
        gpu = Gpu(
            index=first + len(gpus),
            name=text(device / "product_name"),
            vendor="amd",
            uuid=text(device / "unique_id"),
            pci_bus_id=device.resolve().name,
            driver_version=None,
            memory_total_bytes=total,
            memory_used_bytes=used,
            memory_free_bytes=None if total is None or used is None else total - used,
            utilization_gpu_percent=number(device / "gpu_busy_percent"),
            utilization_memory_percent=number(device / "mem_busy_percent"),
            temperature_celsius=None if heat is None else heat / 1e3,
            power_draw_w=None if power is None else power / 1e6,
            power_limit_w=None if cap is None else cap / 1e6,
            fan_percent=None if pwm is None or not pwm_max else 100.0 * pwm / pwm_max,
            clock_graphics_mhz=None if clock is None else clock // 1_000_000,
            clock_memory_mhz=None if memory_clock is None else memory_clock // 1_000_000,
            processes=None,
            reasons=reasons,
        )
        for field in Gpu.model_fields:
            reasons.note(getattr(gpu, field), field, "unsupported: the driver does not tell")
        gpus.append(gpu.model_copy(update={"reasons": reasons}))
    return gpus
