"""Whom the door opens for, before any call: the checks of the HTTP request and of the socket, as pure functions."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass

from websockets.datastructures import Headers

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused: an HTTP status, and a sentence with the remedy."""

    status: int
    text: str


def host_of(value: str) -> str | None:
    """The name in a Host header (RFC 9110, section 7.2), without its port, in lower case; ``None`` if malformed."""
    match = _HOST.fullmatch(value)
    if match is None:
        return None
    return (match["v6"] or match["name"]).lower()


def check_host(headers: Headers, allowed: Collection[str]) -> Refusal | None:
    """Refuse a request that was meant for another host: that is how DNS rebinding looks.

    Parameters:
        headers: of the request.
        allowed: names in lower case.
    """
    values = headers.get_all("Host")
    if len(values) != 1:
        return Refusal(400, f"{len(values)} Host headers: send exactly one (RFC 9110, section 7.2)")
    name = host_of(values[0])
    if name is None:
        return Refusal(400, "the Host header is malformed (RFC 9110, section 7.2)")
    if name not in allowed:
        text = f"this server does not go by the name {name[:100]!r}: add it to listen.allowed_hosts"
        return Refusal(421, text)
    return None


def check_origin(headers: Headers, allowed: Collection[str]) -> Refusal | None:
    """Refuse web pages of others: a browser names the page's origin (RFC 6455, section 10.2), other clients none.

    Parameters:
        headers: of the request, whose Host has been checked.
        allowed: origins in lower case.
    """
    values = headers.get_all("Origin")
    if not values:
        return None
    host = headers["Host"].lower()
    own = {f"http://{host}", f"https://{host}"}
    if len(values) == 1 and (values[0].lower() in own or values[0].lower() in allowed):
        return None
    return Refusal(403, "this origin may not connect: add it to listen.allowed_origins")


def bearer_token(headers: Headers) -> str | Refusal | None:
    """The token of ``Authorization: Bearer`` (RFC 6750, section 2.1); ``None`` where there is no such header."""
    values = headers.get_all("Authorization")
    if not values:
        return None
    scheme, _, token = values[0].partition(" ")
    if len(values) != 1 or scheme.lower() != "bearer" or not token.strip():
        return Refusal(401, "the Authorization header must be: Bearer TOKEN")
    return token.strip()


def peer_uid(sock: socket.socket) -> int | None:
    """The user id of the process at the other end of a Unix socket, from the kernel; ``None`` where it does not say."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    pid_uid_gid = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", pid_uid_gid)
    return int(uid)


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    return host.lower() in LOOPBACK or host.startswith("127.")
