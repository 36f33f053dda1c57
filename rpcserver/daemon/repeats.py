"""Decides which of many similar lines a log gets, so that nobody can fill it: pure, with the time as a parameter."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

KINDS = 1024
"""The most kinds of lines that are counted apart; beyond it the kind that was quiet for longest is forgotten."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much of something may pass.

    Attributes:
        at_once: how much may pass at once.
        per_s: how much more may pass in each second.
    """

    at_once: float
    per_s: float


class Budget:
    """Counts what has passed (a token bucket).

    Parameters:
        allowance: how much may pass.
        now: the time, in seconds, on a clock that does not jump.
    """

    __slots__ = ("_allowance", "_left", "_seen_at")

    def __init__(self, allowance: Allowance, now: float) -> None:
        self._allowance = allowance
        self._left = allowance.at_once
        self._seen_at = now

    def take(self, amount: float, now: float) -> bool:
        """Take an amount, if so much is left.

        Returns:
            Whether it was.
        """
        allowance = self._allowance
        self._left = min(allowance.at_once, self._left + (now - self._seen_at) * allowance.per_s)
        self._seen_at = now
        if amount > self._left:
            return False
        self._left -= amount
        return True


@dataclass(slots=True)
class _Kind:
    budget: Budget
    left_out: int = 0
    example: str = ""


class Repeats:
    """Counts lines by their kind, and says which are too many."""

    def __init__(self) -> None:
        self._kinds: dict[Hashable, _Kind] = {}

    def admit(self, key: Hashable, allowance: Allowance, now: float) -> bool:
        """Say whether one more line of a kind may be written.

        Parameters:
            key: the kind of the line.
            allowance: how many lines of this kind may be written.
            now: the time, in seconds, on a clock that does not jump.
        """
        kind = self._kinds.pop(key, None)
        if kind is None:
            kind = _Kind(Budget(allowance, now))
            if len(self._kinds) >= KINDS:
                self._kinds.pop(next((k for k, v in self._kinds.items() if not v.left_out), next(iter(self._kinds))))
        self._kinds[key] = kind  # Those that were quiet for longest come first.
        return kind.budget.take(1, now)

    def leave_out(self, key: Hashable, example: str) -> None:
        """Count a line that was left out.

        Parameters:
            key: its kind, which was asked for by :meth:`admit` before.
            example: the line, of which the first one of each kind is kept.
        """
        kind = self._kinds[key]
        kind.left_out += 1
        kind.example = kind.example or example

    def is_first(self, key: Hashable) -> bool:
        """Return whether no line of this kind was left out since the last report."""
        return not self._kinds[key].left_out

    def report(self) -> Iterator[tuple[int, str]]:
        """Yield for each kind how many lines were left out since the last report, and the first of them."""
        for kind in self._kinds.values():
            if kind.left_out:
                count, example = kind.left_out, kind.example
                kind.left_out, kind.example = 0, ""
                yield count, example
