"""Graphics processors."""

from __future__ import annotations

from pydantic import Field

from .base import Answer


class GpuProcess(Answer):
    """A process that uses a GPU."""

    pid: int
    memory_bytes: int | None = Field(description="memory of the GPU that it holds; None where the driver hides it")


class Gpu(Answer):
    """A graphics processor. Names are those of nvidia-smi's queries."""

    index: int
    name: str | None
    vendor: str = Field(description="nvidia or amd")
    uuid: str | None
    pci_bus_id: str | None = Field(description="its slot, as in the inventory of devices")
    driver_version: str | None
    memory_total_bytes: int | None
    memory_used_bytes: int | None
    memory_free_bytes: int | None
    utilization_gpu_percent: float | None = Field(description="share of time with work to do, 0 to 100")
    utilization_memory_percent: float | None = Field(description="share of time with memory traffic, 0 to 100")
    temperature_celsius: float | None
    power_draw_w: float | None
    power_limit_w: float | None
    fan_percent: float | None = Field(description="intended speed of the fan, 0 to 100")
    clock_graphics_mhz: int | None
    clock_memory_mhz: int | None
    processes: list[GpuProcess] | None
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Gpus(Answer):
    """The graphics processors."""

    gpus: list[Gpu]
    reasons: dict[str, str] = Field(default_factory=dict, description="why there are none of a vendor, by the vendor")
