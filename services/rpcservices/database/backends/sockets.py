"""What can be learned of a socket without reading from it."""

from __future__ import annotations

import os
import select
import socket as sockets

_ENDED = getattr(select, "POLLRDHUP", 0)
"""The event that the other side sends no more. Linux reports it even while data before the end is unread."""


def has_failed(socket: int) -> bool:
    """Whether a socket has an error that nobody has read yet."""
    poll = select.poll()
    poll.register(socket, 0)
    return bool(poll.poll(0))


def has_ended(socket: int) -> bool:
    """Whether the other side has closed the connection, or the connection has failed."""
    poll = select.poll()
    poll.register(socket, _ENDED)
    return bool(poll.poll(0))


def is_silent(socket: int) -> bool:
    """Whether nothing has happened that nobody has read yet: no data has arrived, and the connection has not ended.
    One system call tells it."""
    poll = select.poll()
    poll.register(socket, select.POLLIN | _ENDED)
    return not poll.poll(0)


def unread(socket: int, most: int = 16_384) -> bytes:
    """Copy what has arrived and nobody has read yet; it stays unread. Nothing is waited for.

    Parameters:
        socket: its number.
        most: how many bytes are enough.
    """
    with sockets.socket(fileno=os.dup(socket)) as same:
        try:
            return same.recv(most, sockets.MSG_PEEK | sockets.MSG_DONTWAIT)
        except OSError:
            return b""
