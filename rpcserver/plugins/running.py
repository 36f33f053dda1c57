"""Starts and stops services."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rpcserver.config import ConfigError
from rpcwire.outcomes import Observer
from rpcwire.service import (
    BackgroundTask,
    EventOutlet,
    RoleFinder,
    Service,
    ServiceConfigError,
    ServiceRole,
    ServiceRuntime,
)

logger = logging.getLogger("rpcserver")


async def start_service(
    service: Service[Any],
    state_path: Path,
    message_bytes: int,
    observe: Callable[[Observer], None],
    role_of: RoleFinder,
    roles: tuple[ServiceRole, ...],
    fail: Callable[[str], None],
    rely_on: Callable[[BackgroundTask], None],
    events: EventOutlet,
) -> None:
    """Give a service its folder and its logger, and start it.

    Parameters:
        service: the service.
        state_path: the server's state folder; the service gets a folder in it.
        message_bytes: the largest message that the server sends, in bytes.
        observe: adds an observer of all calls.
        role_of: finds the role of a caller for this service.
        roles: all roles, as this service sees them.
        fail: says that the service cannot go on.
        rely_on: names a task without which it cannot go on.
        events: where it publishes its events.

    Raises:
        ConfigError: the service cannot work with its settings.
        Exception: the service cannot start, and raises this.
    """
    folder = state_path / "services" / service.name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    own_logger = logging.getLogger(f"rpcserver.services.{service.name}")
    service.runtime = ServiceRuntime(folder, own_logger, message_bytes, observe, role_of, roles, fail, rely_on, events)
    try:
        await service.start()
    except ServiceConfigError as exc:
        table = "services" if exc.role is None else exc.role.place
        raise ConfigError(f"{table}.{service.name}.{exc}") from exc


def check_service_settings(service: Service[Any], state_dir: Path) -> None:
    """Check the settings of a service that is not started.

    Parameters:
        service: the service.
        state_dir: the state folder of the server.

    Raises:
        ConfigError: the service could not start with them.
    """
    try:
        service.check_settings(state_dir / "services" / service.name)
    except ServiceConfigError as exc:
        raise ConfigError(f"services.{service.name}.{exc}") from exc


async def stop_service(service: Service[Any], timeout_s: float) -> None:
    """Stop a service. Log an error if that fails.

    Parameters:
        service: a service that has started.
        timeout_s: how long it may take, in seconds.
    """
    try:
        await asyncio.wait_for(service.stop(), timeout_s)
    except Exception:
        logger.exception("the service %s did not stop cleanly", service.name)
