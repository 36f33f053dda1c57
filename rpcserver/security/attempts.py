"""The log of wrong attempts to authenticate: some lines for each burst, however many attempts it has."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

from rpcwire.logs import about

logger = logging.getLogger("rpcserver.connection")

BURST_S = 60.0
"""How long the attempts of one burst are counted, in seconds."""

LINES = 8
"""The number of addresses in a burst whose first attempt has a line of its own."""

MOST_ADDRESSES = 1024
"""The most addresses that are counted apart in one burst."""


class WrongAttempts:
    """Logs the first wrong attempt of an address at once, and the number of all others when their burst is over. It
    belongs to the thread of the event loop.

    Attributes:
        count: the number of wrong attempts since the server started.
    """

    def __init__(self) -> None:
        self.count = 0
        self._unlogged_count = 0
        self._by_address: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def note(self, who: str, address: str, fault: str) -> None:
        """Count a wrong attempt, and log it if it is the first one of its address in this burst.

        Parameters:
            who: the client, for a person.
            address: its address.
            fault: what is wrong.
        """
        self.count += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BURST_S, self.report)
        is_first = address not in self._by_address
        if not is_first or len(self._by_address) < MOST_ADDRESSES:
            self._by_address[address] += 1
        if is_first and len(self._by_address) <= LINES:
            logger.warning(
                "%s refused: %s (more within %g s are only counted)",
                who,
                fault,
                BURST_S,
                extra=about(who, is_known=False),
            )
        else:
            self._unlogged_count += 1

    def report(self) -> None:
        """End the burst, and log how many attempts had no line."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._unlogged_count:
            (worst, most), *_ = self._by_address.most_common(1)
            logger.warning(
                "%d more wrong attempts to authenticate within %g s, from %d%s addresses; %s has made %d in all",
                self._unlogged_count,
                BURST_S,
                len(self._by_address),
                " or more" if len(self._by_address) == MOST_ADDRESSES else "",
                worst,
                most,
            )
        self._unlogged_count = 0
        self._by_address.clear()
