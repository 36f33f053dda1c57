"""Verdicts that one node tells for others: what it keeps, to tell it to everybody together, and what others have handed
to it. Without I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable

from .members import State
from .messages import MOST_VERDICTS, Verdict
from .table import Table

REPORT_S = 0.2
"""How long verdicts that others report are kept, to be told together, in seconds."""


def find_herald(table: Table, number: int, herald_members: int) -> int | None:
    """Return the id of the member that tells the verdicts about another one; ``None`` if the group is small.

    Parameters:
        table: the members.
        number: the id of the one that is judged. It is not its own herald.
        herald_members: the size of a group that has heralds.
    """
    if len(table) < herald_members:
        return None
    up = (table.ids[index] for index in range(len(table)) if table.states[index] == State.UP)
    return next((each for each in up if each != number), None)


class Reports:
    """Verdicts that are to be told to everybody soon, the last one about each member.

    An earlier one has nothing to add: a member cannot answer a suspicion that comes with its death.

    Attributes:
        due: when to tell them, on the clock that does not jump, in seconds, if there are some.
    """

    def __init__(self) -> None:
        self.due = 0.0
        self._verdicts: dict[int, Verdict] = {}  # By the id of the member that is judged.

    def __len__(self) -> int:
        return len(self._verdicts)

    def add(self, verdicts: Iterable[Verdict], now: float) -> None:
        """Keep verdicts. Those for which there is no room are dropped: each watcher of a member judges it.

        Parameters:
            verdicts: the verdicts.
            now: the present time.
        """
        if not self._verdicts:
            self.due = now + REPORT_S
        for verdict in verdicts:
            self._verdicts.pop(verdict.id, None)
            if len(self._verdicts) < MOST_VERDICTS:
                self._verdicts[verdict.id] = verdict

    def take(self) -> list[Verdict]:
        """Return the verdicts, and keep them no longer."""
        verdicts = list(self._verdicts.values())
        self._verdicts = {}  # A dictionary that has been large stays so.
        return verdicts

    def clear(self) -> None:
        """Drop them."""
        self._verdicts = {}


class Handovers:
    """Verdicts that this node has handed to a herald, the last one about each member, until it hears them told.

    A herald may die with those about whom it was to tell. Then nobody would hear of them.
    """

    def __init__(self) -> None:
        self._verdicts: dict[int, tuple[float, Verdict]] = {}  # With the time, by the id of the member that is judged.

    @property
    def due(self) -> float:
        """When the first one has to be told by this node itself, on the clock that does not jump, in seconds; infinity
        if there is none."""
        return min((due for due, _ in self._verdicts.values()), default=math.inf)

    def add(self, verdict: Verdict, due: float) -> None:
        """Take note that a verdict was handed over.

        Parameters:
            verdict: the verdict.
            due: until when it has to be heard.
        """
        self._verdicts[verdict.id] = due, verdict

    def hear(self, verdict: Verdict) -> None:
        """Take note that somebody has told a verdict."""
        mine = self._verdicts.get(verdict.id)
        if mine is not None and mine[1].epoch == verdict.epoch and mine[1].state <= verdict.state:
            del self._verdicts[verdict.id]

    def take(self, now: float) -> list[Verdict]:
        """Return the verdicts that nobody has told in time, and forget them."""
        late = [verdict for due, verdict in self._verdicts.values() if now >= due]
        for verdict in late:
            del self._verdicts[verdict.id]
        return late

    def clear(self) -> None:
        """Forget them."""
        self._verdicts.clear()
