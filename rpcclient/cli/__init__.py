"""The command ``rpcclient``."""

from .main import main

__all__ = ["main"]
