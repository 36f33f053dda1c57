"""Control groups (cgroups(7)), where this process may make them. A group holds all processes of a program, whatever
they do, and limits them as a whole. Version 2 holds and kills them. If a controller belongs to version 1 on this
machine, a group of version 1 beside it sets that limit."""

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
"""The beginning of a group's name, before the program's id."""


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
    """The number behind ``name`` in a file of events; 0 where there is none."""
    for line in _read(path).splitlines():
        word, _, number = line.partition(" ")
        if word == name:
            return int(number)
    return 0


# --- where ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Places:
    """The folders in which this process can make groups for programs.

    Attributes:
        unified: the folder of version 2; empty where there is none.
        legacy: the folders of version 1, by controller, for controllers that version 2 lacks there.
    """

    unified: str = ""
    legacy: Mapping[Controller, str] = field(default_factory=dict)


def _own_path(matches: str) -> str:
    """The path of this process's group in the tree of a controller; the empty name stands for version 2."""
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
    """The folder in which to make groups of version 2 for programs; empty where there is none.

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
    """Find the folders in which this process may make groups for programs."""
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
        legacy: the folders of version 1, by controller.
        bounds: the controllers that limit the program as a whole.
    """

    unified: str
    legacy: Mapping[Controller, str] = field(default_factory=dict)
    bounds: frozenset[Controller] = frozenset()

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders of all groups that a process must enter."""
        return (*((self.unified,) if self.unified else ()), *self.legacy.values())

    @property
    def members_folder(self) -> str:
        """The folder of a group that lists its processes."""
        return self.folders[0]

    def kill(self) -> bool:
        """Kill everything in the group at once, also processes that fork meanwhile. ``False`` if that is not possible;
        its growth may be stopped then."""
        if "pids" in self.legacy:
            _write(f"{self.legacy['pids']}/pids.max", "0")
        return bool(self.unified) and _write(f"{self.unified}/cgroup.kill", "1")

    def population(self) -> int:
        """The number of processes in the group."""
        return _read(f"{self.members_folder}/cgroup.procs").count("\n")

    @property
    def _pids_folder(self) -> str:
        return self.legacy.get("pids", self.unified)

    def count_tasks(self) -> int:
        """The number of processes and threads that the kernel counts in the group, with those that have ended and were
        not collected. 0 where it does not count."""
        text = _read(f"{self._pids_folder}/pids.current")
        return int(text) if text.strip().isdecimal() else 0

    def running(self) -> int:
        """The number of processes and threads that run in the group."""
        name = "tasks" if "pids" in self.legacy else "cgroup.threads"
        return _read(f"{self._pids_folder}/{name}").count("\n")

    def bound_processes(self, most: int) -> None:
        """Set the limit of processes and threads."""
        _write(f"{self._pids_folder}/pids.max", str(most))

    def reached_limit(self, most: int | None) -> Literal["memory", "processes"] | None:
        """The limit that the program has reached, if any.

        Parameters:
            most: how many processes may be in the group; ``None`` for any number.
        """
        if "memory" in self.bounds and self.out_of_memory():
            return "memory"
        if "pids" in self.bounds:
            was_refused = _count(f"{self._pids_folder}/pids.events", "max") > 0
        else:
            was_refused = most is not None and self.population() > most
        return "processes" if was_refused else None

    def out_of_memory(self) -> bool:
        """Whether the kernel has killed a process of the group because it needed too much memory."""
        if "memory" in self.legacy:
            return _count(f"{self.legacy['memory']}/memory.oom_control", "oom_kill") > 0
        return _count(f"{self.unified}/memory.events", "oom_kill") > 0

    def remove(self) -> bool:
        """Remove the groups. A group stays while processes are in it.

        Returns:
            Whether all were removed.
        """
        is_removed = True
        for folder in self.folders:
            try:
                os.rmdir(folder)
            except OSError:
                is_removed = is_removed and not os.path.exists(folder)
        return is_removed


_Values = Mapping[str, str]


def _settings(limits: LimitSet) -> Mapping[Controller, tuple[_Values, _Values]]:
    """The text for each file, by controller, for version 2 and for version 1. The first file is the limit itself; the
    others may be missing."""
    settings: dict[Controller, tuple[_Values, _Values]] = {}
    if limits.memory_bytes is not None:
        most = str(limits.memory_bytes)
        settings["memory"] = (
            {"memory.max": most, "memory.swap.max": "0", "memory.oom.group": "1"},
            {"memory.limit_in_bytes": most, "memory.memsw.limit_in_bytes": most},
        )
    if limits.processes is not None:
        settings["pids"] = ({"pids.max": str(limits.processes)}, {"pids.max": str(limits.processes)})
    if limits.cpus is not None:
        quota = str(int(limits.cpus * _PERIOD_US))
        settings["cpu"] = (
            {"cpu.max": f"{quota} {_PERIOD_US}"},
            {"cpu.cfs_quota_us": quota, "cpu.cfs_period_us": str(_PERIOD_US)},
        )
    return settings


def create(parents: Places, program_id: str, limits: LimitSet) -> Cgroup | None:
    """Make control groups for a program.

    Parameters:
        parents: the folders in which to make them.
        program_id: the program's id.
        limits: the limits to set, as far as there are controllers for them.

    Returns:
        The groups; ``None`` where none is permitted.
    """
    name = f"{PREFIX}{program_id}"
    unified = _make(f"{parents.unified}/{name}") if parents.unified else ""
    legacy: dict[Controller, str] = {}
    bounds: set[Controller] = set()
    for controller, (second, first) in _settings(limits).items():
        folder, values = unified, second
        if controller in parents.legacy:
            folder, values = _make(f"{parents.legacy[controller]}/{name}"), first
            if folder:
                legacy[controller] = folder
        successes = [_write(f"{folder}/{file}", text) for file, text in values.items()] if folder else [False]
        if successes[0]:
            bounds.add(controller)
    return Cgroup(unified, legacy, frozenset(bounds)) if unified or legacy else None


def _make(folder: str) -> str:
    """Make a folder, and return its path; empty if that is not permitted, or it exists already."""
    try:
        os.mkdir(folder, 0o755)
    except OSError:
        return ""
    return folder


def in_group_of_program(pid: int) -> bool:
    """Whether a process is in the control group of a program, or was there when it ended."""
    return f"/{PREFIX}p" in _read(f"/proc/{pid}/cgroup")


def sweep(parents: Places) -> None:
    """Remove the groups of programs that have ended. Groups with processes stay, and so do new ones: another server may
    be about to start a program there."""
    for parent in (parents.unified, *parents.legacy.values()):
        if not parent:
            continue
        with contextlib.suppress(OSError):
            for name in os.listdir(parent):
                if name.startswith(PREFIX):
                    with contextlib.suppress(OSError):
                        if time.time() - os.stat(f"{parent}/{name}").st_mtime > NEW_S:
                            os.rmdir(f"{parent}/{name}")
