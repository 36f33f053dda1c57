"""What a socket tells without being read."""

from __future__ import annotations

import select

_ENDED = getattr(select, "POLLRDHUP", 0)
"""The other side sends no more: Linux tells it whatever still lies unread before the end."""


def has_failed(socket: int) -> bool:
    """Whether a socket has an error that nobody has read yet."""
    poll = select.poll()
    poll.register(socket, 0)
    return bool(poll.poll(0))


def has_ended(socket: int) -> bool:
    """Whether the other side has closed a connection, or it has failed."""
    poll = select.poll()
    poll.register(socket, _ENDED)
    return bool(poll.poll(0))
