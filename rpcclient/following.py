"""What both clients ask for when they follow events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rpcwire.publishing import EventPolicy


def follow_params(
    events: Sequence[str], target: Mapping[str, Any] | None, policy: EventPolicy, buffer_items: int
) -> dict[str, Any]:
    """Return the parameters of ``rpc.follow``.

    Parameters:
        events: full names of events; all if there are none.
        target: the nodes; ``None`` for the server alone.
        policy: what becomes of events while the reader is slow.
        buffer_items: how many may wait.
    """
    return {
        "events": list(events) or None,
        "target": None if target is None else dict(target),
        "policy": policy,
        "buffer_items": buffer_items,
    }
