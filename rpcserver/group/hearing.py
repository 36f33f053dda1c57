"""Whether a node hears the others, and how old is what it hears: its own echoes tell. Without I/O."""

from __future__ import annotations

import math

from .ring import Timing

MOST_ECHOES = 64
"""How many echoes a node waits for. Of older ones it does not know any more when they were sent."""


class Hearing:
    """The echoes of a node: messages to itself, which the broker puts behind everything that it has for the node.

    All times are seconds of a clock that does not jump.

    Parameters:
        timing: the times of the group.

    Attributes:
        is_deaf: whether what the node hears is too old to judge others by it.
        heard_until: everything has been read that the broker had for the node at this time.
    """

    def __init__(self, timing: Timing) -> None:
        self.is_deaf = False
        self.heard_until = -math.inf
        self._timing = timing
        self._number = 0
        self._sent_at: dict[int, float] = {}  # Of those that have not come back, by their numbers, in their order.
        self._fastest_s = 0.0  # Of all echoes on this connection.

    def __len__(self) -> int:
        return len(self._sent_at)

    @property
    def patience_s(self) -> float:
        """How long an echo may take, in seconds: twice as long as the fastest one, if the broker is far away."""
        return min(max(self._timing.deaf_s, 2 * self._fastest_s), self._timing.most_deaf_s)

    def listen_anew(self) -> None:
        """Forget the echoes: for the time in which they were under way nobody is judged."""
        self.is_deaf = False
        self._sent_at.clear()

    def lose_link(self) -> None:
        """Take note that there is no connection: no echo will come back."""
        self._sent_at.clear()

    def regain_link(self) -> None:
        """Take note that there is another connection: it may be faster or slower."""
        self._fastest_s = 0.0

    def begin_echo(self, now: float) -> int | None:
        """Return the number of an echo that has to be sent now; ``None`` if one has been sent at this moment."""
        if self._sent_at.get(self._number) == now:
            return None
        self._number += 1
        self._sent_at[self._number] = now
        if len(self._sent_at) > MOST_ECHOES:
            del self._sent_at[next(iter(self._sent_at))]
        return self._number

    def is_awaited(self, number: int) -> bool:
        """Whether an echo was sent and has not come back."""
        return number in self._sent_at

    def end_echo(self, number: int, now: float) -> bool:
        """Learn from an echo that is awaited how old is what the node hears.

        Parameters:
            number: the number of the echo.
            now: the present time.

        Returns:
            Whether the node was deaf, and hears again.
        """
        sent_at = self._sent_at.pop(number)
        for older in [each for each in self._sent_at if each < number]:
            del self._sent_at[older]
        self.heard_until = max(self.heard_until, sent_at)
        self._fastest_s = min(self._fastest_s or math.inf, now - sent_at)
        if now - sent_at > self.patience_s:
            self.is_deaf = True
            return False
        return self.is_deaf

    def note_late(self, now: float) -> None:
        """Take note that the node is deaf, if an echo should have been back by now."""
        self.is_deaf = self.is_deaf or self.due(-math.inf) <= now

    def due(self, time: float) -> float:
        """Return when an echo has to be back that was sent at a time or later; infinity if there is none."""
        if self.is_deaf:
            return math.inf
        return next((at + self.patience_s for at in self._sent_at.values() if at >= time), math.inf)
