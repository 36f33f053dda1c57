"""The line on a terminal that tells how far a call on many nodes is."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TextIO

from .colours import has_colours, paint_dim

_BAR = 20
_LEAST_S = 0.1
"""The least time between two drawings."""


def bar_line(total: int, counts: Mapping[str, int], left: Sequence[str], width: int) -> str:
    """The line, at most as wide as the terminal.

    Parameters:
        total: the number of nodes.
        counts: how many nodes have ended in each state.
        left: the names of those that have not.
        width: characters.
    """
    done = sum(counts.values())
    part = _BAR * done // total if total else _BAR
    words = [f"{state} {count}" for state, count in sorted(counts.items(), key=lambda pair: (pair[0] != "ok", pair[0]))]
    line = "  ".join([f"{'█' * part}{'·' * (_BAR - part)} {done}/{total}", *words])
    if left:
        from .ranges import fold

        line += f"  waiting for {fold(left)}"
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"


class Bar:
    """The line at the bottom of a terminal. What is printed comes above it.

    Parameters:
        out: where it is drawn, if that is a terminal.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out if out.isatty() and os.environ.get("TERM") not in ("dumb", "unknown") else None
        self._is_drawn = False
        self._next_s = 0.0
        self._total = 0
        self._counts: dict[str, int] = {}
        self._left: dict[str, None] = {}

    def begin(self, names: Sequence[str], extra: int = 0) -> None:
        """Begin with these nodes, and others whose names are not known."""
        self._left = dict.fromkeys(names)
        self._total = len(names) + extra
        self.draw()

    def count(self, name: str, state: str) -> None:
        """A node has ended."""
        self._left.pop(name, None)
        self._counts[state] = self._counts.get(state, 0) + 1

    def draw(self) -> None:
        """Draw the line, unless it was drawn a moment ago."""
        now_s = time.monotonic()
        if self._out is None or (self._is_drawn and now_s < self._next_s) or not self._left:
            return
        self._next_s = now_s + _LEAST_S
        self._is_drawn = True
        import shutil  # It loads a dozen modules, and is for terminals alone.

        width = shutil.get_terminal_size().columns - 1
        line = bar_line(self._total, self._counts, list(self._left), width)
        self._out.write(f"\r{paint_dim(line) if has_colours(self._out) else line}\x1b[K")
        self._out.flush()

    def clear(self) -> None:
        """Take the line away: something is about to be printed, or all is done."""
        if self._out is not None and self._is_drawn:
            self._is_drawn = False
            self._out.write("\r\x1b[K")
            self._out.flush()
