"""Text for a log: makes text of the other side printable, and quiets the logger of websockets."""

from __future__ import annotations

import logging

QUIET = logging.getLogger("rpcwire.websocket")
"""The logger of websockets. The layers above it log what matters for an operator."""
QUIET.setLevel(logging.WARNING)


def printable(text: str, limit: int = 300) -> str:
    """Make text of the other side fit for a log: one line without control characters.

    Parameters:
        text: the text.
        limit: the most characters of it to show.
    """
    return text[:limit].encode("unicode_escape").decode("ascii")
