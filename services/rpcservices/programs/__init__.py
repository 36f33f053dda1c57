"""The programs service.

Nothing is imported before it is asked for: the keeper of programs is a module of this package, and must start fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .service import Programs

__all__ = ["Programs"]


def __getattr__(name: str) -> Any:
    if name == "Programs":
        from .service import Programs

        return Programs
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
