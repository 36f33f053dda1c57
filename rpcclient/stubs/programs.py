# Generated from the service programs by `make stubs`. Do not edit: change that, and generate anew.

"""What the service 'programs' takes, answers and raises."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from rpcwire.errors import ServiceError

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"A time in seconds; where none is meant, it is left out."


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


LimitName = Literal["time", "idle", "memory", "cpu", "processes", "file", "output"]
"What can end a program: its time, its silence, and what it may take."


class ExitStatus(_Model):
    """How a program ended: with a code, or by a signal."""

    code: int | None = Field(description="its exit code; None where a signal ended it")
    signal: str | None = Field(default=None, description="the name of the signal that ended it, such as SIGKILL")
    limit: LimitName | None = Field(
        default=None,
        description="the limit that it reached, if it did: it was ended for that, or has just ended by itself, with "
        "whatever code",
    )
    core_dumped: bool = Field(default=False, description="whether it left a core file")
    lost: bool = Field(
        default=False, description="whether nobody saw its end: the machine was restarted, or its keeper was killed"
    )

    @property
    def timed_out(self) -> bool:
        """Whether it was ended because its time was over."""
        return self.limit in ("time", "idle")

    def __str__(self) -> str:
        if self.lost:
            return "nobody saw its end"
        how = f"exit code {self.code}" if self.signal is None else f"ended by {self.signal}"
        if self.timed_out:
            return f"{how}, timed out"
        return f"{how}, limit reached: {self.limit}" if self.limit is not None else how


class Usage(_Model):
    """What a program used, with all children that it waited for."""

    user_s: float = Field(description="processor time in its own code, in seconds")
    system_s: float = Field(description="processor time in the system, in seconds")
    max_rss_bytes: int | None = Field(
        description="the most memory that one of them held at one time; None where that was no more than the few MiB "
        "that the process held before it became the program, which the kernel counts as well"
    )


class Exit(_Model):
    """The end of a program."""

    id: str = Field(description="the program")
    status: ExitStatus = Field(description="how it ended")
    duration_s: float = Field(description="how long it ran, in seconds")
    usage: Usage | None = Field(default=None, description="what it used")
    pipes_still_held: bool = Field(
        default=False, description="whether a child that it left behind still holds its output open"
    )
    output_cut: bool = Field(
        default=False,
        description="whether such a child went on writing for so long that its output was read no further",
    )
    survivors: list[int] = Field(default_factory=list, description="process ids of its tree that could not be ended")


class ProgramNotFound(ServiceError):
    """No program has this id."""

    executed = "no"
    id: str


class ProgramRefused(ServiceError):
    """The server's policy does not allow it."""

    code = -32002
    executed = "no"
    field: str
    """The parameter that is refused, such as ``argv`` or ``env.LD_PRELOAD``."""
    rule: str
    """The name of the rule in the server's configuration."""


OnDisconnect = Literal["keep", "hangup", "kill"]
"What happens to a program when the connection that controls it ends: it goes on, also through a restart of the\nserver; it gets SIGHUP and the end of its input; it is ended with all that it has started."


class TerminalSize(_Model):
    """A pseudo-terminal."""

    rows: int = Field(default=24, ge=1, le=65535, description="its height in characters")
    columns: int = Field(default=80, ge=1, le=65535, description="its width in characters")
    term: str = Field(
        default="xterm-256color", pattern=r"^[A-Za-z0-9._+-]{1,64}$", description="its type, for the variable TERM"
    )


class ProgramInfo(_Model):
    """A program that was started."""

    id: str = Field(description="its name in calls")
    pid: int = Field(description="its process id")
    pid_start: int = Field(
        description="when the process started, in clock ticks since boot; with pid it is never used again"
    )
    started_at: float = Field(description="when it started, in seconds since 1970")
    owner: str = Field(description="the name of who started it")
    argv: list[str] = Field(description="what runs")
    cwd: str = Field(description="where it was started")
    user: str | None = Field(default=None, description="as whom it runs; None for the server's own user")
    labels: dict[str, str] = Field(default_factory=dict, description="its owner's notes")
    terminal: TerminalSize | None = Field(default=None, description="its pseudo-terminal, if it has one")
    on_disconnect: OnDisconnect = Field(description="what happens to it when its controller's connection ends")
    controlled: bool = Field(description="whether a connection controls it now")
    viewers: int = Field(description="how many read its output now")
    running: bool = Field(description="whether it still runs")
    status: ExitStatus | None = Field(default=None, description="how it ended; None while it runs")
    stdout_start: int = Field(default=0, description="the offset of the first byte of standard output that is kept")
    stdout_bytes: int = Field(default=0, description="bytes it has written to its standard output")
    stderr_start: int = Field(default=0, description="the offset of the first byte of standard error that is kept")
    stderr_bytes: int = Field(default=0, description="bytes it has written to its standard error")


