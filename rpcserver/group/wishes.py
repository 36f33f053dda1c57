"""Whose announcements a node lacks, of whom tables have told. Without I/O."""

from __future__ import annotations

from .comparing import is_ahead
from .roster import MOST_MEMBERS
from .table import Entry, Table

FEW_WANTS = 8
"""For how many announcements a node asks at once, when it compares tables."""
MANY_WANTS_S = 0.75
"""How long it waits with more of them, in seconds: who has just come gets many tables, and the entries of the bucket as
well, which tell of everybody at once. A thousand that asked a thousand each would send a million questions."""
SOME_WANTS = 64
"""With more than this it waits until the entries have been read."""
MOST_WANTS = 256
"""For how many announcements it asks then, with each beat of its own."""


class Wishes:
    """Those whose announcements a node will ask for, as others know them, if it has not learned of them meanwhile.

    All times are seconds of a clock that does not jump.

    Parameters:
        now: the present time.

    Attributes:
        entries_until: the entries of the bucket are being read until this time.
    """

    def __init__(self, now: float) -> None:
        self.entries_until = now
        self._wishes: dict[int, Entry] = {}
        self._due = now

    def __len__(self) -> int:
        return len(self._wishes)

    def add(self, entries: list[Entry], now: float) -> list[int]:
        """Take note of members that another one knows better.

        Parameters:
            entries: what it knows.
            now: the present time.

        Returns:
            The ids of those to ask at once.
        """
        if len(entries) <= FEW_WANTS:
            return [entry.id for entry in entries]
        if not self._wishes:
            self._due = now + MANY_WANTS_S
        room = max(MOST_MEMBERS - len(self._wishes), 0)
        self._wishes.update((entry.id, entry) for entry in entries[:room])
        return []

    def take(self, table: Table, now: float) -> list[int]:
        """Return the ids of those to ask now, if it is time: of whom the node has not heard meanwhile.

        Parameters:
            table: what the node knows.
            now: the present time.
        """
        numbers: list[int] = []
        if now < self._due or (len(self._wishes) > SOME_WANTS and now < self.entries_until):
            return numbers
        while self._wishes and len(numbers) < MOST_WANTS:
            number, wish = self._wishes.popitem()
            index = table.find(number)
            if index < 0 or is_ahead(wish, table.entry(index)):
                numbers.append(number)
        if not self._wishes:
            self._wishes.clear()  # A dictionary that has been large stays so.
        return numbers

    def clear(self) -> None:
        """Forget them."""
        self._wishes.clear()
