"""File systems and block devices."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import psutil

from rpcservices.hardware.models import DiskIo, DiskKind, Disks, Filesystem
from rpcservices.hardware.rates import rate

from .apart import Apart
from .mounts import PROMPT, WITHOUT_ROOM, Mount, mounts, mounts_known
from .places import HERE, number
from .plain import plain
from .reasons import NO_BASELINE, RESET, Reasons

_FIGURES = ("total_bytes", "used_bytes", "free_bytes", "percent", "inodes_total", "inodes_free")
_RATES = ("read_count_per_s", "write_count_per_s", "read_bytes_per_s", "write_bytes_per_s", "busy_percent")
_RATES_UNKNOWN: dict[str, float | None] = dict.fromkeys(_RATES)
_NO_RATES: dict[str, str] = dict.fromkeys(_RATES, NO_BASELINE)
_RESET_RATES: dict[str, str] = dict.fromkeys(_RATES, RESET)
_NOT_BUSY: dict[str, str] = dict.fromkeys(("busy_time_ms", "busy_percent"), "unsupported: this system does not tell")
_NO_KIND = "unsupported: this system does not tell"


Mounts = Apart[str, Filesystem | None]
"""Reads file systems, one of which may hang."""


@dataclass(frozen=True, slots=True)
class DisksReading:
    """The state of disks at one moment."""

    filesystems: list[Filesystem]
    io: dict[str, Any]
    kinds: Mapping[str, DiskKind]
    reasons: Reasons


def read(apart: Mounts | None = None) -> DisksReading:
    """Read file systems and counters.

    Parameters:
        apart: reads file systems that another program or machine serves, within a time limit. Without it, one that does
            not answer blocks the caller.
    """
    reasons = Reasons()
    return _read(reasons, reasons.attempt("filesystems", mounts) or (), apart)


def read_at_once() -> DisksReading | None:
    """Read the same, if the table of mounts is known and the kernel gives the figures of all file systems from memory;
    ``None`` if something may have to wait."""
    mount_list = mounts_known()
    if mount_list is None or any(mount.is_served or mount.fstype not in PROMPT for mount in mount_list):
        return None
    return _read(Reasons(), mount_list, None)


def _read(reasons: Reasons, mount_list: Sequence[Mount], apart: Mounts | None) -> DisksReading:
    io = reasons.attempt("io", lambda: psutil.disk_io_counters(perdisk=True, nowrap=False)) or {}
    io = without_paths(io, paths(tuple(io)))
    if not io:
        reasons.setdefault("io", "absent: the system shows no block devices")
    of_mounts = _filesystems(mount_list, apart)
    if not of_mounts:
        reasons.setdefault("filesystems", "absent: the system shows no mounted file systems that hold anything")
    return DisksReading(of_mounts, io, kinds(tuple(io)), reasons)


@lru_cache(maxsize=8)
def kinds(names: tuple[str, ...], sys: Path = HERE.sys) -> Mapping[str, DiskKind]:
    """The kind of each block device; empty without sysfs. The answer is cached for the same devices.

    Parameters:
        names: the devices.
        sys: the folder of sysfs (Documentation/ABI/stable/sysfs-block).
    """
    folder = sys / "class" / "block"
    by_name: dict[str, DiskKind] = {}
    for name in names:
        device = folder / name.replace("/", "!")
        if (device / "partition").exists():
            by_name[name] = "partition"
        elif device.exists():
            # A disk links to the device that drives it. One that lies on others, or in memory, has no such link.
            by_name[name] = "disk" if (device / "device").exists() else "virtual"
    return by_name


_PATH = re.compile(r"(nvme\d+)c\d+(n\d+)")
"""The name of a path to an NVMe disk through one of several controllers (drivers/nvme/host/multipath.c)."""


@lru_cache(maxsize=8)
def paths(names: tuple[str, ...], sys: Path = HERE.sys) -> Mapping[str, str]:
    """The block devices that the kernel hides, with the disk that each is a path to. They are no disks themselves.

    Parameters:
        names: the devices.
        sys: the folder of sysfs (Documentation/ABI/stable/sysfs-block, ``hidden``).
    """
    folder = sys / "class" / "block"
    hidden_names = [name for name in names if number(folder / name.replace("/", "!") / "hidden") == 1]
    return {name: _PATH.sub(r"\1\2", name) for name in hidden_names}


def without_paths(io: dict[str, Any], ways: Mapping[str, str]) -> dict[str, Any]:
    """The counters of disks, without those of paths to disks. Before Linux 6.3 the kernel counted only for each path;
    then a disk gets the sum of its paths.

    Parameters:
        io: the counters of all devices, as psutil has them.
        ways: the paths, with the disk that each leads to.
    """
    counters_by_disk = {name: counters for name, counters in io.items() if name not in ways}
    for disk in set(ways.values()):
        each = [io[way] for way, leads_to in ways.items() if leads_to == disk]
        if disk in counters_by_disk and not any(counters_by_disk[disk]):
            total = counters_by_disk[disk]._make(map(sum, zip(*each, strict=True)))
            # Two paths may be busy at the same time, so their busy times must not be added.
            counters_by_disk[disk] = total._replace(busy_time=max(one.busy_time for one in each))
    return counters_by_disk


def _filesystems(mount_list: Sequence[Mount], apart: Mounts | None) -> list[Filesystem]:
    """The file systems that have room for files, or do not tell."""
    jobs: dict[str, Callable[[], Filesystem | None]] = {
        mount.mountpoint: partial(_filesystem, mount)
        for mount in mount_list
        if mount.is_served and mount.fstype not in WITHOUT_ROOM
    }
    answers = apart.read(jobs) if apart is not None and jobs else None
    filesystems = []
    for mount in mount_list:
        if mount.fstype in WITHOUT_ROOM:
            continue
        if answers is None or apart is None or not mount.is_served:
            filesystems.append(_filesystem(mount))
        elif mount.mountpoint in answers:
            filesystems.append(answers[mount.mountpoint])
        else:
            filesystems.append(_unread(mount, apart.late))
    return [filesystem for filesystem in filesystems if filesystem is not None]


def _filesystem(mount: Mount) -> Filesystem | None:
    """Read one file system; ``None`` where it has no room for files: it shows what the kernel knows, and df(1) leaves
    it out, too."""
    reasons = Reasons()
    # One call for space and inodes; the figures are psutil.disk_usage's (used and free as df shows them).
    stat = reasons.attempt("total_bytes", lambda: os.statvfs(mount.mountpoint))
    if stat is None:
        return _unread(mount, reasons["total_bytes"])
    if not stat.f_blocks:
        # FUSE gives zeros and no error to a user whom it does not let in.
        if mount.is_served and reasons.attempt("total_bytes", Path(mount.mountpoint).stat) is None:
            return _unread(mount, reasons["total_bytes"])
        return None
    return _describe_filesystem(mount, stat)


@lru_cache(maxsize=256)
def _describe_filesystem(mount: Mount, stat: os.statvfs_result) -> Filesystem:
    """The answer for a file system, cached while its figures stay the same: most of them change rarely."""
    used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    free = stat.f_bavail * stat.f_frsize
    return Filesystem(
        **_names(mount),
        total_bytes=stat.f_blocks * stat.f_frsize,
        used_bytes=used,
        free_bytes=free,
        percent=round(100.0 * used / (used + free), 1) if used + free else 0.0,
        inodes_total=stat.f_files,
        inodes_free=stat.f_ffree,
        reasons={},
    )


def _unread(mount: Mount, reason: str) -> Filesystem:
    unknown: dict[str, Any] = dict.fromkeys(_FIGURES)
    return Filesystem(**_names(mount), **unknown, reasons=dict.fromkeys(_FIGURES, reason))


@lru_cache(maxsize=1024)
def _names(mount: Mount) -> Mapping[str, Any]:
    names = ("device", "mountpoint", "fstype", "opts", "root", "same_as")
    return {"bind": mount.bind} | {name: plain(getattr(mount, name)) for name in names}


def derive(before: DisksReading | None, now: DisksReading, dt_s: float | None) -> Disks:
    """Make the answer from two readings."""
    old = before.io if before is not None else {}
    return Disks(
        filesystems=now.filesystems,
        io=[
            _idle(name, now.kinds.get(name), counters)
            if dt_s and counters == old.get(name)
            else _io(name, now.kinds.get(name), old.get(name), counters, dt_s)
            for name, counters in now.io.items()
        ],
        reasons=now.reasons,
    )


@lru_cache(maxsize=256)
def _idle(name: str, kind: DiskKind | None, counters: Any) -> DiskIo:
    """The answer for a device that has done nothing since the earlier reading: the time in between does not matter."""
    return _io(name, kind, counters, counters, 1.0)


def _io(name: str, kind: DiskKind | None, old: Any, now: Any, dt_s: float | None) -> DiskIo:
    busy_ms = getattr(now, "busy_time", None)
    reasons = {} if old is not None else _NO_RATES
    # The counters of a device that was unplugged and plugged in again restart, so none of them has a rate.
    if old is not None and (now.read_count < old.read_count or now.write_count < old.write_count):
        old, reasons = None, _RESET_RATES
    rates: dict[str, float | None]
    if old is None:
        rates = _RATES_UNKNOWN
    else:
        busy = rate(getattr(old, "busy_time", None), busy_ms, dt_s)
        rates = {
            "read_count_per_s": rate(old.read_count, now.read_count, dt_s),
            "write_count_per_s": rate(old.write_count, now.write_count, dt_s),
            "read_bytes_per_s": rate(old.read_bytes, now.read_bytes, dt_s),
            "write_bytes_per_s": rate(old.write_bytes, now.write_bytes, dt_s),
            "busy_percent": None if busy is None else min(busy / 10.0, 100.0),
        }
    if None in rates.values():
        # The counter of busy time has 32 bits, so it may wrap while the others go on.
        reasons = {field: RESET for field, value in rates.items() if value is None} | reasons
    if busy_ms is None:
        reasons = {**reasons, **_NOT_BUSY}
    if kind is None:
        reasons = {**reasons, "kind": _NO_KIND}
    return DiskIo(
        name=plain(name),
        kind=kind,
        read_count=now.read_count,
        write_count=now.write_count,
        read_bytes=now.read_bytes,
        write_bytes=now.write_bytes,
        busy_time_ms=busy_ms,
        **rates,
        reasons=reasons,
    )
