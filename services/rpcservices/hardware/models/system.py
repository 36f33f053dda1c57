"""Host, processors, memory, sensors, battery, users, control group and pressure."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import Answer


class Host(Answer):
    """The machine and its system."""

    hostname: str
    system: str = Field(description="such as Linux")
    release: str = Field(description="of the kernel")
    version: str = Field(description="of the kernel, in full")
    machine: str = Field(description="such as x86_64")
    distribution: str | None = Field(description="such as Debian GNU/Linux 12")
    python: str = Field(description="the server's Python")
    boot_time: float = Field(description="when the system started, in seconds since 1970")
    uptime_s: float = Field(description="since then, in seconds")
    virtualization: str | None = Field(description="the hypervisor or container around it, where the system shows one")
    hardware_vendor: str | None = Field(description="who made the machine")
    hardware_model: str | None = Field(description="what the maker calls it")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class CpuTimes(Answer):
    """What processors have spent their time on, in seconds since the system started. None: not told by the system."""

    user: float
    system: float
    idle: float
    nice: float | None = None
    iowait: float | None = None
    irq: float | None = None
    softirq: float | None = None
    steal: float | None = None
    guest: float | None = None
    guest_nice: float | None = None


class CpuCore(Answer):
    """One logical processor."""

    cpu: int = Field(description="the kernel's number of it: where one is offline, those behind it keep theirs")
    online: bool = Field(default=True, description="whether the system schedules on it; if not, the rest is None")
    percent: float | None = Field(description="busy share since the last reading, 0 to 100")
    frequency_mhz: float | None = Field(description="current frequency, in MHz; None where the system does not tell")
    times: CpuTimes | None = Field(description="None where it is offline")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Cpu(Answer):
    """The processors."""

    percent: float | None = Field(description="busy share of all processors since the last reading, 0 to 100")
    cores: list[CpuCore] = Field(description="each logical processor, those that are offline included")
    logical: int = Field(description="processors that the system schedules on: those that are online")
    physical: int | None = Field(description="cores, where the system tells")
    sockets: int | None = Field(description="processor packages, where the system tells")
    model: str | None = Field(description="the processor's name")
    frequency_mhz: float | None = Field(description="current frequency, the mean of all, in MHz")
    frequency_min_mhz: float | None = Field(description="lowest frequency, in MHz")
    frequency_max_mhz: float | None = Field(description="highest frequency, in MHz")
    load_1m: float | None = Field(description="load average over one minute")
    load_5m: float | None = Field(description="load average over five minutes")
    load_15m: float | None = Field(description="load average over fifteen minutes")
    times: CpuTimes = Field(description="of all processors together")
    ctx_switches: int | None = Field(description="context switches since the system started")
    interrupts: int | None = Field(description="since the system started")
    soft_interrupts: int | None = Field(description="since the system started")
    ctx_switches_per_s: float | None = Field(description="since the last reading")
    interrupts_per_s: float | None = Field(description="since the last reading")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Swap(Answer):
    """Swap space."""

    total_bytes: int
    used_bytes: int
    free_bytes: int
    percent: float = Field(description="share in use, 0 to 100")
    sin_bytes: int = Field(description="swapped in since the system started")
    sout_bytes: int = Field(description="swapped out since the system started")
    sin_bytes_per_s: float | None = Field(description="since the last reading")
    sout_bytes_per_s: float | None = Field(description="since the last reading")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Memory(Answer):
    """Memory of the host; the ``cgroup`` section says what of it the server's own group may use."""

    total_bytes: int = Field(description="physical memory")
    available_bytes: int = Field(description="what programs can get without swapping")
    used_bytes: int = Field(description="physical memory in use")
    free_bytes: int = Field(description="physical memory that nothing uses, not even as a cache")
    percent: float = Field(description="share that is not available, 0 to 100")
    active_bytes: int | None = None
    inactive_bytes: int | None = None
    buffers_bytes: int | None = None
    cached_bytes: int | None = None
    shared_bytes: int | None = None
    slab_bytes: int | None = None
    swap: Swap | None
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


SensorKind = Literal["temperature", "fan", "voltage", "current", "power", "humidity"]
"""What a sensor measures: degrees Celsius, turns per minute, volts, amperes, watts, percent."""


