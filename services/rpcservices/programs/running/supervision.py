"""The settings for looking after a program, and the record of its end."""

from __future__ import annotations

from dataclasses import dataclass, field

from rpcservices.programs.terms import LimitName, LimitSet


@dataclass(frozen=True, slots=True)
class Supervision:
    """How a program is looked after.

    Attributes:
        program_id: its name in calls.
        limits: its limits.
        timeout_s: the time after which it is ended.
        idle_timeout_s: the time without reading or writing after which it is ended.
        grace_s: the time between TERM and KILL when a limit ends it.
        hold: whether it waits when the controlling reader is behind; otherwise old output is lost.
        alone: whether all children of this process are the program's.
    """

    program_id: str
    limits: LimitSet = field(default_factory=LimitSet)
    timeout_s: float | None = None
    idle_timeout_s: float | None = None
    grace_s: float = 2.0
    hold: bool = False
    alone: bool = False


@dataclass(slots=True)
class Ending:
    """How a program ended.

    Attributes:
        code: exit code; ``None`` where a signal ended it, or nobody knows.
        signal: number of that signal.
        limit: the limit that ended it.
        core_dumped: whether it left a core file.
        lost: whether its end could not be observed.
        duration_s: how long it ran.
        user_s, system_s, max_rss_bytes: what it used, with all children that it waited for (getrusage(2)). The
            kernel counts what the process held before it became the program: ``None`` where it never had more.
        pipes_still_held: whether a child that it left behind still holds its output open.
        output_cut: whether we stopped reading although such a child still wrote.
        survivors: process ids of its tree that could not be ended.
    """

    code: int | None = None
    signal: int | None = None
    limit: LimitName | None = None
    core_dumped: bool = False
    lost: bool = False
    duration_s: float = 0.0
    user_s: float = 0.0
    system_s: float = 0.0
    max_rss_bytes: int | None = None
    pipes_still_held: bool = False
    output_cut: bool = False
    survivors: list[int] = field(default_factory=list)
