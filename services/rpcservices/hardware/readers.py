"""Reads the machine, each part on its own. Nothing here raises: what cannot be read is None, with the reason."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil

from .models import Battery, Disk, Host, Memory, Sensor, Sensors

_T = TypeVar("_T")


class Reasons(dict[str, str]):
    """Why a field has no value, by its name."""

    def attempt(self, field: str, read: Callable[[], _T]) -> _T | None:
        """What ``read`` gives; ``None``, with the reason kept, where it fails."""
        try:
            return read()
        except psutil.AccessDenied:
            self[field] = "denied: the server's user may not read it"
        except psutil.NoSuchProcess:
            self[field] = "gone: the process has ended"
        except (AttributeError, NotImplementedError):
            self[field] = "unsupported: this system does not tell"
        except OSError as exc:
            self[field] = f"failed: {exc.strerror or type(exc).__name__}"
        except Exception as exc:
            self[field] = f"failed: {type(exc).__name__}"
        return None


def cpu_model() -> str | None:
    """The processor's name, as the system has it."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.lower().startswith(("model name", "hardware", "cpu model")):
            return line.partition(":")[2].strip()
    return None


def memory() -> Memory:
    """Memory and swap."""
    reasons = Reasons()
    physical = psutil.virtual_memory()
    swap = reasons.attempt("swap_total_bytes", psutil.swap_memory)
    if swap is None:
        reasons["swap_used_bytes"] = reasons["swap_total_bytes"]
    return Memory(
        total_bytes=physical.total,
        available_bytes=physical.available,
        used_bytes=physical.used,
        percent=physical.percent,
        swap_total_bytes=None if swap is None else swap.total,
        swap_used_bytes=None if swap is None else swap.used,
        limit_bytes=reasons.attempt("limit_bytes", cgroup_memory_limit),
        reasons=reasons,
    )


def cgroup_memory_limit(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int | None:
    """The tightest memory limit on this process's control group (cgroup v2); ``None`` where there is none."""
    path = own.read_text(encoding="utf-8").rpartition("::")[2].strip().lstrip("/")
    tightest: int | None = None
    folder = root / path
    while True:
        file = folder / "memory.max"
        if file.is_file():
            text = file.read_text(encoding="ascii").strip()
            if text.isdigit():
                tightest = int(text) if tightest is None else min(tightest, int(text))
        if folder == root or root not in folder.parents:
            return tightest
        folder = folder.parent


def filesystems() -> list[Disk]:
    """The mounted file systems of real devices."""
    return [_filesystem(part) for part in psutil.disk_partitions(all=False)]


def _filesystem(part: Any) -> Disk:
    reasons = Reasons()
    usage = reasons.attempt("total_bytes", lambda: psutil.disk_usage(part.mountpoint))
    if usage is None:
        for field in ("used_bytes", "free_bytes", "percent"):
            reasons[field] = reasons["total_bytes"]
    return Disk(
        device=part.device,
        mountpoint=part.mountpoint,
        fstype=part.fstype,
        total_bytes=None if usage is None else usage.total,
        used_bytes=None if usage is None else usage.used,
        free_bytes=None if usage is None else usage.free,
        percent=None if usage is None else usage.percent,
        reasons=reasons,
    )


def sensors() -> Sensors:
    """Temperatures and fans. Virtual machines have none."""
    reasons = Reasons()
    readings: list[Sensor] = []
    temperatures = reasons.attempt("temperature", psutil.sensors_temperatures)
    for chip, entries in (temperatures or {}).items():
        readings += [
            Sensor(
                kind="temperature",
                chip=chip,
                label=entry.label,
                value=entry.current,
                high=entry.high,
                critical=entry.critical,
            )
            for entry in entries
        ]
    fans = reasons.attempt("fan", psutil.sensors_fans)
    for chip, fan_entries in (fans or {}).items():
        readings += [Sensor(kind="fan", chip=chip, label=fan.label, value=fan.current) for fan in fan_entries]
    for kind, found in (("temperature", temperatures), ("fan", fans)):
        if found is not None and not found:
            reasons[kind] = "absent: the machine shows none"
    return Sensors(readings=readings, reasons=reasons)


def battery() -> Battery:
    """The battery, if there is one."""
    reasons = Reasons()
    found = reasons.attempt("present", psutil.sensors_battery)
    if found is None:
        why = reasons.get("present", "absent: the machine shows none")
        return Battery(present=False, percent=None, plugged_in=None, left_s=None, reasons=reasons | {"percent": why})
    left = int(found.secsleft)
    if left < 0:
        reasons["left_s"] = "on mains" if found.power_plugged else "unknown: the battery does not tell"
    return Battery(
        present=True,
        percent=found.percent,
        plugged_in=found.power_plugged,
        left_s=left if left >= 0 else None,
        reasons=reasons,
    )


def host() -> Host:
    """The machine and its system."""
    reasons = Reasons()
    names = platform.uname()
    booted = psutil.boot_time()
    distribution = reasons.attempt("distribution", lambda: platform.freedesktop_os_release().get("PRETTY_NAME"))
    return Host(
        hostname=socket.gethostname(),
        system=names.system,
        release=names.release,
        version=names.version,
        machine=names.machine,
        distribution=distribution,
        python=platform.python_version(),
        booted_at=booted,
        uptime_s=max(time.time() - booted, 0.0),
        users=len(reasons.attempt("users", psutil.users) or ()),
        reasons=reasons,
    )


def load_average() -> tuple[float, float, float]:
    """Load over one, five and fifteen minutes."""
    return os.getloadavg()
