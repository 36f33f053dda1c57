"""Shows command lines: without secrets, and no more of them than is worth reading.

Every user of the machine chooses the command lines of their processes, which may have megabytes (execve(2)). Whole ones
of a few such processes would make every list take a minute, and fit into no answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from .redaction import redact

LISTED_CHARACTERS = 4096
"""The most of a command line in a list."""
DETAILED_CHARACTERS = 65_536
"""The most of the command line of one process."""
REST = "…"
"""Stands for the rest."""
_MARGIN_CHARACTERS = 4096
"""How much more is searched for secrets than is shown: a secret at the end must be whole to be found."""


def show(words: Sequence[str], most_characters: int, *, reveal: bool) -> list[str]:
    """Return a command line as callers may see it.

    Parameters:
        words: all of it.
        most_characters: the most to show of it; each word counts one more than it has.
        reveal: whether to show secrets.

    Returns:
        Its words. If there are more, the last one is :data:`REST`.
    """
    beginning, is_cut = _first(words, most_characters + _MARGIN_CHARACTERS)
    if not reveal:
        beginning = redact(beginning)
        if is_cut and beginning:
            beginning[-1] = beginning[-1][:-_MARGIN_CHARACTERS]  # It may end within a secret.
    beginning, is_cut_again = _first(beginning, most_characters)
    return [*beginning, REST] if is_cut or is_cut_again else beginning


def _first(words: Sequence[str], most_characters: int) -> tuple[list[str], bool]:
    """Return the first words, the last of them perhaps not whole, and whether there are more."""
    beginning: list[str] = []
    left = most_characters
    for word in words:
        if len(word) >= left:
            return [*beginning, word[: max(left, 0)]] if left > 0 else beginning, True
        beginning.append(word)
        left -= len(word) + 1
    return beginning, False
