"""Which metrics callers ask for, by names and patterns.

Whatever callers send, a message holds the event loop for milliseconds only: names are looked up, few patterns are
compared, and each is compared with each metric once. To compile a pattern takes milliseconds, so that whoever has
several lets others come between two of them.
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
        names: the names and patterns; :meth:`add` adds more.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names: dict[str, None] = {}
        self._exact: set[str] = set()
        self._patterns: list[Callable[[str], object]] = []
        self._decisions: dict[str, bool] = {}
        self._bare_decisions: dict[str, bool] = {}
        for name in names:
            self.add(name)

    @property
    def names(self) -> tuple[str, ...]:
        """The names and patterns, each once."""
        return tuple(self._names)

    def add(self, name: str) -> None:
        """Choose the metrics of one more name or pattern. A pattern of 512 characters takes 4 ms."""
        if name in self._names:
            return
        self._names[name] = None
        self._decisions.clear()
        self._bare_decisions.clear()
        if has_wildcard(name):
            self._patterns.append(re.compile(translate(_closed(name))).match)
        else:
            self._exact.add(name)

    def fits(self, metric: str) -> bool:
        """Whether a metric is chosen."""
        bare, brace, _ = metric.partition("{")
        return _recall(self._bare_decisions, bare, self._decide_bare) or (
            bool(brace) and _recall(self._decisions, metric, self._decide)
        )

    def _decide(self, metric: str) -> bool:
        return metric in self._exact or _matches(self._patterns, metric)

    def _decide_bare(self, bare: str) -> bool:
        return not self._exact.isdisjoint(_places(bare)) or _matches(self._patterns, bare)


def _recall(decisions: dict[str, bool], name: str, decide: Callable[[str], bool]) -> bool:
    fits = decisions.get(name)
    if fits is None:
        if len(decisions) >= _MOST_REMEMBERED:
            decisions.clear()
        fits = decisions[name] = decide(name)
    return fits


def _matches(patterns: Iterable[Callable[[str], object]], name: str) -> bool:
    for match in patterns:  # noqa: SIM110 - any() makes a generator for each metric, which takes as long as a match.
        if match(name):
            return True
    return False


def _closed(pattern: str) -> str:
    """The same pattern, with every bracket that nothing closes as a set of its own: ``translate`` looks for the end of
    each to the end of the text."""
    head, end, rest = pattern.rpartition("]")
    return f"{head}{end}{rest.replace('[', '[[]')}"


def _places(bare: str) -> list[str]:
    """A name without a label, and the sections in which it is."""
    parts = bare.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
