"""What the handle of a program remembers, so that it can go on over another connection when its own is lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from rpcclient.backoff import CALM_S
from rpcclient.stubs.programs import Exit, OutputChunk, ProgramInfo, StreamName
from rpcwire.errors import ConnectionClosed, ConnectionLost, NotSent, TransportError
from rpcwire.forking import Home, home

from .results import StreamNames, return_code
from .text import invalid

logger = logging.getLogger("rpcclient")

COME_BACK_S = 60.0
"""How long a handle tries to make another connection when its own is lost, in seconds; or ``reattach_s`` of its program
if that is longer."""
LOSSES_IN_A_ROW = 20
"""How many connections may be lost shortly one after the other, without any output arriving, before the handle gives
up. The connector makes pauses between them."""


def may_go_on(exc: TransportError, *, reconnects: bool) -> bool:
    """Return whether a call that failed like this may be tried again over another connection."""
    return reconnects and isinstance(exc, (ConnectionLost, NotSent)) and not isinstance(exc, ConnectionClosed)


def reconnect_error(exc: TransportError, seconds: float, last: NotSent) -> ConnectionLost:
    """Make the error for a connection that was lost and could not be replaced.

    Parameters:
        exc: how the connection was lost.
        seconds: how long another one was tried.
        last: the error of the last attempt.
    """
    cause = exc if last.__cause__ is None else last.__cause__
    return ConnectionLost(
        f"the connection was lost, and no other could be made within {seconds:.3g} s ({cause})",
        retry_after_ms=last.retry_after_ms,
    )


def check_places(offset: int, offsets: Mapping[StreamName, int] | None, tail_bytes: int | None) -> None:
    """Check the places where reading is to begin.

    Raises:
        InvalidParams: a place is negative, or belongs to an output that does not exist.
    """
    if offset < 0:
        raise invalid("offset", "count from the start of the output, or give tail_bytes")
    if tail_bytes is not None and tail_bytes < 0:
        raise invalid("tail_bytes", "how far before the end to begin cannot be negative")
    for name, place in (offsets or {}).items():
        if name not in StreamNames:
            raise invalid("offsets", f"there is no output {name!r}: there are {', '.join(StreamNames)}")
        if place < 0:
            raise invalid("offsets", f"{name}: count from the start of the output")


class Losses:
    """Counts the connections that were lost one after the other."""

    def __init__(self) -> None:
        self._count = 0
        self._last = 0.0

    def reset(self) -> None:
        """Start counting anew, since output has arrived."""
        self._count = 0

    def note_loss(self, exc: TransportError, *, reconnects: bool) -> None:
        """Count a lost connection, and decide whether to go on over another one.

        Raises:
            TransportError: ``exc`` itself: the handle is not to go on.
        """
        now = time.monotonic()
        self._count = self._count + 1 if now - self._last < CALM_S else 1
        self._last = now
        if not may_go_on(exc, reconnects=reconnects) or self._count >= LOSSES_IN_A_ROW:
            raise exc


class Places:
    """How far a program's output has been read, so that reading can go on over another connection.

    Parameters:
        stream: the only output to read; both if not given.
        offset: where to begin in each output, in bytes from its start.
        offsets: the same for single outputs, in place of ``offset``.
        tail_bytes: begin this many bytes before the end, in place of ``offset``.
        wait: whether to wait for output that is still to come.
        tail_streams: the outputs that begin at a tail, which may be in the middle of a character.

    Attributes:
        losses: counts the connections that were lost while reading.
    """

    def __init__(
        self,
        stream: StreamName | None = None,
        *,
        offset: int = 0,
        offsets: Mapping[StreamName, int] | None = None,
        tail_bytes: int | None = None,
        wait: bool = True,
        tail_streams: Collection[StreamName] = (),
    ) -> None:
        self.stream = stream
        self.tail_bytes = tail_bytes
        self.wait = wait
        self.tail_streams = set(tail_streams)
        self.losses = Losses()
        self._offset = offset
        self._offsets: dict[StreamName, int] = dict(offsets or {})

    @property
    def request(self) -> dict[str, Any]:
        """The parameters of ``output`` for the next piece."""
        return {
            "stream": self.stream,
            "offset": self._offset,
            "offsets": dict(self._offsets),
            "tail_bytes": self.tail_bytes,
            "wait": self.wait,
        }

    def resolve_tail(self, info: ProgramInfo) -> None:
        """Turn a tail into offsets. A reader that loses its connection before the first piece then begins at the same
        place again."""
        if self.tail_bytes is None:
            return
        for name in StreamNames:
            total, start = getattr(info, f"{name}_bytes"), getattr(info, f"{name}_start")
            place = max(total - self.tail_bytes, start)
            if name not in self._offsets:
                self._offsets[name] = place
                if place > 0:
                    self.tail_streams.add(name)
        self.tail_bytes = None

    def note_piece(self, chunk: OutputChunk) -> None:
        """Note that a piece has arrived."""
        self._offsets[chunk.stream] = chunk.offset + len(chunk.data)
        self.losses.reset()

    def offset(self, stream: StreamName) -> int:
        """Return where the next piece of an output begins, in bytes from its start."""
        return self._offsets.get(stream, self._offset)


@dataclass(slots=True)
class HandleState:
    """The state of a program's handle: what it knows of the program, and what it is to do.

    Attributes:
        info: the server's last answer about the program.
        exit: how the program ended, once the handle knows it.
        keeps_control: whether the handle has taken control, and takes it again over each new connection.
        ends_with_block: whether leaving the ``with`` block ends the program.
        grace_s: the time between TERM and KILL then, in seconds.
        reconnect_timeout_s: how long to try to make another connection when one is lost, in seconds.
        is_mid_line: whether the last input did not end with the end of a line.
        is_unread: whether the program waits for its reader by default, and nobody has begun to read.
        most_bytes: how much of each output to collect, from its beginning; ``None`` for all.
        on_connection_lost: called with a sentence when the connection is lost.
        is_away: whether ``on_connection_lost`` was called, and no other connection has been made since.
        home: the process in which the handle was made.
    """

    info: ProgramInfo
    exit: Exit | None = None
    keeps_control: bool = False
    ends_with_block: bool = False
    grace_s: float = 2.0
    reconnect_timeout_s: float = COME_BACK_S
    is_mid_line: bool = False
    is_unread: bool = False
    most_bytes: Mapping[StreamName, int] | None = None
    on_connection_lost: Callable[[str], object] = field(default=logger.info)
    is_away: bool = False
    home: Home = field(default_factory=home)

    @property
    def ends_here(self) -> bool:
        """Whether leaving the ``with`` block ends the program: not in a forked child, whose parent still uses it."""
        return self.ends_with_block and self.home is home()

    @property
    def takes_control(self) -> bool:
        """Whether the handle takes control again over each new connection. In a forked child it does not: the parent's
        program would end with the child."""
        return self.keeps_control and self.home is home()

    @property
    def returncode(self) -> int | None:
        """The program's return code, as far as the handle knows it without asking the server."""
        if self.exit is not None:
            return return_code(self.exit.status)
        return None if self.info.status is None else return_code(self.info.status)

    def note_end(self, end: Exit) -> Exit:
        """Note how the program has ended, and return it."""
        self.exit = end
        return end

    def note_written(self, piece: bytes) -> None:
        """Note that the program has received a piece of input. In a terminal, a return and the end-of-file character
        end a line, too."""
        self.is_mid_line = not piece.endswith((b"\n", b"\r", b"\x04"))

    def report_loss(self) -> None:
        """Tell, once, that the connection was lost."""
        if not self.is_away:
            self.is_away = True
            self.on_connection_lost(f"the connection was lost; trying again for up to {self.reconnect_timeout_s:g} s")

    def take_eof_count(self) -> int:
        """Return how many end-of-file characters end a terminal's input, and note that they are sent. In the middle of
        a line it takes two, as the first one only ends the line (termios(3), VEOF)."""
        ends_line_first = self.info.terminal is not None and self.is_mid_line
        self.is_mid_line = False
        return 2 if ends_line_first else 1
