"""The command ``rpcclient``."""

import gc
import os

# To look for plugins of pydantic, which none here needs, takes a seventh of the time of a short command.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")

from .late import load_late
from .main import main

__all__ = ["main", "start"]

_OBJECTS_BEFORE_A_LOOK = 20_000
"""How many more objects there must be before Python looks for garbage among them."""


def start() -> None:
    """Run the command as the only work of this process, and end as it ends."""
    # A command that ends soon leaves no garbage worth looking for, and each look goes through all that is loaded.
    gc.set_threshold(_OBJECTS_BEFORE_A_LOOK)
    # websockets imports it for versions of its own that are in development. It loads thirty modules, of which only
    # --version needs any.
    load_late("importlib.metadata")
    try:
        main(prog_name="rpcclient")
    finally:
        gc.freeze()  # Else Python looks through all that is loaded once more, before the system takes it back.
