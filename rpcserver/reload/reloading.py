"""The reload itself: everything new is made and tried first, while the server goes on with the old; then all of it is
taken into use in one turn of the event loop, or nothing at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from rpcserver.config import ConfigError, ServerConfig
from rpcserver.connections import Connections
from rpcserver.door.door import Door, check_settings
from rpcserver.door.public_docs import EVERY_SERVICE
from rpcserver.plugins.finding import make_service
from rpcserver.plugins.upkeep import Life, Upkeep
from rpcserver.security import unix_users
from rpcserver.security.authentication import Authentication
from rpcserver.security.roles import Roles
from rpcserver.security.token_watch import TokenWatch
from rpcserver.security.tokens import TokenStore
from rpcwire.context import OWNER, Principal
from rpcwire.pool import Pool
from rpcwire.secret import hide, secrets_in
from rpcwire.service import Reload, Service, ServiceConfig, ServiceConfigError

from .changes import Change, find_changes, find_service_changes, find_unread_changes, keep_old, keep_old_keys
from .keys import Effect, Rule

logger = logging.getLogger("rpcserver")

SERVICE_TIMEOUT_S = 30.0
"""How long a service may take to prepare for new settings, in seconds."""

_TAKES_NO_PART = Rule(Effect.RESTART, "the service takes its settings only at its start")


@dataclass(frozen=True, slots=True)
class NewSettings:
    """Settings that were read, and validated one by one.

    Attributes:
        config: those of the server.
        services: those of each service, by its name.
        token: the token of the owner.
    """

    config: ServerConfig
    services: Mapping[str, ServiceConfig]
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a server that take part in a reload.

    Attributes:
        upkeep: the services, those that run and those that do not.
        system: the class of the service of the protocol itself.
        roles, authentication, token_watch, connections, door, executor: as in the server.
        on_commit: called with the settings in use, within the turn of the event loop in which all parts take theirs.
    """

    upkeep: Upkeep
    system: type[Service[Any]]
    roles: Roles
    authentication: Authentication
    token_watch: TokenWatch
    connections: Connections
    door: Door
    executor: Pool
    on_commit: Callable[[ServerConfig], None]


@dataclass(frozen=True, slots=True)
class _NewService:
    """What one service gets.

    Attributes:
        life: the service over all its starts.
        service: its object.
        is_running: whether it runs. One that does not takes all settings at its next start.
        config: its settings from now on.
        changes: what has changed of them.
    """

    life: Life
    service: Service[Any]
    is_running: bool
    config: ServiceConfig
    changes: Sequence[Change]


def takes_part(kind: type[Service[Any]]) -> bool:
    """Return whether the services of a class can be given new settings."""
    return kind.prepare_reload is not Service.prepare_reload


async def reload(parts: Parts, old: ServerConfig, new: NewSettings) -> list[Change]:
    """Take new settings into use, or change nothing.

    Parameters:
        parts: the parts of the server.
        old: the settings in use.
        new: the settings that were read.

    Returns:
        What has changed, also of what needs a restart.

    Raises:
        ConfigError: something cannot be used; the message begins with its key.
    """
    changes = find_changes(old, new.config)
    config = keep_old(old, new.config)
    async with AsyncExitStack() as undo:
        news = [
            _compare(life, life.service, new.services[life.name])
            for life in parts.upkeep
            if life.service is not None and life.name in new.services
        ]
        new_parts = await asyncio.to_thread(_prepare_parts, parts, config, new, news)
        preparations = [
            (each, await _prepare_service(each, new_parts.roles, undo) if each.is_running else None) for each in news
        ]
        for each in news:
            _check_unchanged(each)
        # From here on there is no await: whoever looks sees all of the old settings, or all of the new ones.
        undo.pop_all()
        _commit(parts, config, new_parts, preparations)
    changes += [change for each in news for change in each.changes]
    return changes + find_unread_changes(old, new.config, [each.life.name for each in news])


def _compare(life: Life, service: Service[Any], config: ServiceConfig) -> _NewService:
    is_running = life.phase == "running"
    rules = {key: Rule(Effect.RESTART, reason) for key, reason in service.restart_keys.items()} if is_running else {}
    changes = find_service_changes(service.name, service.config, config, rules)
    if is_running and not takes_part(type(service)):
        changes = [replace(change, rule=_TAKES_NO_PART) for change in changes]
        return _NewService(life, service, is_running, service.config, changes)
    return _NewService(life, service, is_running, keep_old_keys(service.config, config, rules), changes)


