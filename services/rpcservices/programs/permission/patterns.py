"""The regular expressions of operators, matched by RE2: the time that it takes grows with the text and not faster,
whatever the expression is. Python's own engine could take hours for one argument of a caller."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

MOST_BYTES = 8 << 20
"""The most memory that one expression may take, in bytes: RE2's own default."""

_REMEDIES = (
    (("invalid perl operator: (?=", "invalid perl operator: (?!"), "it cannot look ahead: write what is allowed"),
    (("invalid perl operator: (?<",), "it cannot look behind: write what is allowed"),
    (
        ("invalid perl operator: (?>", "bad repetition operator"),
        "leave out what keeps Python from trying again: (?>, ++",
    ),
    ((r"invalid escape sequence: \Z",), "leave it out: the expression must match the whole argument anyway"),
    (
        tuple(rf"invalid escape sequence: \{digit}" for digit in range(1, 10)),
        "it cannot refer to an earlier group: write what is allowed",
    ),
    (
        ("invalid repetition size",),
        "it counts no more than 1000 repetitions: write *, and limit the length by max_chars",
    ),
)
"""What to do where RE2 refuses an expression that Python takes, by the beginning of its message."""


class Pattern(Protocol):
    """An expression, ready for use."""

    def fullmatch(self, text: str) -> object | None:
        """Return whether a whole text matches; ``None`` if not."""
        ...


@lru_cache(maxsize=1024)
def compile_pattern(expression: str) -> Pattern:
    """Prepare an expression.

    Parameters:
        expression: the expression, in RE2's syntax (https://github.com/google/re2/wiki/Syntax).

    Raises:
        ValueError: RE2 cannot read it; the message says why, and what to do.
    """
    import re2  # type: ignore[import-untyped]

    options = re2.Options()
    options.log_errors = False
    options.max_mem = MOST_BYTES
    try:
        pattern: Pattern = re2.compile(expression, options)
    except re2.error as exc:
        raise ValueError(_describe(exc)) from exc
    except UnicodeEncodeError as exc:
        raise ValueError(f"this is not a regular expression: {exc}") from exc
    return pattern


def _describe(exc: Exception) -> str:
    reason = exc.args[0].decode(errors="replace") if exc.args and isinstance(exc.args[0], bytes) else str(exc)
    text = f"this is not a regular expression of RE2: {reason}"
    remedy = next((remedy for starts, remedy in _REMEDIES if reason.startswith(starts)), None)
    return text if remedy is None else f"{text}; {remedy}"
