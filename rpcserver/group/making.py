"""Reaches the broker as who may make the buckets: nodes may not, where the broker knows them.

Whoever makes a stream can have the broker publish for any node.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from .link import CONNECT_S, Link, LinkSettings

if TYPE_CHECKING:
    from nats.aio.client import Client

logger = logging.getLogger("rpcserver.group")


@asynccontextmanager
async def connect_maker(link: Link, maker: Callable[[], LinkSettings] | None) -> AsyncIterator[Client]:
    """A connection on which buckets can be made, within the ``with`` block.

    Parameters:
        link: the connection of the node.
        maker: returns how to reach the broker as its own user for that; ``None`` if the node is to make them itself.

    Raises:
        NoBroker: there is no connection.
        Exception: what the client library raises.
    """
    if maker is None:
        yield link.connection
        return
    from nats.aio.client import Client

    settings = maker()
    client = Client()
    more: dict[str, Any] = {} if settings.tls is None else {"tls": settings.tls}
    await client.connect(
        list(settings.urls),
        user=settings.user,
        password=settings.password,
        name="maker",
        allow_reconnect=False,
        connect_timeout=CONNECT_S,  # type: ignore[arg-type]  # It is waited for.
        error_cb=_note_error,
        **more,
    )
    try:
        yield client
    finally:
        await client.close()


async def _note_error(exc: Exception) -> None:
    logger.debug("the connection that makes buckets: %s", exc)
