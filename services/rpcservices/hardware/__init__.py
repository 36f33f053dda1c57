"""The hardware service."""

from .service import Hardware

__all__ = ["Hardware"]
