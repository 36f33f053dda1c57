"""The terms that every room of this service uses: the names of streams, limits and choices, and what a program may use.

This module imports nothing of the service. The keeper of programs loads it, so it must load fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StreamName = Literal["stdout", "stderr"]
"""The two outputs of a program; a pseudo-terminal has the first only."""

StderrTo = Literal["pipe", "merge", "discard"]
"""Where standard error goes: into a stream of its own, into standard output, or nowhere."""

OnDisconnect = Literal["keep", "hangup", "kill"]
"""What happens to a program when the connection that controls it ends: it goes on, also through a restart of the
server; it gets SIGHUP and the end of its input; it is ended with all that it has started."""

LimitName = Literal["time", "idle", "memory", "cpu", "processes", "file", "output"]
"""What can end a program: its time, its silence, and what it may take."""

MARK = "RPC_PROGRAM_ID"
"""The environment variable that marks a program and all its descendants."""


@dataclass(frozen=True, slots=True)
class LimitSet:
    """The limits of one program; ``None`` for none.

    Attributes:
        memory_bytes: memory of its whole tree.
        cpu_s: processor time of one process, in seconds.
        cpus: how many processors it may use at a time; may be a fraction.
        processes: processes in its tree.
        open_files: open descriptors of one process.
        file_bytes: size of a file that it writes.
        output_bytes: output of each stream, in all.
        output_bytes_per_s: output of each stream per second; a program that writes faster must wait.
    """

    memory_bytes: int | None = None
    cpu_s: float | None = None
    cpus: float | None = None
    processes: int | None = None
    open_files: int | None = None
    file_bytes: int | None = None
    output_bytes: int | None = None
    output_bytes_per_s: int | None = None


@dataclass(frozen=True, slots=True)
class UserIds:
    """The user as whom a program runs.

    Attributes:
        uid, gid: user and group.
        groups: all groups.
    """

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
