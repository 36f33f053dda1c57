"""The command ``rpcclient``."""

import gc
import os

# To look for plugins of pydantic, which none here needs, takes a seventh of the time of a short command.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")

from .main import main

__all__ = ["main", "start"]


def start() -> None:
    """Run the command as the only work of this process, and end as it ends."""
    try:
        main(prog_name="rpcclient")
    finally:
        gc.freeze()  # Else Python looks through all that is loaded once more, before the system takes it back.
