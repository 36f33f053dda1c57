"""Decides whether the other side of a connection is still there. Nothing here reads a clock or a socket: the caller
gives the time, in seconds on one clock, and the number of bytes of this side's output that the other side has received.

There are two signs of life: bytes that arrive, and output that the other side receives. On a slow network a ping waits
behind data, and so does its answer. A side that only receives sends a pong from time to time, so that a side that only
sends gets a sign of life, too (:class:`Heartbeat`).
"""

from __future__ import annotations

import math
from enum import Enum

from .limits import LinkLimits

LEAST_BYTES = 4096
"""The number of bytes that the other side must receive within the time limit; fewer count as nothing."""
HEARTBEAT_BYTES = 4096
HEARTBEAT_S = 0.25
PLAIN_HEARTBEAT_S = 5.0
"""The same as :data:`HEARTBEAT_S`, if the other side may be another program, such as a test that counts frames."""
DELIVERY_S = 60.0
"""The longest time that output may be on its way to the other side while a connection closes, in seconds."""
_STEPS = 8
_LATE_S = 1.0
_EXCUSE_S = 0.1


class Look(Enum):
    """What to do about a silence."""

    WAIT = "wait"
    PING = "ping"
    DEAD = "dead"


class Keepalive:
    """Decides when to ping a silent connection, and when to give it up. It gives up if nothing has arrived for
    ``ping_timeout_s`` after a ping, and the other side has received nothing of the output before the ping for as long.

    Parameters:
        limits: how long a silence may last, and how long a pong may take.
        now: the time at which the connection began.

    Attributes:
        heard_at: the time of the last input, of whatever kind.
        look_at: when to call :meth:`look`; infinite if pings are off.
    """

    __slots__ = (
        "_has_slept",
        "_interval_s",
        "_pinged_at",
        "_received_bytes",
        "_sign_at",
        "_timeout_s",
        "_waiting_bytes",
        "heard_at",
        "look_at",
    )  # fmt: skip

    def __init__(self, limits: LinkLimits, now: float) -> None:
        self._interval_s = limits.ping_interval_s if limits.ping_interval_s > 0 else math.inf
        self._timeout_s = limits.ping_timeout_s
        self._pinged_at: float | None = None
        self._sign_at = now
        self._received_bytes = self._waiting_bytes = 0
        self._has_slept = False
        self.heard_at = now
        self.look_at = now + self._interval_s

    def look(self, now: float, received_bytes: int, waiting_bytes: int) -> Look:
        """Decide what to do now, and set :attr:`look_at`.

        Parameters:
            now: the time.
            received_bytes: the number of bytes that the other side has received so far.
            waiting_bytes: the number of bytes that it has not received yet.
        """
        if self._pinged_at is None or self.heard_at >= self._pinged_at:  # There was no ping since the last input.
            self._pinged_at = None
            self._has_slept = False
            if now < self.heard_at + self._interval_s:
                self.look_at = self.heard_at + self._interval_s
                return Look.WAIT
            self._pinged_at = self._sign_at = now
            self._note(now, received_bytes, waiting_bytes)
            return Look.PING
        # Not only the ping itself, which any kernel accepts.
        if received_bytes > self._received_bytes and self._waiting_bytes > 0:
            self._sign_at = now
        late = now > self.look_at + _LATE_S
        self._note(now, received_bytes, waiting_bytes)
        if now < self._sign_at + self._timeout_s:
            return Look.WAIT
        if late and not self._has_slept:  # This computer has slept, and its input was not read yet.
            self._has_slept = True
            self.look_at = now + _EXCUSE_S
            return Look.WAIT
        return Look.DEAD

    def _note(self, now: float, received_bytes: int, waiting_bytes: int) -> None:
        self._received_bytes, self._waiting_bytes = received_bytes, waiting_bytes
        self.look_at = self._sign_at + self._timeout_s
        if waiting_bytes:
            self.look_at = min(self.look_at, now + self._timeout_s / _STEPS)


