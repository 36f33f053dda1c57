"""Processes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import Answer

ProcessAttribute = Literal[
    "pid",
    "create_time",
    "ppid",
    "name",
    "username",
    "status",
    "cpu_percent",
    "cpu_times",
    "memory_info",
    "memory_percent",
    "num_threads",
    "num_fds",
    "nice",
    "cpu_affinity",
    "io_counters",
    "cmdline",
    "exe",
    "cwd",
    "terminal",
]
"""What can be asked of a process: psutil's names. ``memory_info`` gives ``rss_bytes`` and ``vms_bytes``, ``cpu_times``
the two times, ``io_counters`` what was read and written; ``pid`` and ``create_time`` are always given."""

ProcessSort = Literal["cpu_percent", "memory_percent", "cpu_times", "pid", "name", "create_time"]
"""How processes are sorted: the first three with the largest first, ``create_time`` with the youngest first."""


class ProcessRef(Answer):
    """Names a process for good: a number alone is used again."""

    pid: int
    create_time: float = Field(description="when it started, in seconds since 1970, as it was listed")


class Process(Answer):
    """A process. ``pid`` and ``create_time`` together name it. What was not asked for is None."""

    pid: int
    create_time: float | None = Field(description="when it started, in seconds since 1970")
    ppid: int | None = Field(default=None, description="its parent")
    name: str | None = Field(default=None, description="as the system has it; a program may call itself anything")
    username: str | None = Field(default=None, description="whose it is")
    status: str | None = Field(default=None, description="running, sleeping, zombie, ...")
    cpu_percent: float | None = Field(
        default=None, description="share of one processor since the last reading; None at first"
    )
    cpu_user_s: float | None = Field(default=None, description="processor time in the program, in seconds")
    cpu_system_s: float | None = Field(default=None, description="processor time in the kernel, in seconds")
    rss_bytes: int | None = Field(default=None, description="physical memory that it holds")
    vms_bytes: int | None = Field(default=None, description="its address space")
    memory_percent: float | None = Field(default=None, description="share of physical memory, 0 to 100")
    num_threads: int | None = None
    num_fds: int | None = Field(default=None, description="open files")
    nice: int | None = Field(default=None, description="priority, -20 (first) to 19 (last)")
    cpu_affinity: list[int] | None = Field(default=None, description="processors that it may run on")
    read_bytes: int | None = Field(default=None, description="read from disks")
    write_bytes: int | None = Field(default=None, description="written to disks")
    cmdline: list[str] | None = Field(
        default=None,
        description="its command line; what looks like a secret is replaced by ***, and what comes after 4,096 "
        "characters, in `process` after 65,536, by …",
    )
    exe: str | None = Field(
        default=None, description="the program's file; None without a reason: a part of the kernel, which has none"
    )
    cwd: str | None = Field(default=None, description="its working directory")
    terminal: str | None = Field(default=None, description="its terminal; None without a reason: it has none")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class ProcessList(Answer):
    """The processes of one moment."""

    t_mono_s: float = Field(description="when, on a clock that only runs forward, in seconds")
    t_wall_s: float = Field(description="when, in seconds since 1970")
    dt_s: float | None = Field(
        description="time over which cpu_percent was taken, in seconds; None at first, and where nobody asked for it"
    )
    total: int = Field(description="how many there are, without those that the system hides")
    running: int | None = Field(description="how many of them run now; None where status was not asked for")
    processes: list[Process]
    reasons: dict[str, str] = Field(
        default_factory=dict, description="why these are not all (processes): the system may hide those of others"
    )


class OpenFile(Answer):
    """A file that a process has open."""

    path: str
    fd: int
    mode: str | None = None


class ProcessDetails(Answer):
    """Everything about one process."""

    process: Process
    uids: list[int] | None = Field(description="real, effective, saved")
    gids: list[int] | None = Field(description="real, effective, saved")
    children: list[ProcessRef] | None
    open_files: list[OpenFile] | None
    uss_bytes: int | None = Field(description="memory that only it holds: what its end would free")
    ctx_switches_voluntary: int | None
    ctx_switches_involuntary: int | None
    cgroup: str | None
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")
