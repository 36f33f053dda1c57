"""Whom the door opens for, before any call: the checks of the HTTP request and of the socket, as pure functions."""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass

from websockets.datastructures import Headers

from .hosts import Authority, is_this_machine, read_origin, with_port


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused: an HTTP status, and a sentence with the remedy."""

    status: int
    text: str


def check_host(authority: Authority, allowed: Collection[str]) -> Refusal | None:
    """Refuse a request that was meant for another host: that is how DNS rebinding looks.

    Parameters:
        authority: whom the request names.
        allowed: names in their one form, besides those of this machine itself.
    """
    if authority.host in allowed or is_this_machine(authority.host):
        return None
    text = f"this server does not go by the name {authority.host[:100]!r}: add it to listen.allowed_hosts"
    return Refusal(421, text)


def check_origin(headers: Headers, authority: Authority, allowed: Collection[str]) -> Refusal | None:
    """Refuse web pages of others: a browser names the page's origin (RFC 6455, section 10.2), other clients none.

    Parameters:
        headers: of the request.
        authority: whom the request names; checked before.
        allowed: other origins, as :func:`canonical_origin` writes them.
    """
    values = headers.get_all("Origin")
    if not values:
        return None
    if len(values) == 1:
        own = {f"{scheme}://{_written(with_port(authority, scheme))}" for scheme in ("http", "https")}
        if canonical_origin(values[0]) in own | set(allowed):
            return None
    return Refusal(403, "this origin may not connect: add it to listen.allowed_origins")


def canonical_origin(text: str) -> str:
    """An origin in its one form, its port written out; those of other schemes than the web's in lower case."""
    origin = read_origin(text)
    return text.lower() if origin is None else f"{origin[0]}://{_written(origin[1])}"


def _written(authority: Authority) -> str:
    host = f"[{authority.host}]" if ":" in authority.host else authority.host
    return f"{host}:{authority.port}"


def peer_uid(sock: socket.socket) -> int | None:
    """The user id of the process at the other end of a Unix socket, from the kernel; ``None`` where it does not say."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    pid_uid_gid = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", pid_uid_gid)
    return int(uid)
