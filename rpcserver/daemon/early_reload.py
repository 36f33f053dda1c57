"""Keeps SIGHUP from ending a server that is only starting, and does not listen for signals yet. What it asks for is
done when the server has started."""

from __future__ import annotations

import signal

_requests: list[int] = []


def note_reloads() -> None:
    """From now on, note SIGHUP. Without that it ends the process (signal(7))."""
    signal.signal(signal.SIGHUP, lambda signum, _: _requests.append(signum))


def was_asked() -> bool:
    """Whether SIGHUP has come since."""
    return bool(_requests)
