"""What the programs of both clients share: results like those of ``subprocess``, options, and output that is put
together from pieces."""

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
from rpcwire.errors import DeadlineExceeded, RpcError

from .text import Coding, invalid
from .words import check_words

Argv = Sequence[str | os.PathLike[str]]
"""A program and its arguments."""
StreamNames: tuple[StreamName, ...] = ("stdout", "stderr")
STDIN_BYTES = 256 * 1024
"""Input is written in pieces of this size, each of which is answered when the program has taken it."""


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


# --- what is given ----------------------------------------------------------------------------------------------


def argv_of(argv: Argv) -> list[str]:
    """The program and its arguments for the wire.

    Raises:
        InvalidParams: it is one text: no shell is involved that could split it; or no list of texts and paths.
    """
    if isinstance(argv, (str, bytes)):
        raise invalid("argv", 'a list such as ["uname", "-a"] is needed, not one text; shlex.split() makes one')
    # Type checkers know that there is nothing else; those who use none do not.
    if not isinstance(argv, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise invalid("argv", f'a list such as ["uname", "-a"] is needed, not {type(argv).__name__}')
    return [_path("argv", word, item=number) for number, word in enumerate(argv)]


def _path(name: str, value: Any, *, item: int | None = None) -> str:
    try:
        return cast("str", os.fspath(value))
    except TypeError:
        said = f"text or a path is needed, not {type(value).__name__}: str() makes text"
        raise invalid(name, said, item=item) from None


def options_of(options: Mapping[str, Any], ours: Sequence[str] = ()) -> dict[str, Any]:
    """Options for the wire: paths as text, mappings as dictionaries.

    Parameters:
        options: as they were given.
        ours: those that are called as one of :mod:`subprocess` is.

    Raises:
        InvalidParams: one has the name that it has in :mod:`subprocess`, and another here; or cannot be used.
    """
    check_words(options, ours)
    if options.get("stderr", "pipe") not in get_args(StderrTo):
        raise invalid("stderr", 'it is "pipe", "merge" (into stdout) or "discard"')
    found = dict(options)
    if found.get("cwd") is not None:
        found["cwd"] = _path("cwd", found["cwd"])
    for name in ("env", "labels"):
        if found.get(name) is not None:
            try:
                found[name] = dict(found[name])
            except (TypeError, ValueError):
                raise invalid(name, 'names and values are needed, such as {"name": "value"}') from None
    return found


def run_options_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of ``run`` for the wire.

    Raises:
        InvalidParams: as of :func:`options_of`; or its output is to go where it cannot.
    """
    found = options_of(options, ours=("stdout",))
    if found.get("stdout", "pipe") not in get_args(StdoutTo):
        raise invalid("stdout", 'it is "pipe", to return it, or "discard"')
    if not found.pop("capture_output", True):
        found = {"stdout": "discard", "stderr": "discard", **found}
    return found


def most_of_each(given: dict[str, Any], server_bytes: int) -> dict[StreamName, int]:
    """How much of each output ``run`` returns of a program that it starts: as much as a server's ``run`` would.

    Parameters:
        given: options of ``run`` for the wire; those that ``start`` does not have are taken out.
        server_bytes: the server's limit.

    Raises:
        InvalidParams: less than nothing is wanted.
    """
    wanted = given.pop("output_bytes", None)
    if wanted is not None and wanted < 0:
        raise invalid("output_bytes", "it cannot be negative")
    most = server_bytes if wanted is None else min(wanted, server_bytes)
    return {"stdout": 0 if given.pop("stdout", "pipe") == "discard" else most, "stderr": most}


def start_options_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of ``start`` for the wire. A program waits for its reader unless it is to be kept: then nobody may be
    there to read, and it must go on.

    Raises:
        InvalidParams: as of :func:`options_of`; or a terminal without input is wanted.
    """
    found = options_of(options, ours=("stdin",))
    if not isinstance(found.get("stdin", True), bool):
        raise invalid("stdin", "it is True, for one that can be written to, or False, for an empty one")
    if found.get("terminal") is not None and not found.get("stdin", True):
        raise invalid("stdin", "a terminal can always be written to: leave out stdin=False, or terminal")
    found.setdefault("overflow", "skip" if found.get("on_disconnect") == "keep" else "wait")
    return found


def signal_name(signal: str | int) -> str:
    """A signal for the wire.

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
    """An exit status as :mod:`subprocess` has it: the code, or minus the number of the signal; ``None`` where nobody
    saw the end."""
    if status.signal is None:
        return status.code
    name = status.signal
    number = signals.Signals[name].value if name in signals.Signals.__members__ else int(name.removeprefix("SIG"))
    return -number


def cut_by_limit(status: ExitStatus) -> bool:
    """Whether its output ends where a limit was reached, perhaps within a character."""
    return status.limit == "output"


@dataclass(frozen=True)
class CompletedProgram(Generic[AnyStr]):
    """A program that was run to its end.

    Attributes:
        argv: what was run.
        status: how it ended.
        stdout, stderr: what it wrote, as bytes or text. Standard error is empty where it was merged or discarded.
        stdout_lost_bytes, stderr_lost_bytes: bytes beyond the limit, which are not there.
        duration_s: how long it ran, in seconds.
        usage: the processor time and memory that it used; ``None`` where nobody saw its end.
        pipes_still_held: whether a child that it left behind still holds its output open.
        output_cut: whether such a child went on writing for so long that its output was read no further: what is here
            is not all.
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
        """As in :mod:`subprocess`: what was run."""
        return self.argv

    @property
    def code(self) -> int | None:
        """Its exit code; ``None`` where a signal ended it."""
        return self.status.code

    @property
    def signal(self) -> str | None:
        """The name of the signal that ended it, such as ``SIGKILL``; ``None`` where it ended by itself."""
        return self.status.signal

    @property
    def returncode(self) -> int | None:
        """As in :mod:`subprocess`: its exit code, or minus the number of the signal that ended it."""
        return return_code(self.status)

    @property
    def truncated(self) -> bool:
        """Whether it, or what it has left behind, wrote more than is there."""
        return bool(self.stdout_lost_bytes or self.stderr_lost_bytes or self.output_cut)

    @property
    def timed_out(self) -> bool:
        """Whether it was ended because its time was over."""
        return self.status.timed_out

    def check_returncode(self) -> None:
        """See that it went well.

        Raises:
            ProgramFailed: its exit code is not 0, a signal or a limit ended it, or its output was cut while it still
                came.
        """
        if self.status.code != 0 or self.status.limit is not None or self.output_cut:
            raise ProgramFailed(self)

    @classmethod
    def of(cls, done: Completed, coding: Coding[AnyStr]) -> CompletedProgram[AnyStr]:
        """What the server answered, with its output as bytes or text.

        Raises:
            UnicodeDecodeError: the output is no text in this encoding.
        """
        limited = cut_by_limit(done.status) or done.output_cut
        whole: dict[str, Any] = vars(done) | {
            "stdout": coding.decode(done.stdout, cut=limited or done.stdout_lost_bytes > 0),
            "stderr": coding.decode(done.stderr, cut=limited or done.stderr_lost_bytes > 0),
        }
        return cls(**whole)


def still_runs(info: ProgramInfo, timeout_s: float | None) -> DeadlineExceeded:
    """The error for a wait that was too short."""
    return DeadlineExceeded(f"the program {info.id} still runs after {timeout_s:g} s", executed="yes")


class ProgramFailed(RpcError):
    """A program did not end with exit code 0, or its output was cut, and the caller wanted that checked.

    Attributes:
        completed: how it ended, and what it wrote.
    """

    executed = "yes"

    def __init__(self, completed: CompletedProgram[Any]) -> None:
        self.completed = completed
        errors = completed.stderr or completed.stdout
        text = errors.decode("utf-8", "replace") if isinstance(errors, bytes) else str(errors)
        last = text.strip().rpartition("\n")[2][:200]
        said = f": {last}" if last else ""
        if completed.output_cut and completed.status.code == 0 and completed.status.limit is None:
            said = f", but {WRITES_ON}"
        super().__init__(f"{completed.argv[0]}: {completed.status}{said}")

    @property
    def returncode(self) -> int | None:
        """As of :attr:`CompletedProgram.returncode`."""
        return self.completed.returncode

    @property
    def stdout(self) -> Any:
        """What it wrote to its standard output."""
        return self.completed.stdout

    @property
    def stderr(self) -> Any:
        """What it wrote to its standard error."""
        return self.completed.stderr


WRITES_ON = (
    "what it left behind went on writing, and its output was read no further: redirect the output of what is to run on"
)
"""What is said where output is cut."""


class OutputLost(RpcError):
    """A part of a program's output is no longer kept: it wrote more than that before it was read. The next piece is
    what comes after the gap.

    Attributes:
        stream: which output.
        offset: where the gap begins, in bytes from the start of that output.
        lost_bytes: how long it is.
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
    """A program has ended, and what it left behind went on writing for so long that its output was read no further.
    Nothing follows, and nobody knows how much came after this: ``lost_bytes`` is 0.

    Attributes:
        stream: which output.
        offset: where it was cut, in bytes from its start.
    """

    def __init__(self, stream: StreamName, offset: int) -> None:
        super().__init__(stream, offset, 0, f"{stream} was cut at {offset} bytes: {WRITES_ON}")
