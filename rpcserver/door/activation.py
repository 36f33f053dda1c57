"""Listening sockets that systemd has opened and hands over (sd_listen_fds(3)). They outlive a restart of the server, so
no client is refused meanwhile."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass

from rpcserver.config import ConfigError

_FIRST = 3
"""The number of the first descriptor (``SD_LISTEN_FDS_START``)."""

_MOST_DIGITS = 9
"""No process has more descriptors than that (``INT_MAX``)."""


@dataclass(frozen=True, slots=True)
class ActivatedSocket:
    """A socket that systemd has opened.

    Attributes:
        name: its name, ``FileDescriptorName=`` in the socket unit.
        sock: the socket, which listens.
    """

    name: str
    sock: socket.socket


def take_sockets(environ: MutableMapping[str, str]) -> list[ActivatedSocket]:
    """Take over the sockets that the environment tells of. The variables are removed from it, so that no program that
    the server runs takes these numbers for sockets of its own.

    Raises:
        ConfigError: one of them is no listening stream socket of the internet or of Unix, or is not there.
    """
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    if len(count) > _MOST_DIGITS:
        raise ConfigError(f"LISTEN_FDS: {count[:20]}: that is no number of sockets: unset LISTEN_FDS and LISTEN_PID")
    sockets: list[ActivatedSocket] = []
    for place in range(int(count)):
        name = names[place] if place < len(names) and names[place] else "unknown"
        try:
            os.set_inheritable(_FIRST + place, False)
        except OSError as exc:
            raise ConfigError(
                f"LISTEN_FDS: {count}: descriptor {_FIRST + place} is not open: hand over as many sockets, or unset "
                "LISTEN_FDS and LISTEN_PID"
            ) from exc
        sockets.append(ActivatedSocket(name, _check_socket(name, _FIRST + place)))
    return sockets


def _check_socket(name: str, descriptor: int) -> socket.socket:
    where = f"socket unit: {name[:100]}"
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as exc:
        raise ConfigError(f"{where}: it is no socket: {exc.strerror}") from exc
    if sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX) or sock.type != socket.SOCK_STREAM:
        raise ConfigError(f"{where}: write ListenStream= with an address of TCP or the path of a Unix socket")
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ConfigError(f"{where}: it does not listen: write Accept=no")
    sock.setblocking(False)
    return sock