class Sensor(Answer):
    """A sensor's reading, in the unit of its kind."""

    kind: SensorKind
    chip: str = Field(description="which chip reports it")
    device: str = Field(
        default="",
        description="what the chip is a part of, such as one of two disks: its path in sysfs below the root, as in the "
        "inventory; may be empty",
    )
    label: str = Field(description="what it measures; may be empty")
    current: float | None = Field(description="degrees Celsius, turns per minute, volts, amperes, watts or percent")
    high: float | None = Field(default=None, description="where it begins to be too much")
    critical: float | None = Field(default=None, description="where it is dangerous")
    reason: str = Field(default="", description="why there is no value")


class Sensors(Answer):
    """All sensors."""

    readings: list[Sensor]
    reasons: dict[str, str] = Field(default_factory=dict, description="why there are none of a kind, by the kind")


class BatteryUnit(Answer):
    """One battery of the machine."""

    name: str = Field(description="as the system calls it, such as BAT0")
    percent: float | None = Field(description="charge, 0 to 100")
    status: str | None = Field(description="Charging, Discharging, Full, Not charging or Unknown")
    energy_now_wh: float | None = Field(description="energy in it, in watt hours")
    energy_full_wh: float | None = Field(description="energy when it is full now, in watt hours")
    energy_design_wh: float | None = Field(description="energy when it was full as new, in watt hours")
    power_w: float | None = Field(description="what flows in or out, in watts")
    cycle_count: int | None = Field(description="how often it was charged")
    technology: str | None = Field(description="such as Li-ion")
    manufacturer: str | None = None
    model_name: str | None = None
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Battery(Answer):
    """The batteries of the machine together, and each of them."""

    present: bool = Field(description="whether there is one")
    percent: float | None = Field(
        description="charge of all together, 0 to 100; one that does not tell how much it holds counts as much as the "
        "others do on the average"
    )
    power_plugged: bool | None = Field(description="whether it is on mains")
    secsleft: int | None = Field(description="time left, in seconds; None where unknown or on mains")
    batteries: list[BatteryUnit] = Field(default_factory=list)
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class User(Answer):
    """A session of a user who is logged in."""

    name: str
    terminal: str | None
    host: str | None = Field(description="where from")
    started: float | None = Field(description="since when, in seconds since 1970; None where logind does not tell")
    pid: int | None
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Cgroup(Answer):
    """What the server's own control group allows and uses, beside what the host has. The tightest limit of the group
    and all above it counts."""

    version: Literal[1, 2] | None = Field(description="of the control groups that limit memory")
    path: str | None = Field(description="the group, below the root of its hierarchy")
    memory_limit_bytes: int | None = Field(description="None without a limit")
    memory_usage_bytes: int | None
    memory_percent: float | None = Field(description="usage of the limit, 0 to 100; None without a limit")
    memory_working_set_bytes: int | None = Field(
        default=None,
        description="usage without what the kernel keeps of files and gives back first when memory is short (the "
        "inactive ones): what counts before processes are killed, as for Kubernetes",
    )
    memory_working_set_percent: float | None = Field(
        default=None, description="working set of the limit, 0 to 100; None without a limit"
    )
    swap_limit_bytes: int | None = Field(description="None without a limit")
    swap_usage_bytes: int | None
    oom_kills: int | None = Field(description="processes killed in the group for want of memory")
    cpu_limit_cores: float | None = Field(description="processors' time per time; None without a limit")
    cpu_usage_s: float | None = Field(description="processor time used by the group, in seconds")
    cpu_percent: float | None = Field(description="share of one processor since the last reading")
    cpu_throttled_s: float | None = Field(description="time that the group was held back, in seconds")
    cpuset: list[int] | None = Field(description="processors that the group may run on")
    pids_limit: int | None = Field(description="None without a limit")
    pids_current: int | None
    host_memory_bytes: int = Field(description="physical memory of the host")
    host_cpus: int = Field(description="processors of the host")
    usable_memory_bytes: int = Field(description="the smaller of host and limit")
    usable_cpus: float = Field(description="the smallest of host, set and limit")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Stall(Answer):
    """Shares of time in which something waited, in percent, and in total."""

    avg10: float = Field(description="over ten seconds, 0 to 100")
    avg60: float = Field(description="over a minute, 0 to 100")
    avg300: float = Field(description="over five minutes, 0 to 100")
    total_us: int = Field(description="since the system started, in microseconds")


class Pressure(Answer):
    """How much processes wait for a resource (Documentation/accounting/psi.rst): some of them, or all (``full``)."""

    cpu_some: Stall | None = None
    cpu_full: Stall | None = None
    memory_some: Stall | None = None
    memory_full: Stall | None = None
    io_some: Stall | None = None
    io_full: Stall | None = None
    irq_full: Stall | None = None
    reasons: dict[str, str] = Field(default_factory=dict, description="why a resource has no figures, by its name")
