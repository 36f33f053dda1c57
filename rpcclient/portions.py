"""Divides sets of parameters of a statement into calls that a server takes, and joins their answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from .stubs.database import Changed

MANY_ROWS = 2_000
"""Sets of parameters in one call, at most."""
MANY_BYTES = 512 * 1024
"""About how many bytes one call has; a server takes messages of 1 MiB in JSON unless configured otherwise."""
_NODE_BYTES = 32
"""What each value and each name counts for besides its bytes. So a call has fewer of them than a server takes in
a message unless configured otherwise: 20,480."""
_TAGGED_BYTES = 4 * _NODE_BYTES
"""What a value counts for that JSON has no form of its own for: the wire writes an object around it."""

_T = TypeVar("_T")


def _weight(value: Any) -> int:
    if isinstance(value, str):
        return len(value) * (1 if value.isascii() else 4) + _NODE_BYTES
    if value is None or isinstance(value, int | float):
        return _NODE_BYTES
    if isinstance(value, bytes | bytearray | memoryview):
        return len(value) * 4 // 3 + _TAGGED_BYTES
    if isinstance(value, Mapping):
        return sum(_weight(key) + _weight(item) for key, item in value.items()) + _NODE_BYTES
    if isinstance(value, list | tuple | set | frozenset):
        return sum(map(_weight, value)) + _NODE_BYTES
    return _TAGGED_BYTES


def portions(sets: Iterable[_T]) -> Iterator[list[_T]]:
    """Divide sets of parameters into portions, each of which fits into one call."""
    portion: list[_T] = []
    size = 0
    for one in sets:
        weight = _weight(one)
        if portion and (size + weight > MANY_BYTES or len(portion) >= MANY_ROWS):
            yield portion
            portion, size = [], 0
        portion.append(one)
        size += weight
    if portion:
        yield portion


def divide(params: Any) -> list[Any]:
    """Divide sets of parameters into lists that fit into one call each.

    Parameters:
        params: the sets. What is no list stays as it is: the contract of the method says what is wrong with it.

    Returns:
        At least one list.
    """
    return (list(portions(params)) if isinstance(params, list) else []) or [params]


def join(changes: Sequence[Changed]) -> Changed:
    """Make one answer of those to the parts, the last of which says how the transaction is afterwards."""
    counts = [each.rowcount for each in changes]
    return Changed(
        rowcount=-1 if -1 in counts else sum(counts),
        statements=sum(each.statements for each in changes),
        tx_state=changes[-1].tx_state,
        notices=[notice for each in changes for notice in each.notices],
    )
