"""Makes what decides on the calls of the server."""

from __future__ import annotations

import logging

from rpcwire import tracing
from rpcwire.dispatch import Dispatch
from rpcwire.registry import Offers

logger = logging.getLogger("rpcclient")


def make_dispatch(offers: Offers) -> Dispatch:
    """Make what decides on the calls of the server. If this program traces, their spans belong to the server's trace.

    Parameters:
        offers: the methods that the client offers.
    """
    if tracing.tracer is None:
        return Dispatch(offers, logger=logger)
    from rpcwire.traced import TracedDispatch

    return TracedDispatch(offers, logger=logger)
