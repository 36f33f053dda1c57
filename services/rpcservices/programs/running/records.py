"""The records of a program that outlives the server: who started it, what it is, and how it ended."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from rpcservices.programs.terms import LimitSet, OnDisconnect, UserIds

from .cgroups import Places
from .spawning import Launch, SpawnedProgram, TerminalSize
from .supervision import Ending, Supervision

ABOUT = "about.json"
ENDING = "ending.json"
SOCKET = "socket"


@dataclass(frozen=True, slots=True)
class About:
    """The description of a program.

    Attributes:
        id: its name in calls.
        owner: the name of the caller who started it.
        argv: the program and its arguments.
        cwd: its working directory at the start.
        started_at: the time of its start, in seconds since 1970.
        labels: the owner's notes on it.
        on_disconnect: what happens to it when its controller's connection ends.
        reattach_s: how long that waits for a controller to come back.
        retain_bytes, retain_s: output to keep, and for how long after the end.
        hold: whether it waits for its controlling reader.
        user: the user as whom it runs; empty for the server's own user.
        terminal: its pseudo-terminal, if it has one.
        pid, pid_start: its process, and when that started in clock ticks since boot.
        boot_id: the boot of the machine in which it was started.
    """

    id: str
    owner: str
    argv: Sequence[str]
    cwd: str
    started_at: float
    labels: Mapping[str, str] = field(default_factory=dict)
    on_disconnect: OnDisconnect = "kill"
    reattach_s: float = 0.0
    retain_bytes: int = 0
    retain_s: float = 0.0
    hold: bool = False
    user: str = ""
    terminal: TerminalSize | None = None
    pid: int = 0
    pid_start: int = 0
    boot_id: str = ""

    def of(self, process: SpawnedProgram) -> About:
        """A copy with the process that was started."""
        return replace(self, pid=process.pid, pid_start=process.start)

    def with_terminal_size(self, rows: int, columns: int) -> About:
        """A copy with another size of the terminal."""
        terminal = self.terminal
        return self if terminal is None else replace(self, terminal=replace(terminal, rows=rows, columns=columns))


def boot_id() -> str:
    """The id of this boot of the machine (proc(5), ``random/boot_id``)."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def write(folder: str, name: str, record: Mapping[str, Any]) -> None:
    """Write a record atomically: a reader finds all of it or nothing (rename(2)).

    Raises:
        OSError: it cannot be written.
    """
    path = os.path.join(folder, name)
    descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(f"{path}.new", path)


def read(folder: str, name: str) -> dict[str, Any] | None:
    """Read a record; ``None`` where there is none.

    Raises:
        ValueError: the record cannot be understood.
    """
    try:
        with open(os.path.join(folder, name)) as file:
            value = json.load(file)
    except OSError:
        return None
    if not isinstance(value, dict):
        raise ValueError(f"{name}: not an object")  # noqa: TRY004 - of the file's value
    return value


def _known_fields(cls: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    """The part of ``data`` that a dataclass knows; another version may have written more."""
    names = {each.name for each in fields(cls)}
    return {name: value for name, value in data.items() if name in names}


def about_from(data: Mapping[str, Any]) -> About:
    """Restore an :class:`About` from what :func:`dataclasses.asdict` made of it.

    Raises:
        TypeError: a field is missing.
    """
    fields_of_about = _known_fields(About, data)
    if fields_of_about.get("terminal") is not None:
        fields_of_about["terminal"] = TerminalSize(**_known_fields(TerminalSize, fields_of_about["terminal"]))
    return About(**fields_of_about)


def ending_from(data: Mapping[str, Any]) -> Ending:
    """Restore an :class:`.supervision.Ending` from what :func:`dataclasses.asdict` made of it."""
    return Ending(**_known_fields(Ending, data))


@dataclass(frozen=True, slots=True)
class Order:
    """Everything that a keeper needs to know."""

    about: About
    launch: Launch
    supervision: Supervision
    cgroups: Places = field(default_factory=Places)

    def dump(self) -> bytes:
        """Write it as bytes."""
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def load(data: bytes) -> Order:
        """Read what :meth:`dump` has written.

        Raises:
            ValueError, TypeError, KeyError: the data are something else.
        """
        values = json.loads(data)
        launch, supervision = values["launch"], values["supervision"]
        launch["limits"] = supervision["limits"] = LimitSet(**supervision["limits"])
        if launch["terminal"] is not None:
            launch["terminal"] = TerminalSize(**launch["terminal"])
        if launch["user"] is not None:
            launch["user"] = UserIds(**{**launch["user"], "groups": tuple(launch["user"]["groups"])})
        for name in ("cgroups", "bounds", "processors"):
            launch[name] = tuple(launch[name])
        places = Places(**values["cgroups"])
        return Order(about_from(values["about"]), Launch(**launch), Supervision(**supervision), places)
