"""Tells services what has become of callers, so that they can end what they keep for them beyond their connections."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rpcwire.context import Principal
from rpcwire.service import Service

from .authentication import Authentication
from .caller_file import CallerFile, KnownCallers
from .named_tokens import Ending, TokenSet
from .roles import Roles

logger = logging.getLogger("rpcserver")

SERVICE_TIMEOUT_S = 5.0
"""How long a service may take for one caller, in seconds. The others wait for it."""


@dataclass(frozen=True, slots=True)
class News:
    """What has become of a caller.

    Attributes:
        name: their name.
        principals: who they are now, by each of their credentials; empty if these have ended.
        at: when that was, in seconds since 1970.
    """

    name: str
    principals: tuple[Principal, ...]
    at: float


class CallerNews:
    """Tells all services whose credentials have ended, and which role everybody has who has a valid token, or whom the
    settings know by a certificate or as a user of the system. No service is told twice of one end. All methods belong
    to the thread of the event loop.

    Parameters:
        authentication: knows the named tokens, and whom the settings know.
        roles: who may do what.
        services: the services that run now, in the order of their starts.
        file: remembers until the next start whom the settings know.
    """

    def __init__(
        self, authentication: Authentication, roles: Roles, services: Sequence[Service[Any]], file: CallerFile
    ) -> None:
        self._file = file
        self._has_started = False
        self._authentication = authentication
        self._roles = roles
        self._services = services
        self._endings: frozenset[Ending] = frozenset()
        self._valid_names: frozenset[str] = frozenset()
        self._names_in_settings: frozenset[str] = frozenset()
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
            if is_start:
                before = await asyncio.to_thread(self._file.read)
                self._names_in_settings = before.names
                self._authentication.unix_users.remember_members(before.members)
            tokens, now = self._authentication.named_tokens.known, time.time()
            news = list(self._collect(tokens, now, is_start=is_start))
            for service in list(self._services):
                await self._tell(service, news)
            self._has_started = True
            await self._save()

    async def _save(self) -> None:
        names = frozenset(each.name for each in self._authentication.list_in_settings())
        content = KnownCallers(names=names, members=self._authentication.unix_users.members)
        await asyncio.to_thread(self._file.write, content)

    async def welcome(self, service: Service[Any]) -> None:
        """Tell a service that has started while the server runs what all are told at the start.

        Parameters:
            service: the service.
        """
        async with self._lock:
            tokens, now = self._authentication.named_tokens.known, time.time()
            endings = [News(ending.name, (), ending.at) for ending in tokens.endings(now)]
            await self._tell(service, [*endings, *self._list_valid(tokens, now)])

    async def _tell(self, service: Service[Any], news: Sequence[News]) -> None:
        for each in news:
            principal = self._choose(service.name, each.principals)
            try:
                async with asyncio.timeout(SERVICE_TIMEOUT_S):
                    await service.reconsider_caller(each.name, principal, each.at)
            except Exception:
                logger.exception("the service %s cannot reconsider %s", service.name, each.name)

    def _choose(self, service: str, principals: Sequence[Principal]) -> Principal | None:
        """Return whoever has the role that gives most of a service: what belongs to a name stays as long as one of its
        credentials allows it. ``None`` if there is nobody."""
        if len(principals) < 2:
            return next(iter(principals), None)
        views = self._roles.views(service)

        def count_permissions(principal: Principal) -> int:
            role = self._roles.of(principal)
            return 0 if role is None else len(views[role.name].permissions)

        return max(principals, key=count_permissions)

    def _collect(self, tokens: TokenSet, now: float, *, is_start: bool) -> Iterator[News]:
        """Yield what the services have not been told yet of ends, and who has valid credentials."""
        endings = frozenset(tokens.endings(now))
        valid_names = frozenset(token.name for token in tokens.tokens if token.is_valid(now))
        new_endings = endings - self._endings
        # Somebody may have removed a token from the file, which then says nothing of its end.
        removed_names = self._valid_names - valid_names - {ending.name for ending in new_endings}
        in_settings = frozenset(each.name for each in self._authentication.list_in_settings())
        # Whoever has other credentials keeps what belongs to the name.
        former_members = self._authentication.unix_users.forget_former_members()
        removed_names |= (self._names_in_settings | former_members) - in_settings - valid_names
        self._endings, self._valid_names, self._names_in_settings = endings, valid_names, in_settings
        # What they have begun until the server noticed was begun by the old credentials, too.
        yield from (News(ending.name, (), ending.at if is_start else now) for ending in new_endings)
        yield from (News(name, (), now) for name in sorted(removed_names))
        yield from self._list_valid(tokens, now)
        current = [token for token in tokens.tokens if token.state == "current" and token.is_valid(now)]
        unknown_roles = frozenset((token.name, token.role) for token in current if token.role not in self._roles)
        for name, role in sorted(unknown_roles - self._unknown_roles):
            logger.warning("the token %s has the role %s, which is not in the configuration", name, role)
        self._unknown_roles = unknown_roles

    def _list_valid(self, tokens: TokenSet, now: float) -> Iterator[News]:
        """Yield everybody who has valid credentials that the server knows."""
        current = [token for token in tokens.tokens if token.state == "current" and token.is_valid(now)]
        everybody = [*(token.principal for token in current), *self._authentication.list_in_settings()]
        yield from (News(name, principals, now) for name, principals in _group_by_name(everybody).items())

    async def close(self, timeout_s: float) -> None:
        """Wait until the services have been told what is new, and remember whom the settings know.

        Parameters:
            timeout_s: how long to wait, in seconds.
        """
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
            for task in late:
                task.cancel()
        if self._has_started:  # Members of groups may have come since.
            await self._save()


def _group_by_name(principals: Iterable[Principal]) -> dict[str, tuple[Principal, ...]]:
    groups: dict[str, list[Principal]] = {}
    for principal in principals:
        groups.setdefault(principal.name, []).append(principal)
    return {name: tuple(group) for name, group in groups.items()}
