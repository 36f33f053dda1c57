"""Measures how much of a socket's output the other side has received, as far as the system tells. Output that has left
this program may wait in the kernel for minutes if the network is slow."""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

_LINUX = sys.platform == "linux"
_BYTE_COUNT = struct.Struct("=Q")
_BYTES_ACKED_AT = 120
"""Where ``tcpi_bytes_acked`` is in Linux's ``struct tcp_info``, which only grows at its end (linux/tcp.h)."""


class Gauge:
    """Measures one socket. If the system tells nothing, bytes count as received when they are handed to it.

    Parameters:
        sock: the socket, or the object that an event loop gives for it; ``None`` if there is none.
    """

    __slots__ = ("_is_tcp", "_received_bytes", "_sock")

    def __init__(self, sock: Any) -> None:
        self._sock: Any = sock if _LINUX else None
        self._is_tcp = sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6)
        self._received_bytes = 0

    def count_received(self, written_bytes: int, waiting_bytes: int) -> int:
        """Count the bytes that the other side has received since the connection began. Only the growth of this number
        counts.

        Parameters:
            written_bytes: the number of bytes written so far.
            waiting_bytes: how many of these were not handed to the system yet.
        """
        if self._sock is not None:
            try:
                self._received_bytes = (
                    self._count_acknowledged() if self._is_tcp else written_bytes - waiting_bytes - self._count_unsent()
                )
            except (OSError, ValueError):  # The socket is closed.
                pass
            return self._received_bytes
        return written_bytes - waiting_bytes

    def count_waiting(self, waiting: int) -> int:
        """Count the bytes that the other side has not received yet.

        Parameters:
            waiting: how many of them were not handed to the system yet.
        """
        if self._sock is not None:
            try:
                return waiting + self._count_unsent()
            except (OSError, ValueError):
                pass
        return waiting

    def _count_acknowledged(self) -> int:
        info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED_AT + _BYTE_COUNT.size)
        return (
            int(_BYTE_COUNT.unpack_from(info, _BYTES_ACKED_AT)[0])
            if len(info) >= _BYTES_ACKED_AT + _BYTE_COUNT.size
            else self._received_bytes
        )

    def _count_unsent(self) -> int:
        """Count the bytes in the kernel's buffer (SIOCOUTQ of tcp(7) and unix(7), which has the number of TIOCOUTQ)."""
        import fcntl
        import termios

        return int(struct.unpack("=i", fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0])