def _check_unchanged(each: _NewService) -> None:
    """Refuse a reload during which a service has started or failed: what was prepared may not fit it.

    Raises:
        ConfigError: this has happened, or the service is in the midst of its start.
    """
    life = each.life
    is_same = life.service is each.service and (life.phase == "running") == each.is_running
    if not is_same or (life.phase == "starting" and each.changes):
        raise ConfigError(f"services.{life.name}: the service has just failed or started: reload again in a moment")


@dataclass(frozen=True, slots=True)
class _NewParts:
    """What was made of new settings.

    Attributes:
        roles: the new roles.
        token: the token of the owner.
        commits: take what was made into use.
    """

    roles: Roles
    token: str
    commits: Sequence[Callable[[], None]]


def _prepare_parts(parts: Parts, config: ServerConfig, new: NewSettings, news: Iterable[_NewService]) -> _NewParts:
    """Make everything that needs no event loop. It runs in another thread, so that files and certificates delay no
    call."""
    check_settings(new.config)  # Also what holds only after a restart.
    parts.upkeep.check(config.plugins)
    parts.upkeep.check_names("console.public_docs", config.console.public_docs, (EVERY_SERVICE, parts.system.name))
    for settings in (new.config, config):
        unix_users.check_settings(
            settings.auth.unix,
            settings.listen.unix_mode,
            has_socket=settings.unix_path is not None,
            asks_kernel=settings.listen.unix_peer_credentials,
        )
    roles = Roles(
        config.roles, [_probe(each) for each in news], parts.authentication.owner_uid, parts.system, like=parts.roles
    )
    names = {role.name for role in roles}
    commits = [
        parts.token_watch.prepare_reload(),
        parts.authentication.prepare_reload(
            config.auth, names, unix_peer_credentials=config.listen.unix_peer_credentials
        ),
        parts.door.prepare_reload(config),
    ]
    return _NewParts(roles, new.token, commits)


def _probe(each: _NewService) -> Service[Any]:
    """Return a service with the new settings, to check roles by it."""
    service = each.service
    if each.config == service.config or not takes_part(type(service)):
        return service
    return make_service(type(service), each.config)


async def _prepare_service(each: _NewService, roles: Roles, undo: AsyncExitStack) -> Reload | None:
    service = each.service
    views = tuple(roles.views(service.name).values())
    try:
        async with asyncio.timeout(SERVICE_TIMEOUT_S):
            preparation = await service.prepare_reload(each.config, views)
    except ServiceConfigError as exc:
        table = "services" if exc.role is None else exc.role.place
        raise ConfigError(f"{table}.{service.name}.{exc}") from exc
    except TimeoutError:
        raise ConfigError(
            f"services.{service.name}: the service has not prepared for its settings within {SERVICE_TIMEOUT_S:g} s"
        ) from None
    except Exception as exc:
        text = hide(f"{type(exc).__name__}: {exc}", secrets_in([service.config, each.config]))
        raise ConfigError(f"services.{service.name}: the service cannot prepare for its settings: {text}") from exc
    if preparation is not None and preparation.abandon is not None:
        undo.push_async_callback(_abandon, service, preparation.abandon)
    return preparation


async def _abandon(service: Service[Any], abandon: Callable[[], Any]) -> None:
    try:
        await abandon()
    except Exception:
        logger.exception("the service %s has not given back what it had prepared for a reload", service.name)


def _commit(
    parts: Parts, config: ServerConfig, new_parts: _NewParts, preparations: Iterable[tuple[_NewService, Reload | None]]
) -> None:
    """Take everything into use, in one turn of the event loop."""
    for commit in new_parts.commits:
        commit()
    roles_before = new_parts.roles
    parts.roles.exchange(new_parts.roles)
    parts.executor.resize(config.limits.threads, config.limits.threads_share)
    parts.connections.change_limits(config.limits, config.auth.violations)
    parts.on_commit(config)
    for each, reload_of_service in preparations:
        service = each.service
        service.config = each.config
        if each.is_running:
            service.runtime = replace(
                service.runtime,
                message_bytes=config.limits.message_bytes,
                roles=tuple(parts.roles.views(service.name).values()),
            )
        if reload_of_service is None:
            continue
        try:
            reload_of_service.commit()
        except Exception:
            logger.exception("the service %s has not taken its new settings: restart the server", service.name)
    _end_old_token(parts, new_parts.token)
    parts.connections.reconsider(roles_before)


def _end_old_token(parts: Parts, token: str) -> None:
    """End the connections that were let in by another token of the owner."""
    tokens = parts.authentication.tokens
    if tokens.principal(token) is not None:
        return
    parts.authentication.tokens = TokenStore(token)

    def has_old_token(principal: Principal) -> bool:
        return principal.name == OWNER and principal.method == "token"

    parts.connections.end_principals(has_old_token, "the owner's token has changed")
