"""Accepts connections from a listening socket, and counts each from its first moment: during the TLS handshake, too."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("rpcserver")

BACKLOG = 512
"""The most connections that the kernel keeps until they are accepted."""

ACCEPTED_AT_ONCE = 16
"""The most connections accepted in one turn of the event loop, so that open connections get their turns, too. With TLS
this many take some milliseconds."""

SHORT_AT_ONCE = 4
"""The most connections accepted in one turn while descriptors are short: whoever gives way closes after it."""

PAUSE_S = 0.1
"""How long to accept nothing after the system had no room for one more connection, in seconds."""

_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """Accepts connections. asyncio's own servers report a connection only after the TLS handshake, which a stranger can
    delay for long. So this class accepts connections itself.

    Parameters:
        sock: a bound socket; it belongs to the listener.
        on_accept: called with each new socket and its address, in the event loop. It returns whether descriptors are
            short.
        on_exhaustion: called when the system has no room for one more connection.
        url: the address, if a plugin's transport listens.
        has_tls: whether its connections use TLS.

    Attributes:
        sock: the socket.
        url: the address of a plugin's transport.
        has_tls: as above.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_accept: Callable[[socket.socket, Any], bool],
        on_exhaustion: Callable[[], object],
        url: str = "",
        *,
        has_tls: bool = False,
    ) -> None:
        self.sock = sock
        self.url = url
        self.has_tls = has_tls
        self._on_accept, self._on_exhaustion = on_accept, on_exhaustion
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._has_logged = False
        sock.setblocking(False)
        sock.listen(BACKLOG)
        self._loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Stop listening."""
        if self._pause is not None:
            self._pause.cancel()
        elif self.sock.fileno() >= 0:
            self._loop.remove_reader(self.sock)
        self.sock.close()

    def _accept(self) -> None:
        short = 0
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                sock, address = self.sock.accept()
            except (BlockingIOError, InterruptedError):
                self._has_logged = False
                return
            except OSError as exc:
                if exc.errno in _SHORTAGES:
                    self._wait(exc)
                    return
                continue  # By accept(2) this is an error of the new connection: the next one may be good.
            sock.setblocking(False)
            short += self._on_accept(sock, address)
            if short == SHORT_AT_ONCE:
                return

    def _wait(self, exc: OSError) -> None:
        if not self._has_logged:
            self._has_logged = True
            logger.error("connections cannot be accepted: %s: raise the limit of open files (ulimit -n)", exc.strerror)
        self._loop.remove_reader(self.sock)
        self._pause = self._loop.call_later(PAUSE_S, self._resume)
        self._on_exhaustion()

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self.sock, self._accept)
