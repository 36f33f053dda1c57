"""Whether the other side of a connection is still there. Nothing here has a clock or a socket of its own: it is told
the time, in seconds on one clock, and how many bytes of this side's output the other side has taken.

A sign of life is anything that comes in, and output that is taken: on a slow way a ping queues behind data, and so does
its answer. So that a side which only sends hears something, too, one which only receives says something now and then
(:class:`Heartbeat`).
"""

from __future__ import annotations

import math
from enum import Enum

from .limits import LinkLimits

LEAST_BYTES = 4096
"""What must be taken of much output within the time for that, so that it counts as taken."""
HEARTBEAT_BYTES = 4096
HEARTBEAT_S = 0.25
PLAIN_HEARTBEAT_S = 5.0
"""As :data:`HEARTBEAT_S`, where the other side need not be one of ours: it may be a test that counts frames."""
DELIVERY_S = 60.0
"""How long output that was taken may be on its way to the other side of a connection that closes, in seconds."""
_STEPS = 8
_LATE_S = 1.0
_EXCUSE_S = 0.1


class Look(Enum):
    """What is to be done about a silence."""

    WAIT = "wait"
    PING = "ping"
    DEAD = "dead"


class Keepalive:
    """When to ping a silent connection, and when to give it up: where a ping has stayed without any answer for
    ``ping_timeout_s``, and nothing of what waited before it was taken for as long.

    Parameters:
        limits: how long a silence may last, and a pong take.
        now: when the connection began.

    Attributes:
        heard_at: when something has come last, whatever it was.
        look_at: when to look; infinite where pings are off.
    """

    __slots__ = ("_excused", "_interval_s", "_pinged_at", "_queued", "_sign_at", "_taken", "_timeout_s", "heard_at",
                 "look_at")  # fmt: skip

    def __init__(self, limits: LinkLimits, now: float) -> None:
        self._interval_s = limits.ping_interval_s if limits.ping_interval_s > 0 else math.inf
        self._timeout_s = limits.ping_timeout_s
        self._pinged_at: float | None = None
        self._sign_at = now
        self._taken = self._queued = 0
        self._excused = False
        self.heard_at = now
        self.look_at = now + self._interval_s

    def look(self, now: float, taken: int, queued: int) -> Look:
        """What to do now; sets when to look next.

        Parameters:
            now: the time.
            taken: bytes that the other side has taken so far.
            queued: bytes that wait to be taken.
        """
        if self._pinged_at is None or self.heard_at >= self._pinged_at:  # Before a ping, nothing came for long.
            self._pinged_at = None
            self._excused = False
            if now < self.heard_at + self._interval_s:
                self.look_at = self.heard_at + self._interval_s
                return Look.WAIT
            self._pinged_at = self._sign_at = now
            self._note(now, taken, queued)
            return Look.PING
        if taken > self._taken and self._queued > 0:  # More than the ping itself, which any kernel takes.
            self._sign_at = now
        late = now > self.look_at + _LATE_S
        self._note(now, taken, queued)
        if now < self._sign_at + self._timeout_s:
            return Look.WAIT
        if late and not self._excused:  # This side has slept, and what has come was not read yet.
            self._excused = True
            self.look_at = now + _EXCUSE_S
            return Look.WAIT
        return Look.DEAD

    def _note(self, now: float, taken: int, queued: int) -> None:
        self._taken, self._queued = taken, queued
        self.look_at = self._sign_at + self._timeout_s
        if queued:
            self.look_at = min(self.look_at, now + self._timeout_s / _STEPS)


class Heartbeat:
    """When to say something because much has come in and nothing was said (an unsolicited pong, RFC 6455, section
    5.5.3).

    Parameters:
        every_s: how often, in seconds.
    """

    __slots__ = ("_bytes", "_every_s", "_since")

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._bytes = 0
        self._since = 0.0

    def heard(self, now: float, size: int) -> bool:
        """So many bytes have come in; returns whether to say something."""
        if not self._bytes:
            self._since = now
        self._bytes += size
        # Control frames are never so many: two sides do not go on answering each other's.
        return self._bytes >= HEARTBEAT_BYTES and now - self._since >= self._every_s

    def said(self) -> None:
        """Something was said."""
        self._bytes = 0


def heartbeat_s(*, plain: bool) -> float:
    """How often to say something while only the other side sends.

    Parameters:
        plain: whether the form of the wire is one that others speak, too.
    """
    return PLAIN_HEARTBEAT_S if plain else HEARTBEAT_S


class Stall:
    """Whether much output is taken.

    Parameters:
        within_s: how long the other side may take next to nothing, in seconds.

    Attributes:
        look_at: when to look; infinite while no output waits.
    """

    __slots__ = ("_taken", "_within_s", "look_at")

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._taken = 0
        self.look_at = math.inf

    def begin(self, now: float, taken: int) -> None:
        """Output waits from now on."""
        self._taken = taken
        self.look_at = now + self._within_s

    def end(self) -> None:
        """None waits any more."""
        self.look_at = math.inf

    def look(self, now: float, taken: int, heard_at: float = -math.inf) -> bool:
        """Whether it stalls; if not, when to look next is set.

        Parameters:
            now: the time.
            taken: bytes that were taken so far.
            heard_at: when something has come last, where that will do: a server takes nothing of a client's output
                while the client takes its own slowly.
        """
        if taken - self._taken < LEAST_BYTES and heard_at < now - self._within_s:
            return True
        self.begin(now, taken)
        return False


class Farewell:
    """How long to wait for the other side's part of the end of a connection: while it takes what waits before that, and
    then some seconds.

    Parameters:
        now: the time.
        taken: bytes that it has taken so far.
        queued: bytes that wait to be taken.
        timeout_s: how many seconds.
        patient: whether what waits is to arrive; else the seconds are counted at once.

    Attributes:
        look_at: when to look.
    """

    __slots__ = ("_moved_at", "_patient", "_taken", "_timeout_s", "look_at")

    def __init__(self, now: float, taken: int, queued: int, timeout_s: float, *, patient: bool) -> None:
        self._timeout_s = timeout_s
        self._taken = taken
        self._moved_at = now
        self._patient = patient and queued > 0
        self.look_at = now + timeout_s

    def look(self, now: float, taken: int, heard_at: float) -> bool:
        """Whether to wait no longer; if not, when to look next is set.

        Parameters:
            now, taken: as above.
            heard_at: when something has come from the other side last.
        """
        moved = taken - self._taken >= LEAST_BYTES
        delivers = heard_at > now - self._timeout_s and now < self._moved_at + DELIVERY_S
        if not self._patient or not (moved or delivers):
            return True
        if moved:
            self._taken, self._moved_at = taken, now
        self.look_at = now + self._timeout_s
        return False
