"""Finds servers on the local network."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rpcclient.nearby import LISTENING, NearbyServer, listen
from rpcclient.trust import PathText

from .greeting import greet


async def discover_async(
    timeout_s: float = 3.0, *, ca_file: PathText | None = None, interfaces: Sequence[str] = ()
) -> list[NearbyServer]:
    """The twin of :func:`rpcclient.discover`, with asyncio.

    Parameters:
        timeout_s, ca_file, interfaces: as of that.

    Raises:
        ConnectFailed: as of that.
    """
    candidates = await asyncio.to_thread(listen, timeout_s * LISTENING, interfaces)
    left_s = timeout_s * (1 - LISTENING)
    answers = await asyncio.gather(*(greet(each, ca_file, left_s) for each in candidates))
    return sorted((each for each in answers if each is not None), key=lambda each: (each.name, each.id))
