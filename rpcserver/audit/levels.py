"""What is written of the calls of each method: pure."""

from __future__ import annotations

from collections.abc import Mapping

from rpcserver.config import AuditLevel


def level_of(method: str, levels: Mapping[str, AuditLevel]) -> AuditLevel:
    """Return what is written of the calls of a method.

    Parameters:
        method: its full name.
        levels: by methods and patterns: ``programs.run``, ``programs.*``, ``*``. The longest that fits counts.
    """
    fitting = [
        pattern
        for pattern in levels
        if pattern == method or (pattern.endswith("*") and method.startswith(pattern[:-1]))
    ]
    return levels[max(fitting, key=len)] if fitting else "all"
