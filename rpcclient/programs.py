"""What the programs of both clients share: results like those of ``subprocess``, options, and output that is put
together from pieces."""

from __future__ import annotations

import codecs
import os
import signal as signals
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, AnyStr, Generic, TypedDict, cast

from rpcclient.stubs.programs import (
    Completed,
    EnvBase,
    Exit,
    ExitStatus,
    Limits,
    OnDisconnect,
    OutputChunk,
    Overflow,
    ProgramInfo,
    StderrTo,
    StreamName,
    TerminalSize,
    Usage,
)
from rpcwire.errors import (
    ConnectionClosed,
    ConnectionLost,
    DeadlineExceeded,
    InvalidParams,
    NotSent,
    RpcError,
    TransportError,
)

Argv = Sequence[str | os.PathLike[str]]
"""A program and its arguments."""
StreamNames: tuple[StreamName, ...] = ("stdout", "stderr")
LOSSES_IN_A_ROW = 20
"""How many connections may be lost one after the other, without anything arriving, before reading gives up."""
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
        InvalidParams: it is one text: no shell is involved that could split it.
    """
    if isinstance(argv, (str, bytes)):
        raise invalid("argv", 'a list such as ["uname", "-a"] is needed, not one text; shlex.split() makes one')
    return [os.fspath(word) for word in argv]


def options_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options for the wire: paths as text, mappings as dictionaries."""
    found = dict(options)
    if found.get("cwd") is not None:
        found["cwd"] = os.fspath(found["cwd"])
    for name in ("env", "labels"):
        if found.get(name) is not None:
            found[name] = dict(found[name])
    return found


def signal_name(signal: str | int) -> str:
    """A signal for the wire.

    Parameters:
        signal: its name (``INT`` or ``SIGINT``), its number on this machine (also as text), or a member of
            :class:`signal.Signals`.

    Raises:
        InvalidParams: there is no signal of this number.
    """
    if isinstance(signal, str) and not signal.isdecimal():
        return signal
    try:
        return signals.Signals(int(signal)).name
    except ValueError:
        raise invalid("signal", f"there is no signal {signal}") from None


def invalid(name: str, text: str) -> InvalidParams:
    """The error for a parameter that this side cannot use."""
    error = {"loc": [name], "msg": text, "type": "value_error"}
    return InvalidParams(f"{name}: {text}", errors=[error], executed="no")


@dataclass(frozen=True)
class Coding(Generic[AnyStr]):
    """Bytes, or text in some encoding.

    Attributes:
        encoding: ``None`` for bytes.
        errors: what to do with bytes that are no text, as of :meth:`bytes.decode`.
    """

    encoding: str | None = None
    errors: str = "strict"

    @staticmethod
    def of(text: bool, encoding: str | None, errors: str | None) -> Coding[Any]:
        """What ``text``, ``encoding`` and ``errors`` mean together, as in :mod:`subprocess`: each asks for text.

        Raises:
            InvalidParams: there is no such encoding.
        """
        if not text and encoding is None and errors is None:
            return Coding()
        name = encoding or "utf-8"
        try:
            codecs.lookup(name)
        except LookupError:
            raise invalid("encoding", f"there is no encoding {name!r}") from None
        return Coding(name, errors or "strict")

    def decode(self, data: bytes) -> AnyStr:
        """Output as it is wanted."""
        return cast("AnyStr", data if self.encoding is None else data.decode(self.encoding, self.errors))

    def encode(self, data: AnyStr | str | bytes) -> bytes:
        """Input for the program.

        Raises:
            InvalidParams: it is text, and no encoding was given.
        """
        if not isinstance(data, str):
            return bytes(data)
        if self.encoding is None:
            raise invalid("data", "it is text, and the program's input is bytes: encode it, or give text=True")
        return data.encode(self.encoding, self.errors)


# --- how it ended -----------------------------------------------------------------------------------------------


def return_code(status: ExitStatus) -> int | None:
    """An exit status as :mod:`subprocess` has it: the code, or minus the number of the signal; ``None`` where nobody
    saw the end."""
    if status.signal is None:
        return status.code
    name = status.signal
    number = signals.Signals[name].value if name in signals.Signals.__members__ else int(name.removeprefix("SIG"))
    return -number


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
    survivors: list[int] = field(default_factory=list)

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
        """Whether it wrote more than is there."""
        return bool(self.stdout_lost_bytes or self.stderr_lost_bytes)

    @property
    def timed_out(self) -> bool:
        """Whether it was ended because its time was over."""
        return self.status.timed_out

    def check_returncode(self) -> None:
        """See that it went well.

        Raises:
            ProgramFailed: its exit code is not 0, or a signal ended it.
        """
        if self.status.code != 0:
            raise ProgramFailed(self)

    @classmethod
    def of(cls, done: Completed, coding: Coding[AnyStr]) -> CompletedProgram[AnyStr]:
        """What the server answered, with its output as bytes or text.

        Raises:
            UnicodeDecodeError: the output is no text in this encoding.
        """
        whole: dict[str, Any] = vars(done) | {
            "stdout": coding.decode(done.stdout),
            "stderr": coding.decode(done.stderr),
        }
        return cls(**whole)


