"""A column of profiles, of which many are equal: each is kept once, as long as a member has it."""

from __future__ import annotations

from array import array

from .members import NO_PROFILE, Profile


class Profiles:
    """Profiles, by the index of their member."""

    __slots__ = ("_column", "_counts", "_numbers", "_profiles", "_spare")

    def __init__(self) -> None:
        self._column = array("H")  # The number of each member's profile.
        self._numbers: dict[Profile, int] = {}
        self._profiles: list[Profile] = []  # By their numbers.
        self._counts = array("H")  # How many members have each.
        self._spare: list[int] = []  # Numbers that no profile has.

    def __len__(self) -> int:
        return len(self._column)

    @property
    def count(self) -> int:
        """How many different ones there are."""
        return len(self._numbers)

    def __getitem__(self, index: int) -> Profile:
        return self._profiles[self._column[index]]

    def __setitem__(self, index: int, profile: Profile) -> None:
        number = self._take(profile)
        self._drop(self._column[index])
        self._column[index] = number

    def insert(self, index: int, profile: Profile) -> None:
        """Insert a profile before an index.

        Raises:
            OverflowError: there are 65,536 different ones already.
        """
        self._column.insert(index, self._take(profile))

    def __delitem__(self, index: int) -> None:
        self._drop(self._column[index])
        del self._column[index]

    def _take(self, profile: Profile) -> int:
        number = self._numbers.get(profile)
        if number is None:
            if self._spare:
                number = self._spare.pop()
                self._profiles[number] = profile
            else:
                number = len(self._profiles)
                self._profiles.append(profile)
                self._counts.append(0)
            self._numbers[profile] = number
        self._counts[number] += 1
        return number

    def _drop(self, number: int) -> None:
        self._counts[number] -= 1
        if not self._counts[number]:
            del self._numbers[self._profiles[number]]
            self._profiles[number] = NO_PROFILE
            self._spare.append(number)
