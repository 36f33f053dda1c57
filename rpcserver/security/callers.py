"""Tells services what has become of callers, so that they can end what they keep for them beyond their connections."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rpcwire.context import Principal
from rpcwire.service import Service

from .named_tokens import Ending, NamedTokens, TokenSet
from .roles import Roles

logger = logging.getLogger("rpcserver")

SERVICE_TIMEOUT_S = 5.0
"""How long a service may take for one caller, in seconds. The others wait for it."""


@dataclass(frozen=True, slots=True)
class News:
    """What has become of a caller.

    Attributes:
        name: their name.
        principal: who they are now; ``None`` if their credentials have ended.
        at: when that was, in seconds since 1970.
    """

    name: str
    principal: Principal | None
    at: float


class CallerNews:
    """Tells all services whose credentials have ended, and which role everybody has whose token is valid. No service is
    told twice of one end. All methods belong to the thread of the event loop.

    Parameters:
        tokens: the named tokens.
        roles: who may do what.
        services: the services that run now, in the order of their starts.
    """

    def __init__(self, tokens: NamedTokens, roles: Roles, services: Sequence[Service[Any]]) -> None:
        self._tokens = tokens
        self._roles = roles
        self._services = services
        self._endings: frozenset[Ending] = frozenset()
        self._valid_names: frozenset[str] = frozenset()
        self._unknown_roles: frozenset[tuple[str, str]] = frozenset()
        self._lock = asyncio.Lock()  # Whoever is told later must be told what holds then.
        self._tasks: set[asyncio.Task[None]] = set()

    def tell_soon(self) -> None:
        """Tell the services in a task, because tokens or roles have changed."""
        task = asyncio.get_running_loop().create_task(self.tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def tell(self, *, is_start: bool = False) -> None:
        """Tell the services.

        Parameters:
            is_start: whether the server starts, so that credentials may have ended while it did not run.
        """
        async with self._lock:
            news = list(self._collect(self._tokens.known, time.time(), is_start=is_start))
            for service in list(self._services):
                await self._tell(service, news)

    async def welcome(self, service: Service[Any]) -> None:
        """Tell a service that has started while the server runs what all are told at the start.

        Parameters:
            service: the service.
        """
        async with self._lock:
            await self._tell(service, list(_all_news(self._tokens.known, time.time())))

    async def _tell(self, service: Service[Any], news: Sequence[News]) -> None:
        for each in news:
            try:
                async with asyncio.timeout(SERVICE_TIMEOUT_S):
                    await service.reconsider_caller(each.name, each.principal, each.at)
            except Exception:
                logger.exception("the service %s cannot reconsider %s", service.name, each.name)

    def _collect(self, tokens: TokenSet, now: float, *, is_start: bool) -> Iterator[News]:
        """Yield what the services have not been told yet of ends, and who has a valid token."""
        endings = frozenset(tokens.endings(now))
        valid_names = frozenset(token.name for token in tokens.tokens if token.is_valid(now))
        new_endings = endings - self._endings
        # Somebody may have removed a token from the file, which then says nothing of its end.
        removed_names = self._valid_names - valid_names - {ending.name for ending in new_endings}
        self._endings, self._valid_names = endings, valid_names
        # What they have begun until the server noticed was begun by the old credentials, too.
        yield from (News(ending.name, None, ending.at if is_start else now) for ending in new_endings)
        yield from (News(name, None, now) for name in removed_names)
        current = [token for token in tokens.tokens if token.state == "current" and token.is_valid(now)]
        yield from (News(token.name, token.principal, now) for token in current)
        unknown_roles = frozenset((token.name, token.role) for token in current if token.role not in self._roles)
        for name, role in sorted(unknown_roles - self._unknown_roles):
            logger.warning("the token %s has the role %s, which is not in the configuration", name, role)
        self._unknown_roles = unknown_roles

    async def close(self, timeout_s: float) -> None:
        """Wait until the services have been told what is new.

        Parameters:
            timeout_s: how long to wait, in seconds.
        """
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
            for task in late:
                task.cancel()


def _all_news(tokens: TokenSet, now: float) -> Iterator[News]:
    """Yield all ends of credentials that are known, and who has a valid token."""
    yield from (News(ending.name, None, ending.at) for ending in tokens.endings(now))
    current = [token for token in tokens.tokens if token.state == "current" and token.is_valid(now)]
    yield from (News(token.name, token.principal, now) for token in current)
