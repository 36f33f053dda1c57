"""Control groups (cgroups(7), version 2), where this process may make some: they hold a tree together whatever its
processes do, and bound what it takes as a whole."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass

from .limits import LimitSet

_MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
_PERIOD_US = 100_000
NEW_S = 60.0
PREFIX = "rpc-"
"""How the groups of programs are called, before the program's id."""


def _write(path: str, text: str) -> bool:
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CLOEXEC), "w") as file:
            file.write(text)
    except OSError:
        return False
    return True


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def own_folder() -> str:
    """The folder of the control group that this process is in; empty where there is no version 2."""
    path = next((line[3:].strip() for line in _read("/proc/self/cgroup").splitlines() if line.startswith("0::")), "")
    for mount in _MOUNTS:
        if path and os.path.exists(f"{mount}/cgroup.procs"):
            return (mount + path).rstrip("/")
    return ""


def folder_for_programs() -> str:
    """Where to make groups for programs; empty where there is no version 2.

    A service manager may have delegated a subtree and put this process into a leaf of it (systemd.resource-control(5),
    ``Delegate=`` with ``DelegateSubgroup=``): then the programs' groups come beside that leaf, and the controllers can
    be switched on for them. Otherwise they come below this process's own group.
    """
    own = own_folder()
    above = os.path.dirname(own)
    if own and any(_has_attribute(above, name) for name in ("user.delegate", "trusted.delegate")):
        for controller in ("cpu", "memory", "pids"):
            _write(f"{above}/cgroup.subtree_control", f"+{controller}")
        return above
    return own


def _has_attribute(folder: str, name: str) -> bool:
    try:
        return os.getxattr(folder, name) == b"1"
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Cgroup:
    """A control group of one program.

    Attributes:
        folder: where it is.
        enforces: whether memory and processes are bounded by it.
    """

    folder: str
    enforces: bool

    def kill(self) -> bool:
        """Kill everything in it at once, also what forks meanwhile."""
        return _write(f"{self.folder}/cgroup.kill", "1")

    def population(self) -> int:
        """How many processes are in it."""
        return _read(f"{self.folder}/cgroup.procs").count("\n")

    def out_of_memory(self) -> bool:
        """Whether something in it was killed for want of memory."""
        return any(
            line.startswith("oom_kill ") and line.split()[1] != "0"
            for line in _read(f"{self.folder}/memory.events").splitlines()
        )

    def remove(self) -> None:
        """Remove it; it stays while something is in it."""
        with contextlib.suppress(OSError):
            os.rmdir(self.folder)


def create(parent: str, program_id: str, limits: LimitSet) -> Cgroup | None:
    """Make a control group.

    Parameters:
        parent: in which to make it; see :func:`own_folder`.
        program_id: whose it is.
        limits: what it is to bound, as far as the controllers there can.

    Returns:
        It; ``None`` where that is not permitted.
    """
    if not parent:
        return None
    folder = f"{parent}/{PREFIX}{program_id}"
    try:
        os.mkdir(folder, 0o755)
    except OSError:
        return None
    enforces = True
    if limits.memory_bytes is not None:
        enforces = _write(f"{folder}/memory.max", str(limits.memory_bytes)) and enforces
        _write(f"{folder}/memory.swap.max", "0")
    if limits.processes is not None:
        enforces = _write(f"{folder}/pids.max", str(limits.processes)) and enforces
    if limits.cpus is not None:
        _write(f"{folder}/cpu.max", f"{int(limits.cpus * _PERIOD_US)} {_PERIOD_US}")
    return Cgroup(folder, enforces)


def sweep(parent: str) -> None:
    """Remove the groups of programs that have ended. Those with something in them stay, and new ones: another server
    may be about to start a program there."""
    if parent:
        with contextlib.suppress(OSError):
            for name in os.listdir(parent):
                if name.startswith(PREFIX):
                    with contextlib.suppress(OSError):
                        if time.time() - os.stat(f"{parent}/{name}").st_mtime > NEW_S:
                            os.rmdir(f"{parent}/{name}")
