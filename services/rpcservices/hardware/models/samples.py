"""Snapshots, samples and history."""

from __future__ import annotations

from pydantic import Field

from .base import Answer
from .gpus import Gpus
from .io import Disks, Network
from .system import Battery, Cgroup, Cpu, Host, Memory, Pressure, Sensors, User


class Snapshot(Answer):
    """Several sections, read together. What was not asked for is None."""

    t_mono_s: float = Field(description="when, on a clock that only runs forward, in seconds")
    t_wall_s: float = Field(description="when, in seconds since 1970")
    dt_s: float | None = Field(
        description="time over which rates were taken, in seconds; None at first, and where there are none"
    )
    host: Host | None = None
    cpu: Cpu | None = None
    memory: Memory | None = None
    disks: Disks | None = None
    network: Network | None = None
    sensors: Sensors | None = None
    battery: Battery | None = None
    users: list[User] | None = None
    cgroup: Cgroup | None = None
    pressure: Pressure | None = None
    gpus: Gpus | None = None
    reasons: dict[str, str] = Field(default_factory=dict, description="why a section could not be read, by section")


class Sample(Answer):
    """Metrics of one moment. A metric's name is its place in :class:`Snapshot`, with what it belongs to in braces:
    ``cpu.percent``, ``network.interfaces.bytes_recv_per_s{eth0}``, ``disks.filesystems.percent{/home}``."""

    t_mono_s: float = Field(description="when, on a clock that only runs forward, in seconds")
    t_wall_s: float = Field(description="when, in seconds since 1970")
    dt_s: float | None = Field(
        description="time over which rates were taken, in seconds; None at first, and where there are none"
    )
    values: dict[str, float | None] = Field(description="by metric")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a value is None, by metric, where known")


class Point(Answer):
    """A metric over a piece of time."""

    t_wall_s: float = Field(description="its beginning, in seconds since 1970")
    step_s: float = Field(description="how much time it covers, in seconds")
    mean: float | None = Field(description="None where nothing could be read")
    min: float | None
    max: float | None


class Series(Answer):
    """The history of one metric."""

    metric: str
    step_s: float = Field(description="the time that its finest points cover, in seconds; older ones may cover more")
    points: list[Point]
