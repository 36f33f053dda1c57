"""What the programs service takes and gives."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

StreamName = Literal["stdout", "stderr"]
"""The two outputs of a program."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Usage(_Model):
    """What a program used, with all children that it waited for."""

    user_s: float = Field(description="processor time in its own code, in seconds")
    system_s: float = Field(description="processor time in the system, in seconds")
    max_rss_bytes: int = Field(description="the most memory it held at one time")


class ExitStatus(_Model):
    """How a program ended: with a code, or by a signal."""

    code: int | None = Field(description="its exit code; None where a signal ended it")
    signal: str | None = Field(default=None, description="the name of the signal that ended it, such as SIGKILL")
    timed_out: bool = Field(default=False, description="whether it was ended because its time was over")
    core_dumped: bool = Field(default=False, description="whether it left a core file")

    def __str__(self) -> str:
        how = f"exit code {self.code}" if self.signal is None else f"ended by {self.signal}"
        return f"{how}, timed out" if self.timed_out else how


class Exit(_Model):
    """The end of a program."""

    id: str = Field(description="the program")
    status: ExitStatus = Field(description="how it ended")
    duration_s: float = Field(description="how long it ran, in seconds")
    usage: Usage | None = Field(default=None, description="what it used")
    pipes_still_held: bool = Field(
        default=False, description="whether a child that it left behind still holds its output open"
    )
    survivors: list[int] = Field(default_factory=list, description="process ids of its tree that could not be ended")


class Completed(_Model):
    """A program that was run to its end."""

    argv: list[str] = Field(description="what was run")
    status: ExitStatus = Field(description="how it ended")
    stdout: bytes = Field(description="its standard output")
    stderr: bytes = Field(description="its standard error; empty where it was merged into the output")
    stdout_lost_bytes: int = Field(default=0, description="bytes of output beyond the limit, which are not in stdout")
    stderr_lost_bytes: int = Field(default=0, description="bytes of errors beyond the limit, which are not in stderr")
    duration_s: float = Field(description="how long it ran, in seconds")
    usage: Usage | None = Field(default=None, description="what it used")
    pipes_still_held: bool = Field(
        default=False, description="whether a child that it left behind still holds its output open"
    )

    @property
    def code(self) -> int | None:
        """Its exit code; None where a signal ended it."""
        return self.status.code


class ProgramInfo(_Model):
    """A program that was started."""

    id: str = Field(description="its name in calls")
    pid: int = Field(description="its process id")
    started_at: float = Field(description="when it started, in seconds since 1970")
    argv: list[str] = Field(description="what runs")
    cwd: str = Field(description="where it was started")
    running: bool = Field(description="whether it still runs")
    status: ExitStatus | None = Field(default=None, description="how it ended; None while it runs")
    stdout_bytes: int = Field(default=0, description="bytes it has written to its standard output")
    stderr_bytes: int = Field(default=0, description="bytes it has written to its standard error")


class OutputChunk(_Model):
    """A piece of a program's output."""

    stream: StreamName = Field(description="which output")
    offset: int = Field(description="where the piece begins, in bytes from the start of that output")
    data: bytes = Field(description="the piece")
    lost_bytes: int = Field(default=0, description="bytes before it that were no longer kept")
