"""The options and results of programs, like those of ``subprocess``, for both clients."""

from __future__ import annotations

import os
import signal as signals
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, AnyStr, Generic, TypedDict, cast, get_args

from rpcclient.stubs.programs import (
    Completed,
    EnvBase,
    ExitStatus,
    Limits,
    OnDisconnect,
    Overflow,
    ProgramInfo,
    StderrTo,
    StdoutTo,
    StreamName,
    TerminalSize,
    Usage,
)
from rpcwire.errors import DeadlineExceeded, RemoteProtocolError, RpcError

from .text import Coding, invalid
from .words import check_names

Argv = Sequence[str | os.PathLike[str]]
"""A program and its arguments."""
StreamNames: tuple[StreamName, ...] = ("stdout", "stderr")
STDIN_BYTES = 256 * 1024
"""The size of the pieces in which input is written, in bytes. The server answers each piece when the program has read
it."""


class CommonOptions(TypedDict, total=False):
    """What :meth:`Programs.run` and :meth:`Programs.start` take besides their own; see there."""

    timeout_s: float | None
    idle_timeout_s: float | None
    grace_s: float | None
    cwd: str | os.PathLike[str] | None
    env: Mapping[str, str] | None
    env_base: EnvBase
    stderr: StderrTo
    user: str | None
    limits: Limits | None
    labels: Mapping[str, str] | None


class RunOptions(CommonOptions, total=False):
    """What :meth:`Programs.run` takes besides its own; see there."""

    capture_output: bool
    stdout: StdoutTo
    output_bytes: int | None


class StartOptions(CommonOptions, total=False):
    """What :meth:`Programs.start` takes besides its own; see there."""

    stdin: bool
    terminal: TerminalSize | None
    on_disconnect: OnDisconnect
    reattach_s: float
    overflow: Overflow
    retain_bytes: int | None
    retain_s: float | None


# --- options ----------------------------------------------------------------------------------------------------


