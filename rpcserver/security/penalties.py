"""How long attempts to authenticate are delayed after wrong ones. Nothing here reads a clock: the caller gives the
time, in seconds on one clock."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

FIRST_S = 1 / 16
"""The first delay, in seconds. Each further wrong attempt doubles it."""

FORGIVE_S = 10.0
"""After how long without a wrong attempt each of them is forgiven, in seconds."""

MOST_KEYS = 4096
"""The most addresses and names that are remembered; beyond it the ones longest without an attempt are forgotten."""


class Penalties:
    """Counts wrong attempts by keys, such as an address and a name.

    Parameters:
        free_attempts: the number of wrong attempts without a delay.
        longest_s: the longest delay, in seconds; 0 for none at all.
    """

    def __init__(self, free_attempts: int, longest_s: float) -> None:
        self._counts: OrderedDict[bytes, tuple[int, float]] = OrderedDict()
        self.change(free_attempts, longest_s)

    def change(self, free_attempts: int, longest_s: float) -> None:
        """Delay by other rules from now on; the parameters are those of the class."""
        self._free_attempts = free_attempts
        self._longest_s = longest_s
        self._most = free_attempts  # More attempts than lead to the longest delay are not counted.
        while self._delay_after(self._most) < longest_s:
            self._most += 1

    def delay_s(self, keys: Sequence[str], now: float) -> float:
        """Return how long to delay an attempt, in seconds: the longest delay of its keys."""
        return max((self._delay_after(self._count(_digest(key), now)) for key in keys), default=0.0)

    def note_wrong(self, keys: Sequence[str], now: float) -> None:
        """Count a wrong attempt."""
        for digest in map(_digest, keys):
            self._counts[digest] = (min(self._count(digest, now) + 1, self._most), now)
            self._counts.move_to_end(digest)
            if len(self._counts) > MOST_KEYS:
                self._counts.popitem(last=False)

    def __len__(self) -> int:
        return len(self._counts)

    def _count(self, digest: bytes, now: float) -> int:
        count, at = self._counts.get(digest, (0, now))
        return max(count - int((now - at) / FORGIVE_S), 0)

    def _delay_after(self, count: int) -> float:
        if count < self._free_attempts or not self._longest_s:
            return 0.0
        return float(min(FIRST_S * 2 ** (count - self._free_attempts), self._longest_s))


def _digest(key: str) -> bytes:
    """Make a key that is short, however long the name in it."""
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
