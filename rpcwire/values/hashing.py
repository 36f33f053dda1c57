"""Finds values that were chosen to have one and the same hash. Python puts such values into a set or a dictionary in
time that grows with the square of their number. It salts the hashes of text and bytes, but not those of numbers: all
multiples of 2**61 - 1 have the hash 0, and the hashes of UUIDs and tuples follow from numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

MOST_COLLISIONS = 64
"""The most different values of one set with one and the same hash. Two are a curiosity."""

COLLISION = "many values have the same hash: send them as a list"


def check_hashes(values: Iterable[Any]) -> None:
    """Make sure that values can go into a set in time that grows with their number.

    Parameters:
        values: the values. Those that no set takes are left to whoever makes the set.

    Raises:
        ValueError: too many of them have the same hash.
    """
    try:
        _check(map(hash, values))
    except TypeError:
        return


def check_names(names: Iterable[Any]) -> None:
    """Do the same as :func:`check_hashes` for names that stand for numbers or UUIDs.

    Parameters:
        names: the names of an object, or the keys of a map, as they came.

    Raises:
        ValueError: too many of the values for which they stand have the same hash.
    """
    try:
        _check(map(_hash_of_name, names))
    except TypeError:
        return


def _check(hashes: Iterable[int]) -> None:
    for _, count in Counter(hashes).most_common(1):
        if count > MOST_COLLISIONS:
            raise ValueError(COLLISION)


def _hash_of_name(name: Any) -> int:
    if not isinstance(name, str):
        return hash(name)
    try:
        return hash(Decimal(name))
    except (InvalidOperation, ValueError):
        pass
    try:
        return hash(UUID(name))
    except ValueError:
        return hash(name)
