"""Control groups (cgroups(7)), where this process may make some: they hold a tree together whatever its processes do,
and bound what it takes as a whole. Version 2 holds and kills; what it has no controller for here, version 1 bounds,
where that is mounted beside it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from rpcservices.programs.terms import LimitSet

Controller = Literal["cpu", "memory", "pids"]
CONTROLLERS: tuple[Controller, ...] = ("cpu", "memory", "pids")
_ROOT = "/sys/fs/cgroup"
_MOUNTS = (_ROOT, f"{_ROOT}/unified")
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


def _count(path: str, name: str) -> int:
    """The number that stands behind ``name`` in a file of events; 0 where there is none."""
    for line in _read(path).splitlines():
        word, _, number = line.partition(" ")
        if word == name:
            return int(number)
    return 0


# --- where ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Places:
    """Where groups for programs can be made.

    Attributes:
        unified: a folder of version 2; empty where there is none.
        legacy: by controller, a folder of version 1 for what version 2 has none for there.
    """

    unified: str = ""
    legacy: Mapping[Controller, str] = field(default_factory=dict)


def _own_path(matches: str) -> str:
    """The path of this process's group in the hierarchy of a controller; the empty name is that of version 2."""
    for line in _read("/proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if matches in names.split(","):
            return path
    return ""


def own_folder() -> str:
    """The folder of the control group of version 2 that this process is in; empty where there is none."""
    path = _own_path("")
    for mount in _MOUNTS:
        if path and os.path.exists(f"{mount}/cgroup.procs"):
            return (mount + path).rstrip("/")
    return ""


def folder_for_programs() -> str:
    """Where to make groups of version 2 for programs; empty where there is none.

    A service manager may have delegated a subtree and put this process into a leaf of it (systemd.resource-control(5),
    ``Delegate=`` with ``DelegateSubgroup=``): then the programs' groups come beside that leaf, and the controllers can
    be switched on for them. Otherwise they come below this process's own group.
    """
    own = own_folder()
    above = os.path.dirname(own)
    if own and any(_has_attribute(above, name) for name in ("user.delegate", "trusted.delegate")):
        for controller in CONTROLLERS:
            _write(f"{above}/cgroup.subtree_control", f"+{controller}")
        return above
    return own


def _has_attribute(folder: str, name: str) -> bool:
    try:
        return os.getxattr(folder, name) == b"1"
    except OSError:
        return False


def places() -> Places:
    """Where this process may make groups for programs."""
    unified = folder_for_programs()
    switched_on = _read(f"{unified}/cgroup.subtree_control").split() if unified else []
    legacy: dict[Controller, str] = {}
    for controller in CONTROLLERS:
        folder = f"{_ROOT}/{controller}{_own_path(controller)}".rstrip("/")
        if controller not in switched_on and os.access(f"{folder}/cgroup.procs", os.W_OK):
            legacy[controller] = folder
    return Places(unified if os.access(f"{unified}/cgroup.procs", os.W_OK) else "", legacy)


# --- one of them ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cgroup:
    """The control groups of one program.

    Attributes:
        unified: the folder of version 2; empty where there is none.
        legacy: by controller, folders of version 1.
        bounds: what they bound as a whole.
    """

    unified: str
    legacy: Mapping[Controller, str] = field(default_factory=dict)
    bounds: frozenset[Controller] = frozenset()

    @property
    def folders(self) -> tuple[str, ...]:
        """All that a process must enter."""
        return (*((self.unified,) if self.unified else ()), *self.legacy.values())

    @property
    def members_folder(self) -> str:
        """One that lists the processes in it."""
        return self.folders[0]

    def kill(self) -> bool:
        """Kill everything in it at once, also what forks meanwhile. ``False`` where only its growth could be stopped,
        or nothing."""
        if "pids" in self.legacy:
            _write(f"{self.legacy['pids']}/pids.max", "0")
        return bool(self.unified) and _write(f"{self.unified}/cgroup.kill", "1")

    def population(self) -> int:
        """How many processes are in it."""
        return _read(f"{self.members_folder}/cgroup.procs").count("\n")

    @property
    def _pids_folder(self) -> str:
        return self.legacy.get("pids", self.unified)

    def charged(self) -> int:
        """How many processes and threads the kernel counts in it: also those that have ended, and were not collected.
        0 where it does not count them."""
        text = _read(f"{self._pids_folder}/pids.current")
        return int(text) if text.strip().isdecimal() else 0

    def running(self) -> int:
        """How many processes and threads run in it."""
        name = "tasks" if "pids" in self.legacy else "cgroup.threads"
        return _read(f"{self._pids_folder}/{name}").count("\n")

    def bound_processes(self, most: int) -> None:
        """Let the kernel allow so many processes and threads."""
        _write(f"{self._pids_folder}/pids.max", str(most))

    def reached(self, most: int | None) -> Literal["memory", "processes"] | None:
        """The limit that it has come to, if it has.

        Parameters:
            most: processes that may be in it; ``None`` for any number.
        """
        if "memory" in self.bounds and self.out_of_memory():
            return "memory"
        if "pids" in self.bounds:
            refused = _count(f"{self._pids_folder}/pids.events", "max") > 0
        else:
            refused = most is not None and self.population() > most
        return "processes" if refused else None

    def out_of_memory(self) -> bool:
        """Whether something in it was killed for want of memory."""
        if "memory" in self.legacy:
            return _count(f"{self.legacy['memory']}/memory.oom_control", "oom_kill") > 0
        return _count(f"{self.unified}/memory.events", "oom_kill") > 0

    def remove(self) -> bool:
        """Remove it; it stays while something is in it.

        Returns:
            Whether nothing of it is left.
        """
        for folder in self.folders:
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        return not any(os.path.exists(folder) for folder in self.folders)


_Values = Mapping[str, str]


def _settings(limits: LimitSet) -> Mapping[Controller, tuple[_Values, _Values]]:
    """What to write into which file, by controller: in version 2 and in version 1. The first file is the limit itself;
    others may not be there."""
    found: dict[Controller, tuple[_Values, _Values]] = {}
    if limits.memory_bytes is not None:
        most = str(limits.memory_bytes)
        found["memory"] = (
            {"memory.max": most, "memory.swap.max": "0", "memory.oom.group": "1"},
            {"memory.limit_in_bytes": most, "memory.memsw.limit_in_bytes": most},
        )
    if limits.processes is not None:
        found["pids"] = ({"pids.max": str(limits.processes)}, {"pids.max": str(limits.processes)})
    if limits.cpus is not None:
        quota = str(int(limits.cpus * _PERIOD_US))
        found["cpu"] = (
            {"cpu.max": f"{quota} {_PERIOD_US}"},
            {"cpu.cfs_quota_us": quota, "cpu.cfs_period_us": str(_PERIOD_US)},
        )
    return found


def create(parents: Places, program_id: str, limits: LimitSet) -> Cgroup | None:
    """Make control groups for a program.

    Parameters:
        parents: in which to make them.
        program_id: whose they are.
        limits: what they are to bound, as far as the controllers there can.

    Returns:
        They; ``None`` where none is permitted.
    """
    name = f"{PREFIX}{program_id}"
    unified = _made(f"{parents.unified}/{name}") if parents.unified else ""
    legacy: dict[Controller, str] = {}
    bounds: set[Controller] = set()
    for controller, (second, first) in _settings(limits).items():
        folder, values = unified, second
        if controller in parents.legacy:
            folder, values = _made(f"{parents.legacy[controller]}/{name}"), first
            if folder:
                legacy[controller] = folder
        held = [_write(f"{folder}/{file}", text) for file, text in values.items()] if folder else [False]
        if held[0]:
            bounds.add(controller)
    return Cgroup(unified, legacy, frozenset(bounds)) if unified or legacy else None


def _made(folder: str) -> str:
    """A new folder; empty where that is not permitted, or there is one already."""
    try:
        os.mkdir(folder, 0o755)
    except OSError:
        return ""
    return folder


def in_group_of_program(pid: int) -> bool:
    """Whether a process is in the control group of a program, or was until it ended."""
    return f"/{PREFIX}p" in _read(f"/proc/{pid}/cgroup")


def sweep(parents: Places) -> None:
    """Remove the groups of programs that have ended. Those with something in them stay, and new ones: another server
    may be about to start a program there."""
    for parent in (parents.unified, *parents.legacy.values()):
        if not parent:
            continue
        with contextlib.suppress(OSError):
            for name in os.listdir(parent):
                if name.startswith(PREFIX):
                    with contextlib.suppress(OSError):
                        if time.time() - os.stat(f"{parent}/{name}").st_mtime > NEW_S:
                            os.rmdir(f"{parent}/{name}")
