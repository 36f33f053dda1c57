"""What is written down about a program that outlives the server: who started it, what it is, how it ended."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from rpcservices.programs.terms import LimitSet, OnDisconnect, UserIds

from .cgroups import Places
from .spawning import Launch, Spawned, TerminalSize
from .supervision import Ending, Supervision

ABOUT = "about.json"
ENDING = "ending.json"
SOCKET = "socket"


@dataclass(frozen=True, slots=True)
class About:
    """What a program is.

    Attributes:
        id: its name in calls.
        owner: the name of who started it.
        argv: what runs.
        cwd: where it was started.
        started_at: when, in seconds since 1970.
        labels: the owner's notes on it.
        on_disconnect: what happens to it when its controller's connection ends.
        reattach_s: how long that waits for a controller to come back.
        retain_bytes, retain_s: output to keep, and for how long after the end.
        hold: whether it waits for its controlling reader.
        user: as whom it runs; empty for the server's own user.
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

    def of(self, spawned: Spawned) -> About:
        """The same, of a process that was started."""
        return replace(self, pid=spawned.pid, pid_start=spawned.start)

    def resized(self, rows: int, columns: int) -> About:
        """The same, with another size of its terminal."""
        terminal = self.terminal
        return self if terminal is None else replace(self, terminal=replace(terminal, rows=rows, columns=columns))


def boot_id() -> str:
    """What tells one boot of this machine from another (proc(5), ``random/boot_id``)."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def write(folder: str, name: str, record: Mapping[str, Any]) -> None:
    """Write a record so that whoever reads it finds all of it or nothing (rename(2)).

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
    """A record; ``None`` where there is none.

    Raises:
        ValueError: there is one, but it cannot be understood.
    """
    try:
        with open(os.path.join(folder, name)) as file:
            found = json.load(file)
    except OSError:
        return None
    if not isinstance(found, dict):
        raise ValueError(f"{name}: not an object")  # noqa: TRY004 - of the file's value
    return found


def _known(cls: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """What of ``given`` a dataclass knows: another version may have written it."""
    names = {each.name for each in fields(cls)}
    return {name: value for name, value in given.items() if name in names}


def about_from(given: Mapping[str, Any]) -> About:
    """What :func:`dataclasses.asdict` made of an :class:`About`.

    Raises:
        TypeError: something is missing.
    """
    known = _known(About, given)
    if known.get("terminal") is not None:
        known["terminal"] = TerminalSize(**_known(TerminalSize, known["terminal"]))
    return About(**known)


def ending_from(given: Mapping[str, Any]) -> Ending:
    """What :func:`dataclasses.asdict` made of an :class:`.supervision.Ending`."""
    return Ending(**_known(Ending, given))


@dataclass(frozen=True, slots=True)
class Order:
    """Everything that a keeper needs to know."""

    about: About
    launch: Launch
    supervision: Supervision
    cgroups: Places = field(default_factory=Places)

    def dump(self) -> bytes:
        """As bytes."""
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def load(data: bytes) -> Order:
        """What :meth:`dump` made.

        Raises:
            ValueError, TypeError, KeyError: it is not that.
        """
        given = json.loads(data)
        launch, supervision = given["launch"], given["supervision"]
        launch["limits"] = supervision["limits"] = LimitSet(**supervision["limits"])
        if launch["terminal"] is not None:
            launch["terminal"] = TerminalSize(**launch["terminal"])
        if launch["user"] is not None:
            launch["user"] = UserIds(**{**launch["user"], "groups": tuple(launch["user"]["groups"])})
        for name in ("cgroups", "bounds", "processors"):
            launch[name] = tuple(launch[name])
        places = Places(**given["cgroups"])
        return Order(about_from(given["about"]), Launch(**launch), Supervision(**supervision), places)
