"""The programs service."""

from .service import Programs

__all__ = ["Programs"]
