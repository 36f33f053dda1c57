"""What the parts of `benchmarks/browser.py` have in common: what they are asked for, and how figures are written."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """What a part is asked for.

    Attributes:
        folder: where the peers are set up.
        rounds: how often each contender is measured.
        megabytes: the size of the output in a terminal.
    """

    folder: Path
    rounds: int
    megabytes: int


def spread(figures: Sequence[float], form: str = ",.0f") -> str:
    """Write a median with the least and the most.

    Parameters:
        figures: what was measured.
        form: how numbers are written.
    """
    return f"{statistics.median(figures):{form}} ({min(figures):{form}} to {max(figures):{form}})"