class Heartbeat:
    """Decides when to send an unsolicited pong (RFC 6455, section 5.5.3): after much input and no output.

    Parameters:
        every_s: the time between two pongs, in seconds.
    """

    __slots__ = ("_bytes", "_every_s", "_since")

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._bytes = 0
        self._since = 0.0

    def note_input(self, now: float, size: int) -> bool:
        """Count input, and return whether to send a pong."""
        if not self._bytes:
            self._since = now
        self._bytes += size
        # Control frames are never so many, so two sides do not go on answering each other's pongs.
        return self._bytes >= HEARTBEAT_BYTES and now - self._since >= self._every_s

    def note_output(self) -> None:
        """Note that this side has sent something."""
        self._bytes = 0


def heartbeat_s(*, plain: bool) -> float:
    """Return the time between two pongs while only the other side sends, in seconds.

    Parameters:
        plain: whether other programs speak this form of the wire, too.
    """
    return PLAIN_HEARTBEAT_S if plain else HEARTBEAT_S


class Stall:
    """Decides whether the other side has stopped reading.

    Parameters:
        within_s: how long the other side may receive next to nothing, in seconds.

    Attributes:
        look_at: when to call :meth:`look`; infinite while no output waits.
    """

    __slots__ = ("_received_bytes", "_within_s", "look_at")

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._received_bytes = 0
        self.look_at = math.inf

    def begin(self, now: float, received_bytes: int) -> None:
        """Note that output waits from now on."""
        self._received_bytes = received_bytes
        self.look_at = now + self._within_s

    def end(self) -> None:
        """Note that no output waits any more."""
        self.look_at = math.inf

    def look(self, now: float, received_bytes: int, heard_at: float = -math.inf) -> bool:
        """Return whether the other side has stopped reading; if it has not, set :attr:`look_at`.

        Parameters:
            now: the time.
            received_bytes: the number of bytes that the other side has received so far.
            heard_at: the time of the last input, if input counts as a sign of life: a server reads nothing from a
                client while the client reads slowly.
        """
        if received_bytes - self._received_bytes < LEAST_BYTES and heard_at < now - self._within_s:
            return True
        self.begin(now, received_bytes)
        return False


class Farewell:
    """Decides how long to wait until the other side closes a connection, too: as long as it receives the output that
    waits, and then some seconds.

    Parameters:
        now: the time.
        received_bytes: the number of bytes that the other side has received so far.
        waiting_bytes: the number of bytes that it has not received yet.
        timeout_s: the number of seconds.
        patient: whether to wait for the output that waits; otherwise only the seconds count.
        hears: whether input tells that the other side still takes output. It does not if the other side has broken a
            rule, and its input is ignored.

    Attributes:
        look_at: when to call :meth:`look`.
    """

    __slots__ = ("_hears", "_moved_at", "_patient", "_received_bytes", "_timeout_s", "look_at")

    def __init__(
        self,
        now: float,
        received_bytes: int,
        waiting_bytes: int,
        timeout_s: float,
        *,
        patient: bool,
        hears: bool = True,
    ) -> None:
        self._timeout_s = timeout_s
        self._received_bytes = received_bytes
        self._moved_at = now
        self._patient = patient and waiting_bytes > 0
        self._hears = hears
        self.look_at = now + timeout_s

    def look(self, now: float, received_bytes: int, heard_at: float) -> bool:
        """Return whether to stop waiting; if not, set :attr:`look_at`.

        Parameters:
            now, received_bytes: as above.
            heard_at: the time of the last input.
        """
        has_progress = received_bytes - self._received_bytes >= LEAST_BYTES
        delivers = self._hears and heard_at > now - self._timeout_s and now < self._moved_at + DELIVERY_S
        if not self._patient or not (has_progress or delivers):
            return True
        if has_progress:
            self._received_bytes, self._moved_at = received_bytes, now
        self.look_at = now + self._timeout_s
        return False
