"""Which metrics callers ask for, by names and patterns.

Whatever callers send, a message holds the event loop for milliseconds only: names are looked up, few patterns are
compared, and each is compared with each metric once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate

MOST_NAMES = 1000
MOST_PATTERNS = 32
MOST_PATTERN_CHARACTERS = 512
_MOST_REMEMBERED = 4096
"""How many metrics a filter remembers as fitting or not: a machine has some hundred."""
_WILDCARDS = frozenset("*?[")


def has_wildcard(name: str) -> bool:
    """Whether a name is a pattern."""
    return not _WILDCARDS.isdisjoint(name)


def first_places(names: Iterable[str]) -> dict[str, int]:
    """Return the distinct names, each with its first place in the list.

    Raises:
        ValueError: there are too many, or a pattern is too long.
    """
    places: dict[str, int] = {}
    for number, name in enumerate(names):
        places.setdefault(name, number)
    patterns = [name for name in places if has_wildcard(name)]
    if len(places) > MOST_NAMES:
        raise ValueError(f"{len(places)} names: at most {MOST_NAMES} are allowed; a section stands for all its metrics")
    if len(patterns) > MOST_PATTERNS:
        raise ValueError(f"{len(patterns)} names with wildcards: at most {MOST_PATTERNS} are allowed")
    if any(len(pattern) > MOST_PATTERN_CHARACTERS for pattern in patterns):
        raise ValueError(f"a name with wildcards has at most {MOST_PATTERN_CHARACTERS} characters")
    return places


class Filter:
    """Chooses metrics by their names, with or without the label in braces. ``*`` and ``?`` stand for anything, and the
    name of a section for all its metrics.

    Parameters:
        names: the names and patterns.

    Attributes:
        names: the same, each once.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(dict.fromkeys(names))
        self._exact = frozenset(name for name in self.names if not has_wildcard(name))
        self._patterns: list[Callable[[str], object]] = [
            re.compile(translate(_closed(name))).match for name in self.names if has_wildcard(name)
        ]
        self._decisions: dict[str, bool] = {}

    def fits(self, metric: str) -> bool:
        """Whether a metric is chosen."""
        fits = self._decisions.get(metric)
        if fits is None:
            if len(self._decisions) >= _MOST_REMEMBERED:
                self._decisions.clear()
            fits = self._decisions[metric] = self._decide(metric)
        return fits

    def _decide(self, metric: str) -> bool:
        bare = metric.partition("{")[0]
        if metric in self._exact or any(place in self._exact for place in _places(bare)):
            return True
        return any(match(metric) or match(bare) for match in self._patterns)


def _closed(pattern: str) -> str:
    """The same pattern, with every bracket that nothing closes as a set of its own: ``translate`` looks for the end of
    each to the end of the text."""
    head, end, rest = pattern.rpartition("]")
    return f"{head}{end}{rest.replace('[', '[[]')}"


def _places(bare: str) -> list[str]:
    """A name without a label, and the sections in which it is."""
    parts = bare.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