class Collected:
    """All output of a program, collected until its end."""

    def __init__(self) -> None:
        self._found: dict[StreamName, list[bytes]] = {name: [] for name in StreamNames}
        self._lost: dict[StreamName, int] = dict.fromkeys(StreamNames, 0)

    def put(self, chunk: OutputChunk) -> None:
        """A piece has arrived."""
        self._found[chunk.stream].append(chunk.data)
        self._lost[chunk.stream] += chunk.lost_bytes

    def completed(self, argv: list[str], ended: Exit, coding: Coding[AnyStr]) -> CompletedProgram[AnyStr]:
        """The whole, when the program has ended.

        Raises:
            UnicodeDecodeError: the output is no text in this encoding.
        """
        return CompletedProgram(
            argv=argv,
            status=ended.status,
            stdout=coding.decode(b"".join(self._found["stdout"])),
            stderr=coding.decode(b"".join(self._found["stderr"])),
            stdout_lost_bytes=self._lost["stdout"],
            stderr_lost_bytes=self._lost["stderr"],
            duration_s=ended.duration_s,
            usage=ended.usage,
            pipes_still_held=ended.pipes_still_held,
            survivors=ended.survivors,
        )


def still_runs(info: ProgramInfo, timeout_s: float | None) -> DeadlineExceeded:
    """The error for a wait that was too short."""
    return DeadlineExceeded(f"the program {info.id} still runs after {timeout_s:g} s", executed="yes")


class ProgramFailed(RpcError):
    """A program did not end with exit code 0, and the caller wanted that checked.

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


class OutputLost(RpcError):
    """A part of a program's output is no longer kept: it wrote more than that before it was read. The next piece is
    what comes after the gap.

    Attributes:
        stream: which output.
        offset: where the gap begins, in bytes from the start of that output.
        lost_bytes: how long it is.
    """

    executed = "yes"

    def __init__(self, stream: StreamName, offset: int, lost_bytes: int) -> None:
        self.stream, self.offset, self.lost_bytes = stream, offset, lost_bytes
        super().__init__(
            f"{lost_bytes} bytes of {stream} from {offset} on are no longer kept: read on for what follows, "
            'and start the program with more retain_bytes, or with overflow="wait"'
        )


# --- coming back ------------------------------------------------------------------------------------------------


class Places:
    """How far the reading of a program's output has come, so that it can go on over another connection.

    Parameters:
        stream: the only output that is read; both where not given.
        offset: where to begin.
        offsets: the same for each output.
        tail_bytes: begin so many bytes before the end in place of ``offset``.
        wait: go on with what is still to come.
    """

    def __init__(
        self,
        stream: StreamName | None = None,
        *,
        offset: int = 0,
        offsets: Mapping[StreamName, int] | None = None,
        tail_bytes: int | None = None,
        wait: bool = True,
    ) -> None:
        self.stream = stream
        self.tail_bytes = tail_bytes
        self.wait = wait
        self._offset = offset
        self._offsets: dict[StreamName, int] = dict(offsets or {})
        self._losses = 0

    @property
    def request(self) -> dict[str, Any]:
        """The parameters of ``output`` for what comes next."""
        return {
            "stream": self.stream,
            "offset": self._offset,
            "offsets": dict(self._offsets),
            "tail_bytes": self.tail_bytes,
            "wait": self.wait,
        }

    def fix(self, info: ProgramInfo) -> None:
        """Make a tail a place, so that a reader that comes back before the first piece begins where it would have."""
        if self.tail_bytes is not None:
            for name in StreamNames:
                total, start = getattr(info, f"{name}_bytes"), getattr(info, f"{name}_start")
                self._offsets.setdefault(name, max(total - self.tail_bytes, start))
            self.tail_bytes = None

    def got(self, chunk: OutputChunk) -> None:
        """A piece has arrived."""
        self._offsets[chunk.stream] = chunk.offset + len(chunk.data)
        self._losses = 0

    def offset(self, stream: StreamName) -> int:
        """Where the next piece of an output begins."""
        return self._offsets.get(stream, self._offset)

    def lost(self, exc: TransportError, *, reconnects: bool) -> None:
        """The connection was lost: see whether to go on over another one.

        Raises:
            TransportError: no.
        """
        self._losses += 1
        if not may_go_on(exc, reconnects=reconnects) or self._losses >= LOSSES_IN_A_ROW:
            raise exc


def may_go_on(exc: TransportError, *, reconnects: bool) -> bool:
    """Whether what failed like this may be tried over another connection."""
    return reconnects and isinstance(exc, (ConnectionLost, NotSent)) and not isinstance(exc, ConnectionClosed)


@dataclass(slots=True)
class Standing:
    """What a handle knows of its program.

    Attributes:
        info: what the server said last.
        exit: its end, where that was seen.
        controls: whether the handle took control, and means to keep it.
        ends_with_block: whether leaving the ``with`` block ends it.
        grace_s: time between TERM and KILL then, in seconds.
    """

    info: ProgramInfo
    exit: Exit | None = None
    controls: bool = False
    ends_with_block: bool = False
    grace_s: float = 2.0

    @property
    def returncode(self) -> int | None:
        """Its return code, as far as is known without asking."""
        if self.exit is not None:
            return return_code(self.exit.status)
        return None if self.info.status is None else return_code(self.info.status)

    def saw(self, ended: Exit) -> Exit:
        """Its end was told."""
        self.exit = ended
        return ended