ByteCount = Annotated[int, Field(ge=0, le=2**62)]
"A number of bytes."

StreamName = Literal["stdout", "stderr"]
"The two outputs of a program; a pseudo-terminal has the first only."


class OutputChunk(_Model):
    """A piece of a program's output."""

    stream: StreamName = Field(description="which output")
    offset: int = Field(description="where the piece begins, in bytes from the start of that output")
    data: bytes = Field(description="the piece")
    lost_bytes: int = Field(default=0, description="bytes before it that were no longer kept")
    cut: bool = Field(
        default=False,
        description="whether the output ends here, although more came; the piece is the last one, and empty",
    )


class ProgramOutput(_Model):
    """A piece of one program's output, where several are followed."""

    id: str = Field(description="the program")
    output: OutputChunk = Field(description="the piece")


EventKind = Literal["running", "started", "exited", "forgotten"]
"What happened to a program; ``running`` stands for those that were there before."


class ProgramEvent(_Model):
    """Something that happened to a program."""

    kind: EventKind = Field(description="what happened")
    program: ProgramInfo = Field(description="the program, as it was then")
    exit: Exit | None = Field(default=None, description="its end, where it has ended")


class NotController(ServiceError):
    """Another connection controls the program."""

    executed = "no"
    id: str


class StdinClosed(ServiceError):
    """The program takes no more input."""

    id: str


class NoTerminal(ServiceError):
    """The program has no pseudo-terminal."""

    executed = "no"
    id: str


EnvBase = Literal["clean", "login"]
"What an environment begins with: the variables that the server's configuration names, or what a login of the user\nwould set."

StderrTo = Literal["pipe", "merge", "discard"]
"Where standard error goes: into a stream of its own, into standard output, or nowhere."

Patience = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"A time in seconds that is not 0; where none is meant, it is left out."

Overflow = Literal["skip", "wait"]
"What happens when a program writes more than is kept and its controller has not read it yet: the oldest is dropped\nand counted as lost, or the program waits."


class Limits(_Model):
    """What a program may take of the machine; None for no limit of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_bytes: int | None = Field(default=None, gt=0, le=2**62, description="memory of its whole tree")
    cpu_s: float | None = Field(
        default=None, gt=0, le=1e9, allow_inf_nan=False, description="processor time of each process, in seconds"
    )
    cpus: float | None = Field(
        default=None, gt=0, le=1e6, allow_inf_nan=False, description="processors' worth that it may use at a time"
    )
    processes: int | None = Field(default=None, gt=0, le=2**31, description="processes in its tree")
    open_files: int | None = Field(default=None, gt=3, le=2**31, description="open descriptors of each process")
    file_bytes: int | None = Field(default=None, ge=0, le=2**62, description="size of a file that it writes")
    output_bytes: int | None = Field(default=None, ge=0, le=2**62, description="output of each stream, in all")
    output_bytes_per_s: int | None = Field(
        default=None, gt=0, le=2**62, description="output of each stream per second; what is faster is made to wait"
    )


class ProgramNotStarted(ServiceError):
    """The program could not be started."""

    executed = "no"
    field: str
    """What is in the way: ``argv``, ``cwd``, ``env``, ``user``, ``limits`` or ``pty``."""
    errno: str | None = None
    """The system's name of the error, such as ``ENOENT``."""


class RunEvent(_Model):
    """Something that a program does which is followed to its end: it writes, or it ends."""

    output: OutputChunk | None = Field(default=None, description="a piece of its output")
    exit: Exit | None = Field(default=None, description="its end; nothing comes after it")


class ProgramUnsuccessful(ServiceError):
    """A program that was to succeed has ended with another code than 0, by a signal, or at a limit."""

    executed = "yes"
    exit_code: int | None
    """Its exit code; None where a signal ended it."""
    signal: str | None
    """The name of the signal that ended it."""
    stdout: bytes = b""
    """The end of its standard output, where that would have been the answer."""
    stderr: bytes = b""
    """The end of its standard error, likewise."""


StdoutTo = Literal["pipe", "discard"]
"Where standard output goes: into a stream, or nowhere."


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
    output_cut: bool = Field(
        default=False,
        description="whether such a child went on writing for so long that its output was read no further",
    )
    survivors: list[int] = Field(default_factory=list, description="process ids of its tree that could not be ended")

    @property
    def code(self) -> int | None:
        """Its exit code; None where a signal ended it."""
        return self.status.code
