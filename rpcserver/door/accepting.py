"""Takes connections from a socket that listens, and counts each from its first moment: also while TLS is on its way."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("rpcserver")

BACKLOG = 512
"""Connections that the kernel keeps until they are accepted."""

ACCEPTED_AT_ONCE = 64
"""Connections accepted in one turn of the event loop, so that those which are in have their turns, too."""

PAUSE_S = 0.1
"""How long nothing is accepted after the system had no room for one more connection."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """Accepts connections. asyncio's own servers tell of a connection once TLS has been agreed upon, which a stranger
    can put off; so this one accepts by itself.

    Parameters:
        sock: a bound socket; it belongs to the listener.
        tls: for connections that are to be encrypted.
        accepted: called with each new socket and its address, in the event loop.
        exhausted: called where the system has no room for one more connection.
        url: where a plugin's transport listens.

    Attributes:
        sock: the socket.
        tls: as above.
        url: as above.
    """

    def __init__(
        self,
        sock: socket.socket,
        tls: ssl.SSLContext | None,
        accepted: Callable[[socket.socket, Any], None],
        exhausted: Callable[[], None],
        url: str = "",
    ) -> None:
        self.sock = sock
        self.tls = tls
        self.url = url
        self._accepted, self._exhausted = accepted, exhausted
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._told = False
        sock.setblocking(False)
        sock.listen(BACKLOG)
        self._loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Accept nothing more."""
        if self._pause is not None:
            self._pause.cancel()
        elif self.sock.fileno() >= 0:
            self._loop.remove_reader(self.sock)
        self.sock.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                sock, address = self.sock.accept()
            except (BlockingIOError, InterruptedError):
                self._told = False
                return
            except OSError as exc:
                if exc.errno in _EXHAUSTED:
                    self._wait(exc)
                    return
                continue  # An error of the connection that was to come, says accept(2): the next may be well.
            sock.setblocking(False)
            self._accepted(sock, address)

    def _wait(self, exc: OSError) -> None:
        if not self._told:
            self._told = True
            logger.error("connections cannot be accepted: %s: raise the limit of open files (ulimit -n)", exc.strerror)
        self._loop.remove_reader(self.sock)
        self._pause = self._loop.call_later(PAUSE_S, self._resume)
        self._exhausted()

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self.sock, self._accept)
