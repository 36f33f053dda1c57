"""What both clients know of leases: the methods, the clock, and what is told of a lease that is lost."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from rpcwire.errors import InvalidParams, RpcError, ServiceError, from_wire
from rpcwire.group.leases import (
    LEAST_TTL_S,
    MOST_TTL_S,
    NAME_CHARACTERS,
    SCOPE_CHARACTERS,
    LeaseHeld,
    LeaseLost,
)
from rpcwire.group.selectors import InvalidSelector, parse

from .methods import Method

RENEWALS = 3
"""How often a lease is renewed while it would last."""
RETRY_S = 0.5
"""How long to wait before a renewal is tried again, in seconds."""
GRACE_S = 30.0
"""How much longer the answer may take than the server waits for the lease, in seconds."""
RELEASE_S = 5.0
"""How long giving a lease back may take, in seconds."""


class LeaseGrant(BaseModel):
    """What a holder is told."""

    model_config = ConfigDict(frozen=True)

    fencing_token: int
    ttl_s: float
    waited_s: float


class _LeaseMethod(Method):
    def error(self, code: int, message: str, data: object) -> RpcError:
        return from_wire(code, message, data, _ERRORS)


_ERRORS: Mapping[str, type[ServiceError]] = {each.__name__: each for each in (LeaseHeld, LeaseLost)}
ACQUIRE = _LeaseMethod("rpc.acquire_lease", LeaseGrant)
"""Acquires a lease."""
RENEW = _LeaseMethod("rpc.renew_lease", LeaseGrant)
"""Renews it."""
RELEASE = _LeaseMethod("rpc.release_lease", bool)
"""Gives it back."""


def read_clock() -> float:
    """Return the time on a clock that nobody sets, and that goes on while the machine sleeps, in seconds."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def check_lease(name: str, scope: str, ttl_s: float, wait_s: float | None) -> None:
    """Check the parameters of a lease.

    Raises:
        ValueError: one cannot be used.
    """
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS:
        raise ValueError(f"name: a text of 1 to {NAME_CHARACTERS} characters, and not {name!r:.100}")
    if len(scope) > SCOPE_CHARACTERS:
        raise ValueError(f"the selector has more than {SCOPE_CHARACTERS} characters")
    if not LEAST_TTL_S <= ttl_s <= MOST_TTL_S:
        raise ValueError(f"ttl_s: from {LEAST_TTL_S:g} to {MOST_TTL_S:g} seconds, and not {ttl_s!r}")
    if wait_s is not None and (not wait_s >= 0 or math.isinf(wait_s)):
        raise ValueError(f"wait_s: seconds, 0 not to wait, or None to wait for ever, and not {wait_s!r}")


def scope_of(target: Mapping[str, Any]) -> str:
    """Return for what a lease of some nodes is: for the same selector always the same text. It is no matter which nodes
    there are. A lease of all nodes is one of the whole group.

    Parameters:
        target: the nodes, as ``rpc.call_nodes`` takes them.

    Raises:
        InvalidParams: the selector cannot be used.
    """
    if "names" in target:
        return f"names {','.join(sorted(set(target['names'])))}"
    if "selector" not in target:
        return ""
    try:
        requirements = parse(target["selector"]).requirements
    except InvalidSelector as exc:
        raise InvalidParams(f"nodes: {exc}", executed="no") from None
    return f"selector {','.join(sorted(set(map(str, requirements))))}"


def lost_error(name: str, reason: str) -> LeaseLost:
    """Make the error for a lease that is lost.

    Parameters:
        name: its name.
        reason: why.
    """
    return LeaseLost(f"the lease {name!r} is lost: {reason}", lease=name)