def argv_of(argv: Argv) -> list[str]:
    """Return the program and its arguments for the wire.

    Raises:
        InvalidParams: ``argv`` is one text, which no shell splits here; or it is no list of texts and paths.
    """
    if isinstance(argv, (str, bytes)):
        raise invalid("argv", 'a list such as ["uname", "-a"] is needed, not one text; shlex.split() makes one')
    # A type checker refuses anything else, but not everybody uses one.
    if not isinstance(argv, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise invalid("argv", f'a list such as ["uname", "-a"] is needed, not {type(argv).__name__}')
    return [_path("argv", word, item=number) for number, word in enumerate(argv)]


def _path(name: str, value: Any, *, item: int | None = None) -> str:
    try:
        return cast("str", os.fspath(value))
    except TypeError:
        reason = f"text or a path is needed, not {type(value).__name__}: str() makes text"
        raise invalid(name, reason, item=item) from None


def options_of(options: Mapping[str, Any], ours: Sequence[str] = ()) -> dict[str, Any]:
    """Return options for the wire: paths as text, mappings as dictionaries.

    Parameters:
        options: the options as the caller gave them.
        ours: the names of :mod:`subprocess` that are names of options here, too.

    Raises:
        InvalidParams: an option has a name that only :mod:`subprocess` knows, or a value that cannot be used.
    """
    check_names(options, ours)
    if options.get("stderr", "pipe") not in get_args(StderrTo):
        raise invalid("stderr", 'it is "pipe", "merge" (into stdout) or "discard"')
    wire_options = dict(options)
    if wire_options.get("cwd") is not None:
        wire_options["cwd"] = _path("cwd", wire_options["cwd"])
    for name in ("env", "labels"):
        if wire_options.get(name) is not None:
            try:
                wire_options[name] = dict(wire_options[name])
            except (TypeError, ValueError):
                raise invalid(name, 'names and values are needed, such as {"name": "value"}') from None
    return wire_options


def run_options_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of ``run`` for the wire.

    Raises:
        InvalidParams: as of :func:`options_of`; or ``stdout`` has no value that ``run`` knows.
    """
    wire_options = options_of(options, ours=("stdout",))
    if wire_options.get("stdout", "pipe") not in get_args(StdoutTo):
        raise invalid("stdout", 'it is "pipe", to return it, or "discard"')
    if not wire_options.pop("capture_output", True):
        wire_options = {"stdout": "discard", "stderr": "discard", **wire_options}
    return wire_options


def output_limits(options: dict[str, Any], server_bytes: int) -> dict[StreamName, int]:
    """Return how much of each output to collect, in bytes, where ``run`` is done by ``start``: as much as the server's
    ``run`` would return.

    Parameters:
        options: the options of ``run`` for the wire. Those that ``start`` does not have are removed.
        server_bytes: the server's limit, in bytes.

    Raises:
        InvalidParams: ``output_bytes`` is negative.
    """
    asked_bytes = options.pop("output_bytes", None)
    if asked_bytes is not None and asked_bytes < 0:
        raise invalid("output_bytes", "it cannot be negative")
    limit_bytes = server_bytes if asked_bytes is None else min(asked_bytes, server_bytes)
    return {"stdout": 0 if options.pop("stdout", "pipe") == "discard" else limit_bytes, "stderr": limit_bytes}


def start_options_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of ``start`` for the wire. By default a program waits for its reader. One that is to outlive
    the connection does not: it must go on even if nobody reads.

    Raises:
        InvalidParams: as of :func:`options_of`; or a terminal without input is asked for.
    """
    wire_options = options_of(options, ours=("stdin",))
    if not isinstance(wire_options.get("stdin", True), bool):
        raise invalid("stdin", "it is True, for one that can be written to, or False, for an empty one")
    if wire_options.get("terminal") is not None and not wire_options.get("stdin", True):
        raise invalid("stdin", "a terminal can always be written to: leave out stdin=False, or terminal")
    wire_options.setdefault("overflow", "skip" if wire_options.get("on_disconnect") == "keep" else "wait")
    return wire_options


def signal_name(signal: str | int) -> str:
    """Return the name of a signal for the wire.

    Parameters:
        signal: its name (``INT`` or ``SIGINT``, in any case), its number on this machine (also as text), or a member of
            :class:`signal.Signals`.

    Raises:
        InvalidParams: there is no signal of this number.
    """
    if isinstance(signal, str) and not signal.isdecimal():
        return signal.upper()
    try:
        return signals.Signals(int(signal)).name
    except ValueError:
        raise invalid("signal", f"there is no signal {signal}") from None


# --- how it ended -----------------------------------------------------------------------------------------------


def return_code(status: ExitStatus) -> int | None:
    """Return an exit status as :mod:`subprocess` does: the exit code, or the negative number of the signal. ``None`` if
    the server did not see the end."""
    if status.signal is None:
        return status.code
    name = status.signal
    number = signals.Signals[name].value if name in signals.Signals.__members__ else int(name.removeprefix("SIG"))
    return -number


def is_cut_by_limit(status: ExitStatus) -> bool:
    """Return whether the output ends at a limit, perhaps in the middle of a character."""
    return status.limit == "output"


@dataclass(frozen=True)
class CompletedProgram(Generic[AnyStr]):
    """A program that was run to its end.

    Attributes:
        argv: the program and its arguments.
        status: how it ended.
        stdout, stderr: its output, as bytes or text. Standard error is empty if it was merged or discarded.
        stdout_lost_bytes, stderr_lost_bytes: how many bytes of output are missing, as they were beyond the limit.
        duration_s: how long it ran, in seconds.
        usage: the processor time and memory that it used; ``None`` if the server did not see its end.
        pipes_still_held: whether a child that it left behind still holds its output open.
        output_cut: whether such a child went on writing for so long that the server stopped reading: the output is
            incomplete.
        survivors: process ids of its tree that could not be ended.
    """

    argv: list[str]
    status: ExitStatus
    stdout: AnyStr
    stderr: AnyStr
    stdout_lost_bytes: int = 0
    stderr_lost_bytes: int = 0
    duration_s: float = 0.0
    usage: Usage | None = None
    pipes_still_held: bool = False
    output_cut: bool = False
    survivors: list[int] = field(default_factory=list)

    @property
    def args(self) -> list[str]:
        """The program and its arguments, under the name of :mod:`subprocess`."""
        return self.argv

    @property
    def code(self) -> int | None:
        """Its exit code; ``None`` if a signal ended it."""
        return self.status.code

    @property
    def signal(self) -> str | None:
        """The name of the signal that ended it, such as ``SIGKILL``; ``None`` if it ended by itself."""
        return self.status.signal

    @property
    def returncode(self) -> int | None:
        """Its exit code, or the negative number of the signal that ended it, as in :mod:`subprocess`."""
        return return_code(self.status)

    @property
    def truncated(self) -> bool:
        """Whether output is missing, of the program itself or of what it left behind."""
        return bool(self.stdout_lost_bytes or self.stderr_lost_bytes or self.output_cut)

    @property
    def timed_out(self) -> bool:
        """Whether it was ended because it exceeded its time limit."""
        return self.status.timed_out

    def brief(self) -> dict[str, Any]:
        """Return what of it people want to see in a table of many nodes."""
        return {"status": str(self.status), "stdout": self.stdout, "stderr": self.stderr}

    def check_returncode(self) -> None:
        """Check that the program succeeded.

        Raises:
            ProgramFailed: its exit code is not 0, a signal or a limit ended it, or the server stopped reading its
                output.
        """
        if self.status.code != 0 or self.status.limit is not None or self.output_cut:
            raise ProgramFailed(self)

    @classmethod
    def of(cls, done: Completed, coding: Coding[AnyStr]) -> CompletedProgram[AnyStr]:
        """Make the result of the server's answer, with the output as bytes or text.

        Raises:
            UnicodeDecodeError: the output is no text in this encoding.
        """
        is_limited = is_cut_by_limit(done.status) or done.output_cut
        whole: dict[str, Any] = vars(done) | {
            "stdout": coding.decode(done.stdout, cut=is_limited or done.stdout_lost_bytes > 0),
            "stderr": coding.decode(done.stderr, cut=is_limited or done.stderr_lost_bytes > 0),
        }
        return cls(**whole)


def complete(done: Completed, coding: Coding[AnyStr]) -> CompletedProgram[AnyStr]:
    """Make the result of one node of a group, where no error but an RpcError has a place.

    Parameters:
        done: the node's answer.
        coding: how its output becomes text.

    Raises:
        RemoteProtocolError: its output is no text in this encoding.
    """
    try:
        return CompletedProgram.of(done, coding)
    except UnicodeDecodeError as exc:
        raise RemoteProtocolError(f"the output of {done.argv[0]} is no text: {exc}", executed="yes") from exc


def still_runs_error(info: ProgramInfo, timeout_s: float | None) -> DeadlineExceeded:
    """Make the error for a wait whose time is over before the program has ended."""
    return DeadlineExceeded(f"the program {info.id} still runs after {timeout_s:g} s", executed="yes")


class ProgramFailed(RpcError):
    """A program did not end with exit code 0, or its output was cut, and the caller asked for this error.

    Attributes:
        completed: how the program ended, and its output.
    """

    executed = "yes"

    def __init__(self, completed: CompletedProgram[Any]) -> None:
        self.completed = completed
        errors = completed.stderr or completed.stdout
        text = errors.decode("utf-8", "replace") if isinstance(errors, bytes) else str(errors)
        last = text.strip().rpartition("\n")[2][:200]
        reason = f": {last}" if last else ""
        if completed.output_cut and completed.status.code == 0 and completed.status.limit is None:
            reason = f", but {CUT_TEXT}"
        super().__init__(f"{completed.argv[0]}: {completed.status}{reason}")

    @property
    def returncode(self) -> int | None:
        """See :attr:`CompletedProgram.returncode`."""
        return self.completed.returncode

    @property
    def stdout(self) -> Any:
        """The program's standard output."""
        return self.completed.stdout

    @property
    def stderr(self) -> Any:
        """The program's standard error."""
        return self.completed.stderr


CUT_TEXT = (
    "what it left behind went on writing, and its output was read no further: redirect the output of what is to run on"
)
"""The error text for output that was cut."""


class OutputLost(RpcError):
    """The server no longer keeps a part of a program's output: the program wrote more than is kept before anybody read
    it. The next piece is what comes after this gap.

    Attributes:
        stream: the output.
        offset: where the gap begins, in bytes from the start of the output.
        lost_bytes: how long the gap is.
    """

    executed = "yes"

    def __init__(self, stream: StreamName, offset: int, lost_bytes: int, text: str = "") -> None:
        self.stream, self.offset, self.lost_bytes = stream, offset, lost_bytes
        super().__init__(
            text
            or f"{lost_bytes} bytes of {stream} from {offset} on are no longer kept: read on for what follows, "
            'and start the program with more retain_bytes, or with overflow="wait"'
        )


class OutputCut(OutputLost):
    """A program has ended, but what it left behind went on writing for so long that the server stopped reading.
    Nothing follows. It is not known how much was written after this, so ``lost_bytes`` is 0.

    Attributes:
        stream: the output.
        offset: where the output was cut, in bytes from its start.
    """

    def __init__(self, stream: StreamName, offset: int) -> None:
        super().__init__(stream, offset, 0, f"{stream} was cut at {offset} bytes: {CUT_TEXT}")
