"""Why a value cannot be sent, in words for whoever gave it: where in it the fault is, and what the fault is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from .values import to_tagged

_Place = tuple[str | int, ...]
_GROUPS = (list, tuple, set, frozenset)


class Unsendable(ValueError):
    """A value that cannot be sent.

    Attributes:
        loc: where it is, from the outermost name or place inwards.
        reason: what is wrong with it.
    """

    def __init__(self, loc: list[str | int], reason: str) -> None:
        self.loc = loc
        self.reason = reason
        super().__init__(f"{'.'.join(map(str, loc))}: {reason}" if loc else reason)


def unsendable(value: Any, failure: Exception) -> Unsendable:
    """What is wrong with a value that has failed to be encoded.

    Parameters:
        value: the value.
        failure: what the encoder said; of several lines the first is told where nothing better is found.
    """
    for loc, leaf in _leaves(value, (), frozenset()):
        reason = _reason(leaf)
        if reason is not None:
            return Unsendable(list(loc), reason)
    return Unsendable([], f"cannot be sent: {str(failure).strip().partition(chr(10))[0]}")


def _leaves(value: Any, loc: _Place, above: frozenset[int]) -> Iterator[tuple[_Place, Any]]:
    """Whatever a value is made of, and where each part is; ``above`` are what it is within, by their identity."""
    parts: Iterator[tuple[Any, Any]]
    if isinstance(value, Mapping):
        parts = iter(value.items())
    elif isinstance(value, _GROUPS):
        parts = iter(enumerate(value))
    elif is_dataclass(value) and not isinstance(value, type):
        parts = ((field.name, getattr(value, field.name)) for field in fields(value))
    else:
        yield loc, value
        return
    if id(value) in above:
        return
    for key, item in parts:
        yield from _leaves(item, (*loc, key if isinstance(key, int) else str(key)), above | {id(value)})


def _reason(leaf: Any) -> str | None:
    try:
        to_tagged(leaf, binary=True)
    except UnicodeEncodeError:
        return "text with lone surrogates cannot be sent: it is no Unicode"
    except (TypeError, ValueError) as exc:
        return str(exc)
    return None
