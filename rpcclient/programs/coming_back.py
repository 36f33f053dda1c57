"""How the handle of a program comes back after its connection was lost."""

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
"""How long a handle tries to make another connection when its own was lost, in seconds; ``reattach_s`` of its program
where that is longer."""
LOSSES_IN_A_ROW = 20
"""How many connections may be lost shortly one after the other, without anything arriving, before it gives up. The
pauses between them are the connector's."""


def may_go_on(exc: TransportError, *, reconnects: bool) -> bool:
    """Whether what failed like this may be tried over another connection."""
    return reconnects and isinstance(exc, (ConnectionLost, NotSent)) and not isinstance(exc, ConnectionClosed)


def gave_up(exc: TransportError, seconds: float, last: NotSent) -> ConnectionLost:
    """The error where no other connection could be made.

    Parameters:
        exc: how the last one was lost.
        seconds: how long it was tried.
        last: what came of it.
    """
    why = exc if last.__cause__ is None else last.__cause__
    return ConnectionLost(
        f"the connection was lost, and no other could be made within {seconds:.3g} s ({why})",
        retry_after_ms=last.retry_after_ms,
    )


def check_places(offset: int, offsets: Mapping[StreamName, int] | None, tail_bytes: int | None) -> None:
    """See that reading can begin there.

    Raises:
        InvalidParams: a place is negative, or of no output.
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
    """Counts connections that were lost one after the other."""

    def __init__(self) -> None:
        self._count = 0
        self._last = 0.0

    def none(self) -> None:
        """Something has arrived."""
        self._count = 0

    def another(self, exc: TransportError, *, reconnects: bool) -> None:
        """A connection was lost: see whether to go on over another one.

        Raises:
            TransportError: no.
        """
        now = time.monotonic()
        self._count = self._count + 1 if now - self._last < CALM_S else 1
        self._last = now
        if not may_go_on(exc, reconnects=reconnects) or self._count >= LOSSES_IN_A_ROW:
            raise exc


class Places:
    """How far the reading of a program's output has come, so that it can go on over another connection.

    Parameters:
        stream: the only output that is read; both where not given.
        offset: where to begin.
        offsets: the same for each output.
        tail_bytes: begin so many bytes before the end in place of ``offset``.
        wait: go on with what is still to come.
        within: the outputs whose beginning was found from a tail, so that it may be within a character.

    Attributes:
        losses: the connections that were lost on the way.
    """

    def __init__(
        self,
        stream: StreamName | None = None,
        *,
        offset: int = 0,
        offsets: Mapping[StreamName, int] | None = None,
        tail_bytes: int | None = None,
        wait: bool = True,
        within: Collection[StreamName] = (),
    ) -> None:
        self.stream = stream
        self.tail_bytes = tail_bytes
        self.wait = wait
        self.within = set(within)
        self.losses = Losses()
        self._offset = offset
        self._offsets: dict[StreamName, int] = dict(offsets or {})

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
        if self.tail_bytes is None:
            return
        for name in StreamNames:
            total, start = getattr(info, f"{name}_bytes"), getattr(info, f"{name}_start")
            place = max(total - self.tail_bytes, start)
            if name not in self._offsets:
                self._offsets[name] = place
                if place > 0:
                    self.within.add(name)
        self.tail_bytes = None

    def got(self, chunk: OutputChunk) -> None:
        """A piece has arrived."""
        self._offsets[chunk.stream] = chunk.offset + len(chunk.data)
        self.losses.none()

    def offset(self, stream: StreamName) -> int:
        """Where the next piece of an output begins."""
        return self._offsets.get(stream, self._offset)


@dataclass(slots=True)
class Standing:
    """What a handle knows of its program.

    Attributes:
        info: what the server said last.
        exit: its end, where that was seen.
        controls: whether the handle took control, and means to keep it.
        ends_with_block: whether leaving the ``with`` block ends it.
        grace_s: time between TERM and KILL then, in seconds.
        reconnect_timeout_s: how long to try to make another connection when one was lost, in seconds.
        mid_line: whether the last that was written to it did not end a line.
        unread: whether it waits for its reader, unasked, and nobody has begun to read.
        most_bytes: how much of each output to collect, from its beginning; all where ``None``.
        on_connection_lost: called with a sentence that says so when the connection was lost.
        away: whether that was told, and no other was made since.
        home: the process that the handle was made in.
    """

    info: ProgramInfo
    exit: Exit | None = None
    controls: bool = False
    ends_with_block: bool = False
    grace_s: float = 2.0
    reconnect_timeout_s: float = COME_BACK_S
    mid_line: bool = False
    unread: bool = False
    most_bytes: Mapping[StreamName, int] | None = None
    on_connection_lost: Callable[[str], object] = field(default=logger.info)
    away: bool = False
    home: Home = field(default_factory=home)

    @property
    def ends_here(self) -> bool:
        """Whether leaving the ``with`` block ends the program: not in a child, whose parent goes on with it."""
        return self.ends_with_block and self.home is home()

    @property
    def takes_control(self) -> bool:
        """Whether the handle takes control again over each new connection: not over that of a child, with whose end the
        parent's program would end."""
        return self.controls and self.home is home()

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

    def wrote(self, piece: bytes) -> None:
        """The program has got this: a terminal ends a line with a return, too, and with its end-of-file character."""
        self.mid_line = not piece.endswith((b"\n", b"\r", b"\x04"))

    def lost(self) -> None:
        """There is no connection: say so, once."""
        if not self.away:
            self.away = True
            self.on_connection_lost(f"the connection was lost; trying again for up to {self.reconnect_timeout_s:g} s")

    def end_of_input(self) -> int:
        """How often a terminal has to get its end-of-file character: in the middle of a line the first only ends that
        (termios(3), VEOF)."""
        twice = self.info.terminal is not None and self.mid_line
        self.mid_line = False
        return 2 if twice else 1
