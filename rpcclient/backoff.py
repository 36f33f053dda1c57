"""How long to wait before connecting again. Both connectors ask this module, so that no client hammers a server that is
down, that refuses, or that ends each connection at once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from rpcwire.errors import NotSent, RpcError

BACKOFF_FIRST_S = 0.05
BACKOFF_MOST_S = 5.0
CALM_S = 10.0
"""A connection that lasts this long, in seconds, counts as useful, whether or not anything arrived over it."""
RETRY_AFTER_MOST_S = 3600.0
"""The longest wait that a server may ask for with ``Retry-After``, in seconds."""
REFUSED_S = 60.0
"""How long a client that offers services waits after a refusal that is not expected to pass, in seconds. It tries again
by itself, since no call of its program may come that would make it connect."""


def backoff_s(attempt: int, chance: float) -> float:
    """Return how long to wait before connecting again, in seconds. Jitter keeps many clients from returning in step.

    Parameters:
        attempt: how many attempts have failed.
        chance: a random number between 0 and 1.
    """
    ceiling: float = min(BACKOFF_FIRST_S * 2.0 ** min(attempt, 16), BACKOFF_MOST_S)
    return ceiling * chance


def no_connection_error(failure: RpcError | None) -> NotSent:
    """Make the error for a connection that could not be made before the deadline.

    Parameters:
        failure: why the last attempt failed; ``None`` if none has ended yet.
    """
    text = "no connection could be made before the deadline"
    if failure is None:
        return NotSent(text)
    return NotSent(f"{text}: {failure.message}", retry_after_ms=failure.retry_after_ms)


class Pauses:
    """The pauses of one client between its attempts to connect.

    Parameters:
        clock: returns the time, in seconds.
        chance: returns a random number between 0 and 1.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, chance: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._failures = 0
        self._since = 0.0

    def before_first_s(self) -> float:
        """Return the pause before the first attempt, in seconds: 0, unless the last connections were of no use."""
        return backoff_s(self._failures, self._chance()) if self._failures else 0.0

    def after_failure_s(self, error: RpcError) -> float:
        """Note that an attempt has failed, and return the pause before the next one, in seconds.

        Parameters:
            error: why it failed. The pause is at least its ``retry_after_ms``; jitter is added.
        """
        self._failures += 1
        least_s = min((error.retry_after_ms or 0) / 1000, RETRY_AFTER_MOST_S)
        return least_s + backoff_s(self._failures, self._chance())

    def after_refusal_s(self) -> float:
        """Return the pause after a refusal that is not expected to pass, in seconds."""
        self._failures = 0
        return REFUSED_S * (0.5 + self._chance() / 2)

    def note_connection(self) -> None:
        """Note that a connection was made."""
        self._since = self._clock()

    def note_loss(self, *, useful: bool) -> None:
        """Note that the connection has ended.

        Parameters:
            useful: whether anything has arrived over it. A connection that ends at once, and was of no use, counts as
                a failure.
        """
        useful = useful or self._clock() - self._since >= CALM_S
        self._failures = 0 if useful else self._failures + 1

    def forget_failures(self) -> None:
        """Forget the failures: their error has reached the caller, so that the next caller need not wait for them."""
        self._failures = 0
