"""How a client reaches a server of its own process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rpcwire.codec import Subprotocol

if TYPE_CHECKING:
    from rpcwire.aio.memory import MemoryLink

    MemoryDial = Callable[[Subprotocol], MemoryLink]
    """``Server.connect_memory``: connects to a server of the same process."""
else:
    # Importing MemoryLink would import asyncio, which the blocking client does not need.
    MemoryDial = Callable[[Subprotocol], Any]
