"""How long to wait before connecting again: what both connectors ask, so that nobody hammers a server that is down,
that refuses, or that takes connections only to end them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from rpcwire.errors import NotSent, RpcError

BACKOFF_FIRST_S = 0.05
BACKOFF_MOST_S = 5.0
CALM_S = 10.0
"""A connection that lasts so long, in seconds, was a good one, whether or not anything arrived over it."""
RETRY_AFTER_MOST_S = 3600.0
"""The longest wait that a server may ask for with ``Retry-After``, in seconds."""
REFUSED_S = 60.0
"""How long a client that offers services waits after a refusal that is not expected to pass, in seconds: nobody else
would bring it back."""


def backoff_s(attempt: int, chance: float) -> float:
    """How long to wait before connecting again: full jitter, so that many clients do not come back in step.

    Parameters:
        attempt: 1 after the first failure.
        chance: between 0 and 1.
    """
    ceiling: float = min(BACKOFF_FIRST_S * 2.0 ** min(attempt, 16), BACKOFF_MOST_S)
    return ceiling * chance


def in_vain(failure: RpcError | None) -> NotSent:
    """What to raise where no connection could be made before the deadline.

    Parameters:
        failure: how the last attempt failed, if one has ended.
    """
    text = "no connection could be made before the deadline"
    if failure is None:
        return NotSent(text)
    return NotSent(f"{text}: {failure.message}", retry_after_ms=failure.retry_after_ms)


class Pauses:
    """The pauses of one client between its attempts to connect.

    Parameters:
        clock: tells the time, in seconds.
        chance: gives a number between 0 and 1.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, chance: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._failures = 0
        self._since = 0.0

    def begin_s(self) -> float:
        """How long to wait before the first attempt: not at all, unless the last connections were of no use."""
        return backoff_s(self._failures, self._chance()) if self._failures else 0.0

    def failed_s(self, error: RpcError) -> float:
        """An attempt has failed: how long to wait before the next, in seconds.

        Parameters:
            error: how. What it says in ``retry_after_ms`` is waited for, and some jitter.
        """
        self._failures += 1
        asked_s = min((error.retry_after_ms or 0) / 1000, RETRY_AFTER_MOST_S)
        return asked_s + backoff_s(self._failures, self._chance())

    def refused_s(self) -> float:
        """How long to wait after a refusal that is not expected to pass, in seconds."""
        self._failures = 0
        return REFUSED_S * (0.5 + self._chance() / 2)

    def connected(self) -> None:
        """A connection was made."""
        self._since = self._clock()

    def lost(self, *, useful: bool) -> None:
        """It has ended.

        Parameters:
            useful: whether anything has arrived over it. One that ends at once, again and again, is a failure, too.
        """
        useful = useful or self._clock() - self._since >= CALM_S
        self._failures = 0 if useful else self._failures + 1

    def given_up(self) -> None:
        """Whoever wanted a connection was told that there is none: who asks next is not made to wait for that."""
        self._failures = 0
