"""How much of a socket's output the other side has taken, as far as the system tells: what has left this program may
still wait in the kernel for minutes on a slow way."""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

_LINUX = sys.platform == "linux"
_ACKED = struct.Struct("=Q")
_ACKED_AT = 120
"""Where ``tcpi_bytes_acked`` is in Linux's ``struct tcp_info``, which only grows at its end (linux/tcp.h)."""


class Gauge:
    """Measures one socket. What the system does not tell is counted as taken once it was handed over.

    Parameters:
        sock: the socket, or what an event loop shows of it; ``None`` where there is none.
    """

    def __init__(self, sock: Any) -> None:
        self._sock: Any = sock if _LINUX else None
        self._is_tcp = sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6)
        self._taken = 0

    def taken(self, written: int, waiting: int) -> int:
        """Bytes that the other side has taken since the connection began; what counts is how they grow.

        Parameters:
            written: bytes that were written so far.
            waiting: bytes of those that were not handed to the system yet.
        """
        if self._sock is not None:
            try:
                self._taken = self._acknowledged() if self._is_tcp else written - waiting - self._unsent()
            except (OSError, ValueError):  # It is closed.
                pass
            return self._taken
        return written - waiting

    def queued(self, waiting: int) -> int:
        """Bytes that the other side has not taken yet.

        Parameters:
            waiting: those that were not handed to the system yet.
        """
        if self._sock is not None:
            try:
                return waiting + self._unsent()
            except (OSError, ValueError):
                pass
        return waiting

    def _acknowledged(self) -> int:
        info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED_AT + _ACKED.size)
        return int(_ACKED.unpack_from(info, _ACKED_AT)[0]) if len(info) >= _ACKED_AT + _ACKED.size else self._taken

    def _unsent(self) -> int:
        """What the kernel holds (SIOCOUTQ of tcp(7) and unix(7), which has the number of TIOCOUTQ)."""
        import fcntl
        import termios

        return int(struct.unpack("=i", fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0])
