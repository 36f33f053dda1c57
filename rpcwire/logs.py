"""What may stand in a log: text of the other side as one line, and of websockets' own layer only what matters."""

from __future__ import annotations

import logging

QUIET = logging.getLogger("rpcwire.websocket")
"""Where websockets' own layer logs; what matters for an operator is logged above it."""
QUIET.setLevel(logging.WARNING)


def printable(text: str, limit: int = 300) -> str:
    """Text of the other side for a log: one line, no control characters.

    Parameters:
        text: as it came.
        limit: characters of it to show.
    """
    return text[:limit].encode("unicode_escape").decode("ascii")
