"""Hears from the broker which connections it has lost: only who has the broker may hear that.

A killed process is known so within milliseconds, and a frozen one as soon as it owes the broker two pings.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .broker_settings import GROUP_ACCOUNT
from .link import RETRY_S, LinkSettings

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

logger = logging.getLogger("rpcserver.group")


class Witness:
    """Tells which nodes have lost their connections.

    Parameters:
        settings: returns how to reach the broker as a user of its system account.
        nodes: the ids of the nodes, by their users.
        on_disconnect: called with the id of a node that has lost its connection.
    """

    def __init__(
        self, settings: Callable[[], LinkSettings], nodes: Mapping[str, int], on_disconnect: Callable[[int], None]
    ) -> None:
        self._settings = settings
        self._nodes = nodes
        self._on_disconnect = on_disconnect
        self._task: asyncio.Task[None] | None = None
        self._connection: Client | None = None

    def start(self) -> None:
        """Begin to listen, in the background."""
        self._task = asyncio.ensure_future(self._connect())

    async def close(self) -> None:
        """Listen no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._connection is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(1.0):
                    await self._connection.close()

    async def _connect(self) -> None:
        from nats.aio.client import Client

        settings = self._settings()
        client = self._connection = Client()
        more: dict[str, Any] = {} if settings.tls is None else {"tls": settings.tls}
        # The library subscribes again itself. What happened meanwhile the beats tell.
        await client.connect(
            list(settings.urls),
            user=settings.user,
            password=settings.password,
            name="witness",
            max_reconnect_attempts=-1,
            reconnect_time_wait=RETRY_S,  # type: ignore[arg-type]  # It is slept.
            error_cb=_note_error,
            **more,
        )
        await client.subscribe(f"$SYS.ACCOUNT.{GROUP_ACCOUNT}.DISCONNECT", cb=self._take)

    async def _take(self, message: Msg) -> None:
        try:
            number = self._nodes.get(json.loads(message.data)["client"]["user"])
        except (ValueError, KeyError, TypeError):
            return
        if number is not None:
            self._on_disconnect(number)


async def _note_error(exc: Exception) -> None:
    logger.debug("the broker's own news: %s", exc)
