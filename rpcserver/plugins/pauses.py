"""How long to wait before something that has failed is tried again."""

from __future__ import annotations

JITTER = 0.25
"""How much a pause may differ from the settings, as a share of it. So not all that has failed together, for one reason,
comes back together."""


def pause_s(failures: int, first_s: float, most_s: float, chance: float) -> float:
    """Return how long to wait before the next try, in seconds.

    Parameters:
        failures: how often it has failed without a longer success, at least 1.
        first_s: the first pause; each further one is twice as long.
        most_s: the longest pause.
        chance: a random number between 0 and 1.
    """
    pause: float = min(first_s * 2.0 ** min(failures - 1, 32), most_s)
    return pause * (1 + JITTER * (2 * chance - 1))
