"""The reasons why something has no value: a word for the kind of reason, and a sentence."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

import psutil

_T = TypeVar("_T")

NO_BASELINE = "unknown: a rate needs two readings: ask again"
RESET = "unknown: the counter was reset, or is new"


class UnknownError(Exception):
    """The system does not tell whether something exists."""


class Reasons(dict[str, str]):
    """The reasons why fields have no value, by the name of the field."""

    def attempt(self, field: str, read: Callable[[], _T]) -> _T | None:
        """Return what ``read`` returns. If it raises, note the reason and return ``None``."""
        try:
            return read()
        except Exception as exc:
            self[field] = why(exc)
        return None

    def note(self, value: object, fields: str, reason: str) -> None:
        """Note ``reason`` for some fields (words) if ``value`` is ``None`` and they have no reason yet."""
        if value is None:
            for field in fields.split():
                self.setdefault(field, reason)


def others_denied() -> str:
    """Why the server's user may not look into other users' processes; an empty text where it may."""
    try:
        psutil.Process(1).num_fds()
    except (psutil.AccessDenied, psutil.NoSuchProcess):  # Process 1 always exists, so it is hidden.
        return "denied: the server's user may not look into other users' processes"
    except (psutil.Error, OSError, AttributeError):
        return ""
    return ""


def why(exc: Exception) -> str:
    """Describe a failure for a person, without paths and other internals of the server."""
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
