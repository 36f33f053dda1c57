"""The checks of the HTTP request and of the socket before any call, as pure functions."""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass

from websockets.datastructures import Headers

from rpcwire.logs import printable

from .hosts import Authority, is_this_machine, read_origin, with_port

_SO_PEERGROUPS = 59
"""The groups of a process at the other end of a Unix socket (<asm-generic/socket.h>); Python has no name for it."""

_GROUPS_BYTES = 1000
"""Python asks for at most 1024 bytes."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a request that is refused: an HTTP status, and a sentence with the remedy."""

    status: int
    text: str


def check_host(authority: Authority, allowed_hosts: Collection[str]) -> Refusal | None:
    """Refuse a request for another host, since it may be an attack by DNS rebinding.

    Parameters:
        authority: the host and port that the request names.
        allowed_hosts: further names of this server, in their one form, besides those of this machine.
    """
    if authority.host in allowed_hosts or is_this_machine(authority.host):
        return None
    text = f"this server does not go by the name {authority.host[:100]!r}: add it to listen.allowed_hosts"
    return Refusal(421, text)


def check_origin(headers: Headers, authority: Authority, allowed_origins: Collection[str]) -> Refusal | None:
    """Refuse web pages of other origins: a browser names the page's origin (RFC 6455, section 10.2), other clients do
    not.

    Parameters:
        headers: the headers of the request.
        authority: the host and port that the request names; :func:`check_host` has checked it.
        allowed_origins: other origins, as :func:`canonical_origin` writes them.
    """
    values = headers.get_all("Origin")
    if not values:
        return None
    if len(values) == 1:
        own_origins = {f"{scheme}://{_write(with_port(authority, scheme))}" for scheme in ("http", "https")}
        if canonical_origin(values[0]) in own_origins | set(allowed_origins):
            return None
    # "null" stands for files and for pages in sandboxes, whichever they are: only its own name lets it in.
    origin = printable(", ".join(values), 100)
    return Refusal(403, f"web pages of the origin {origin!r} may not connect: add it to listen.allowed_origins")


def canonical_origin(text: str) -> str:
    """Write an origin in its one form: with its port, or in lower case if its scheme is not of the web."""
    origin = read_origin(text)
    return text.lower() if origin is None else f"{origin[0]}://{_write(origin[1])}"


def _write(authority: Authority) -> str:
    host = f"[{authority.host}]" if ":" in authority.host else authority.host
    return f"{host}:{authority.port}"


def peer_uid(sock: socket.socket) -> int | None:
    """Ask the kernel for the user id of the process at the other end of a Unix socket; ``None`` if it does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    pid_uid_gid = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", pid_uid_gid)
    return int(uid)


def peer_groups(sock: socket.socket) -> frozenset[int]:
    """Ask the kernel for the groups of the process at the other end of a Unix socket, as they were when it connected.
    That are the rights that the process really has, and nothing must be looked up for it. For a process with more than
    250 groups, the groups of its user are looked up."""
    if not hasattr(socket, "SO_PEERCRED"):
        return frozenset()
    pid_uid_gid = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, gid = struct.unpack("3i", pid_uid_gid)
    try:
        groups = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError as exc:
        if exc.errno == errno.ERANGE:
            with contextlib.suppress(KeyError):
                return frozenset(os.getgrouplist(pwd.getpwuid(uid).pw_name, gid))
        return frozenset({gid})
    return frozenset({gid, *struct.unpack(f"{len(groups) // 4}I", groups)})
