"""Tells systemd the state of the server, by the protocol of sd_notify(3). Without systemd it tells nobody."""

from __future__ import annotations

import array
import logging
import os
import select
import socket
import time
from collections.abc import MutableMapping

logger = logging.getLogger("rpcserver.systemd")

_MICRO = 1_000_000

_MOST_USEC_DIGITS = 18
"""More microseconds than that are 30,000 years."""


class Notifier:
    """Sends states to the socket that systemd gives.

    Parameters:
        environ: the environment. The variables of the protocol are removed from it, so that programs which the server
            runs cannot speak for it.

    Attributes:
        watchdog_s: how often the service manager must hear :meth:`feed_watchdog`, in seconds; ``None`` if it has no
            watchdog.
    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        address = environ.pop("NOTIFY_SOCKET", "")
        watchdog_usec, watchdog_pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        is_ours = not watchdog_pid or watchdog_pid == str(os.getpid())
        usec = int(watchdog_usec) if watchdog_usec.isdecimal() and len(watchdog_usec) <= _MOST_USEC_DIGITS else 0
        self.watchdog_s = usec / _MICRO if address and is_ours and usec else None
        self._socket: socket.socket | None = None
        self._is_heard = True
        self._unheard = ""  # What is told until it is heard: without it systemd would end the server.
        if address[:1] in ("/", "@"):
            # Whoever reads nothing must not hold the event loop up.
            kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            self._socket = socket.socket(socket.AF_UNIX, kind)
            self._address = f"\0{address[1:]}" if address[0] == "@" else address
        elif address:
            logger.warning("NOTIFY_SOCKET: %.100r is no Unix socket: systemd is told nothing", address)

    @property
    def is_active(self) -> bool:
        """Whether somebody listens."""
        return self._socket is not None

    def ready(self) -> None:
        """Tell that every listener takes calls, after the start or after a reload."""
        self._unheard = "READY=1"
        self._send("")

    def reloading(self) -> None:
        """Tell that the configuration is read again; :meth:`ready` ends it (``Type=notify-reload``)."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, most_s: float) -> None:
        """Tell that the server stops.

        Parameters:
            most_s: how long that may take, in seconds. The unit's own limit (``TimeoutStopSec=``) may be less.
        """
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={round(most_s * _MICRO)}")

    def status(self, text: str) -> None:
        """Set the line that ``systemctl status`` shows."""
        self._send(f"STATUS={' '.join(text.split())}")

    def feed_watchdog(self) -> None:
        """Tell that the server works. If this is not told in time, systemd ends the server."""
        self._send("WATCHDOG=1")

    def wait_until_heard(self, timeout_s: float) -> None:
        """Wait until systemd has read everything told so far. Without that, the last words of a process that ends may
        be lost (sd_notify_barrier(3)).

        Parameters:
            timeout_s: the longest wait, in seconds.
        """
        if self._socket is None:
            return
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            try:
                rights = array.array("i", [writing])
                # Not socket.send_fds(): it does not pass the address on (in Python 3.11 at least).
                self._socket.sendmsg([b"BARRIER=1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], 0, self._address)
            except OSError as exc:
                logger.warning("systemd cannot be told: %s", exc.strerror or exc)
                return
            finally:
                os.close(writing)
            poll = select.poll()
            poll.register(reading, 0)  # The end of the pipe is always reported.
            if not poll.poll(timeout_s * 1000):
                logger.warning("systemd has not answered within %g s", timeout_s)
        finally:
            os.close(reading)

    def close(self) -> None:
        """Tell nothing from now on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        if self._socket is None:
            return
        text = "\n".join(filter(None, (self._unheard, text)))
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError as exc:
            if self._is_heard:
                self._is_heard = False
                what = text.partition("=")[0]
                logger.warning("systemd cannot be told %s, and perhaps more: %s", what, exc.strerror or exc)
        else:
            self._is_heard, self._unheard = True, ""
