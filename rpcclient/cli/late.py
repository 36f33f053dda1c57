"""Modules that others import and hardly any command uses: such a module is loaded when something of it is asked for."""

from __future__ import annotations

import importlib
import sys
import threading
from types import ModuleType
from typing import Any

_lock = threading.Lock()


class LateModule(ModuleType):
    """Stands for a module until something of it is asked for. Python's own
    :class:`importlib.util.LazyLoader` does not help: an ``import`` statement that finds such a module loads it."""

    def __getattr__(self, name: str) -> Any:
        with _lock:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def load_late(name: str) -> None:
    """Have a module loaded when something of it is asked for, and not when it is imported.

    Parameters:
        name: its full name. It must exist, and the package that it belongs to is loaded now.
    """
    if name in sys.modules:
        return
    module = sys.modules[name] = LateModule(name)
    package, _, last = name.rpartition(".")
    if package:
        setattr(importlib.import_module(package), last, module)
