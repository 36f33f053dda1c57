"""Folds names of nodes into ranges, and unfolds them: ``web-[1-3,7],db-1``, as ClusterShell and pdsh write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice, product

from rpcwire.group.selectors import MOST_NAMES

_PLAIN = re.compile(r"[A-Za-z0-9._-]+")
"""A name that can stand beside brackets."""
_PARTS = re.compile(r"([0-9]+)")
_SPAN = re.compile(r"([0-9]+)(?:-([0-9]+))?")
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_COMMA = re.compile(r",(?![^\[\]]*\])")
"""A comma that is not within brackets."""


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """What to sort names by, so that ``web-2`` stands before ``web-10``."""
    return tuple((0, int(part), part) if part.isascii() and part.isdigit() else (1, 0, part) for part in _split(name))


def _split(name: str) -> list[str]:
    return [part for part in _PARTS.split(name) if part]


def fold(names: Iterable[str]) -> str:
    """Fold names into ranges. :func:`unfold` gives the same names.

    Parameters:
        names: the names, in any order. One that is there twice counts once.

    Returns:
        The ranges in natural order, with commas between them; empty without names.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    texts: list[tuple[str, str]] = []
    for name in dict.fromkeys(names):
        parts: list[str] = _PARTS.split(name)
        if len(parts) > 1 and _PLAIN.fullmatch(name):  # The last number of the name counts.
            groups.setdefault(("".join(parts[:-2]), parts[-1]), []).append(parts[-2])
        else:
            texts.append((name, name))
    for (before, behind), numbers in groups.items():
        spans = list(_spans(numbers))
        first = f"{before}{spans[0].partition('-')[0]}{behind}"
        is_one = len(numbers) == 1
        texts.append((first, first if is_one else f"{before}[{','.join(spans)}]{behind}"))
    return ",".join(text for _, text in sorted(texts, key=lambda pair: natural_key(pair[0])))


def _spans(numbers: list[str]) -> Iterator[str]:
    """The numbers as spans such as ``1-3``. A number with zeros before it is in a span with those of its length."""
    padded_lengths = {len(number) for number in numbers if number[0] == "0" and len(number) > 1}
    by_length: dict[int, list[tuple[int, str]]] = {}
    for number in sorted(numbers, key=int):
        length = len(number) if len(number) in padded_lengths else 0
        by_length.setdefault(length, []).append((int(number), number))
    spans: list[tuple[int, str]] = []
    for pairs in by_length.values():
        first = last = pairs[0]
        for pair in [*pairs[1:], None]:
            if pair is not None and pair[0] == last[0] + 1:
                last = pair
                continue
            spans.append((first[0], first[1] if first == last else f"{first[1]}-{last[1]}"))
            if pair is not None:
                first = last = pair
    return (text for _, text in sorted(spans))


def unfold(text: str) -> list[str]:
    """Unfold names such as ``web-[1-3,7],db-1``.

    Parameters:
        text: names and ranges, with commas between them.

    Returns:
        The names in this order, each once.

    Raises:
        ValueError: it is malformed, or means more than :data:`~rpcwire.group.selectors.MOST_NAMES` names.
    """
    names: dict[str, None] = {}
    for word in map(str.strip, _COMMA.split(text)):
        if not word:
            raise ValueError(f"{text!r}: a name is missing: write NAME,NAME or NAME[1-3]")
        for name in islice(_unfold_word(word), MOST_NAMES + 1):
            names[name] = None
        if len(names) > MOST_NAMES:
            raise ValueError(f"{text!r} means more than {MOST_NAMES} names: use labels")
    return list(names)


def _unfold_word(word: str) -> Iterator[str]:
    parts = _BRACKETS.split(word)
    if any(sign in part for part in parts[::2] for sign in "[]"):
        raise ValueError(f"{word!r}: write ranges as in web-[1-3,7]")
    choices = [_numbers(word, part) if place % 2 else [part] for place, part in enumerate(parts)]
    total = 1
    for choice in choices:
        total *= len(choice)
    if total > MOST_NAMES:
        raise ValueError(f"{word!r} means more than {MOST_NAMES} names: use labels")
    return ("".join(each) for each in product(*choices))


def _numbers(word: str, spans: str) -> list[str]:
    numbers: list[str] = []
    for span in spans.split(","):
        match = _SPAN.fullmatch(span.strip())
        if match is None:
            raise ValueError(f"{word!r}: {span!r} is no number and no range: write ranges as in web-[1-3,7]")
        first, last = match[1], match[2] or match[1]
        if int(last) < int(first):
            raise ValueError(f"{word!r}: the range {span} ends before it begins")
        if int(last) - int(first) >= MOST_NAMES:
            raise ValueError(f"{word!r} means more than {MOST_NAMES} names: use labels")
        numbers += [str(value).zfill(len(first)) for value in range(int(first), int(last) + 1)]
    return numbers
