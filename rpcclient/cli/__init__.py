"""The command ``rpcclient``."""

import os

# To look for plugins of pydantic, which none here needs, takes a seventh of the time of a short command.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")

from .main import main

__all__ = ["main"]
