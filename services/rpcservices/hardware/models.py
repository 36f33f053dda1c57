"""What the hardware service gives. A value that cannot be read is None, and ``reasons`` says why, by field."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Section = Literal["cpu", "memory", "disks", "network", "sensors", "battery", "processes", "host"]
"""A part of the machine."""

Availability = Literal["available", "unsupported", "denied", "absent"]
"""Whether a section can be read, and if not, on what account."""

ProcessOrder = Literal["cpu", "memory", "pid", "name"]
"""How processes are ordered: the first two with the largest first."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Capability(_Model):
    """Whether a section can be read here."""

    section: Section
    state: Availability = Field(description="available; unsupported by the system; denied to the server; absent")
    reason: str = Field(default="", description="why not, for a person")


class Cpu(_Model):
    """The processors."""

    percent: float | None = Field(description="busy share of all processors since the last reading, 0 to 100")
    per_cpu_percent: list[float] | None = Field(description="the same for each processor")
    logical: int = Field(description="processors that the system schedules on")
    physical: int | None = Field(description="cores, where the system tells")
    frequency_mhz: float | None = Field(description="current frequency, in MHz")
    load_1m: float | None = Field(description="load average over one minute")
    load_5m: float | None = Field(description="load average over five minutes")
    load_15m: float | None = Field(description="load average over fifteen minutes")
    model: str | None = Field(description="the processor's name")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Memory(_Model):
    """Memory and swap."""

    total_bytes: int = Field(description="physical memory")
    available_bytes: int = Field(description="what programs can get without swapping")
    used_bytes: int = Field(description="physical memory in use")
    percent: float = Field(description="share that is not available, 0 to 100")
    swap_total_bytes: int | None = Field(description="swap space")
    swap_used_bytes: int | None = Field(description="swap space in use")
    limit_bytes: int | None = Field(description="what the server's own control group may use; None without a limit")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Disk(_Model):
    """A mounted file system."""

    device: str = Field(description="what is mounted")
    mountpoint: str = Field(description="where")
    fstype: str = Field(description="kind of file system")
    total_bytes: int | None = Field(description="its size")
    used_bytes: int | None = Field(description="in use")
    free_bytes: int | None = Field(description="free for users without privileges")
    percent: float | None = Field(description="share in use, 0 to 100")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class DiskIo(_Model):
    """What went through a block device. Rates are None until two readings exist, and after a counter's reset."""

    name: str = Field(description="the device")
    read_bytes: int = Field(description="since the system started")
    write_bytes: int = Field(description="since the system started")
    read_bytes_per_s: float | None = Field(description="since the last reading")
    write_bytes_per_s: float | None = Field(description="since the last reading")


class Disks(_Model):
    """File systems and block devices."""

    filesystems: list[Disk]
    io: list[DiskIo]
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is empty, by its name")


class NetworkInterface(_Model):
    """A network interface. Rates are None until two readings exist, and after a counter's reset."""

    name: str
    is_up: bool | None = Field(description="whether it is up")
    speed_mbit: int | None = Field(description="nominal speed, in Mbit/s")
    mtu: int | None = Field(description="largest packet, in bytes")
    addresses: list[str] = Field(description="its IP addresses")
    mac: str | None = Field(description="its hardware address")
    sent_bytes: int = Field(description="since the system started")
    received_bytes: int = Field(description="since the system started")
    sent_bytes_per_s: float | None = Field(description="since the last reading")
    received_bytes_per_s: float | None = Field(description="since the last reading")
    errors: int = Field(description="failed packets in both directions")
    drops: int = Field(description="dropped packets in both directions")


class Sensor(_Model):
    """A sensor's reading."""

    kind: Literal["temperature", "fan"]
    chip: str = Field(description="which chip reports it")
    label: str = Field(description="what it measures; may be empty")
    value: float | None = Field(description="degrees Celsius, or turns per minute")
    high: float | None = Field(default=None, description="where it begins to be too much")
    critical: float | None = Field(default=None, description="where it is dangerous")


class Sensors(_Model):
    """All sensors."""

    readings: list[Sensor]
    reasons: dict[str, str] = Field(default_factory=dict, description="why there are none of a kind, by the kind")


class Battery(_Model):
    """The battery."""

    present: bool = Field(description="whether there is one")
    percent: float | None = Field(description="charge, 0 to 100")
    plugged_in: bool | None = Field(description="whether it is on mains")
    left_s: int | None = Field(description="time left, in seconds; None where unknown or on mains")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Process(_Model):
    """A process. ``pid`` and ``started_at`` together name it: the number alone is used again."""

    pid: int
    started_at: float | None = Field(description="when it started, in seconds since 1970")
    parent_pid: int | None
    name: str | None = Field(description="as the system has it; a program may call itself anything")
    user: str | None = Field(description="whose it is")
    state: str | None = Field(description="running, sleeping, zombie, ...")
    cpu_percent: float | None = Field(description="share of one processor since the last reading; None at first")
    memory_bytes: int | None = Field(description="physical memory that it holds")
    threads: int | None
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Host(_Model):
    """The machine and its system."""

    hostname: str
    system: str = Field(description="such as Linux")
    release: str = Field(description="of the kernel")
    version: str = Field(description="of the kernel, in full")
    machine: str = Field(description="such as x86_64")
    distribution: str | None = Field(description="such as Debian GNU/Linux 12")
    python: str = Field(description="the server's Python")
    booted_at: float = Field(description="when the system started, in seconds since 1970")
    uptime_s: float = Field(description="since then, in seconds")
    users: int = Field(description="sessions that are logged in")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Snapshot(_Model):
    """Several sections, read together. What was not asked for is None."""

    t_mono_s: float = Field(description="when, on a clock that only runs forward, in seconds")
    t_wall_s: float = Field(description="when, in seconds since 1970")
    dt_s: float | None = Field(description="time since the reading before, over which rates were taken; None at first")
    cpu: Cpu | None = None
    memory: Memory | None = None
    disks: Disks | None = None
    network: list[NetworkInterface] | None = None
    sensors: Sensors | None = None
    battery: Battery | None = None
    processes: list[Process] | None = None
    host: Host | None = None
