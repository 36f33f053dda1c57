"""Asks services whether they can work, and what they do."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from rpcwire.logs import about
from rpcwire.service import Figure, Health, Service

logger = logging.getLogger("rpcserver.health")

TIMEOUT_S = 5.0
"""How long one service may take to report its health, in seconds."""


async def ask_health(service: Service[Any], timeout_s: float) -> tuple[Health, bool]:
    """Ask a service for its health.

    Parameters:
        service: the service, which has started.
        timeout_s: how long it may take, in seconds.

    Returns:
        The health, and whether the service has answered at all, be it with an exception.
    """
    try:
        return await asyncio.wait_for(service.health(), timeout_s), True
    except TimeoutError:
        return Health(ok=False, reason=f"no answer within {timeout_s:g} s"), False
    except Exception:
        extra = about("", is_known=False)  # Anybody may ask for this by a page, as often as they like.
        logger.exception("the health check of %s failed", service.name, extra=extra)
        return Health(ok=False, reason="the health check failed; see the log"), True


def figures_of(service: Service[Any]) -> list[Figure]:
    """Ask a service for its figures; none if that fails.

    Parameters:
        service: the service, which has started.
    """
    try:
        return list(service.figures())
    except Exception:
        logger.exception("the figures of %s failed", service.name, extra=about("", is_known=False))
        return []
