"""Signals by the names that people give them."""

from __future__ import annotations

import signal

from rpcserver import InvalidParams


def signal_number(name: str) -> int:
    """The number of a signal that a call asks for in its parameter ``signal``.

    Parameters:
        name: such as ``"TERM"``, ``"SIGTERM"`` or ``"term"``; one without a name by its number, such as ``"SIG34"``.

    Raises:
        InvalidParams: there is no such signal.
    """
    word = name.upper().removeprefix("SIG")
    if word.isascii() and word.isdigit() and len(word) < 4 and int(word) in signal.valid_signals():
        return int(word)
    try:
        return signal.Signals[f"SIG{word}"].value
    except KeyError:
        raise InvalidParams(
            f"signal: there is no signal {name[:20]!r}; write a name such as TERM",
            errors=[{"loc": ["signal"], "msg": "no such signal"}],
        ) from None


def signal_name(number: int) -> str:
    """The name of a signal, such as ``SIGKILL``; realtime signals by their number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
