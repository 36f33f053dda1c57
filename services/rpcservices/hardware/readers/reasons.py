"""Why something has no value: in a word that says on what account, and a sentence."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

import psutil

_T = TypeVar("_T")

NO_BASELINE = "unknown: a rate needs two readings: ask again"
RESET = "unknown: the counter was reset, or is new"


class UnknownError(Exception):
    """Something is there or not, and the system does not tell."""


class Reasons(dict[str, str]):
    """Why a field has no value, by its name."""

    def attempt(self, field: str, read: Callable[[], _T]) -> _T | None:
        """What ``read`` gives; ``None``, with the reason kept, where it fails."""
        try:
            return read()
        except Exception as exc:
            self[field] = why(exc)
        return None

    def note(self, value: object, fields: str, reason: str) -> None:
        """Keep ``reason`` for some fields (words) where ``value`` is ``None`` and no reason is known yet."""
        if value is None:
            for field in fields.split():
                self.setdefault(field, reason)


def others_denied() -> str:
    """Why the server's user may not look into other users' processes; nothing where it may."""
    try:
        psutil.Process(1).num_fds()
    except (psutil.AccessDenied, psutil.NoSuchProcess):  # The first process is always there: then it is hidden.
        return "denied: the server's user may not look into other users' processes"
    except (psutil.Error, OSError, AttributeError):
        return ""
    return ""


def why(exc: Exception) -> str:
    """A failure in words for a person: no path, and nothing of the server's inside."""
    if isinstance(exc, UnknownError):
        return f"unknown: {exc}"
    if isinstance(exc, (psutil.AccessDenied, PermissionError)):
        return "denied: the server's user may not read it"
    if isinstance(exc, psutil.ZombieProcess):
        return "absent: the process has ended, and its parent has not asked for its end yet (a zombie)"
    if isinstance(exc, psutil.NoSuchProcess):
        return "gone: the process has ended"
    if isinstance(exc, (AttributeError, NotImplementedError)):
        return "unsupported: this system does not tell"
    if isinstance(exc, UnicodeError):
        return "failed: there is a name that is no UTF-8"
    if isinstance(exc, FileNotFoundError):
        return "absent: the system does not show it"
    if isinstance(exc, OSError):
        if exc.errno in (errno.ENODEV, errno.ENXIO):
            return "absent: the device does not answer"
        return f"failed: {exc.strerror or type(exc).__name__}"
    return f"failed: {type(exc).__name__}"
