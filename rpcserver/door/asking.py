"""What an HTTP request asks for, and of whom: its target and its Host header read together."""

from __future__ import annotations

import re
from dataclasses import dataclass

from websockets.datastructures import Headers
from websockets.http11 import Request

from .admission import Refusal
from .hosts import Authority, read_authority

_ABSOLUTE = re.compile(r"(?i:https?|wss?)://(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?(?:\?[^#]*)?")
_ORIGIN_FORM = re.compile(r"(?P<path>/[^?#]*)(?:\?[^#]*)?")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request.

    Attributes:
        method: such as ``GET``.
        path: of the target, without its query.
        authority: the host that was meant.
        headers: of the request.
    """

    method: str
    path: str
    authority: Authority
    headers: Headers

    @property
    def is_head(self) -> bool:
        """Whether the answer is to have no body (RFC 9110, section 9.3.2)."""
        return self.method == "HEAD"

    @property
    def wants_websocket(self) -> bool:
        """Whether a WebSocket is asked for. Other protocols to upgrade to are offers that need no answer (RFC 9110,
        section 7.8): Java's client and ``curl --http2`` make them with any request."""
        offers = ",".join(self.headers.get_all("Upgrade")).split(",")
        return any(offer.strip().lower() == "websocket" for offer in offers)


def read_request(request: Request, path_prefix: str = "") -> Asked | Refusal:
    """Read a request's target (RFC 9112, section 3.2) and its Host header; where the target names a host, that counts.

    Parameters:
        request: as it came.
        path_prefix: what proxies put before the paths of the server; left out of what is read, where it is there.

    Returns:
        What is asked for, or why that cannot be told.
    """
    hosts = request.headers.get_all("Host")
    if len(hosts) != 1:
        return Refusal(400, f"{len(hosts)} Host headers: send exactly one (RFC 9110, section 7.2)")
    authority = read_authority(hosts[0])
    if authority is None:
        return Refusal(400, "the Host header is malformed (RFC 9110, section 7.2)")
    plain = _ORIGIN_FORM.fullmatch(request.path)
    if plain is not None:
        return Asked(request.method, _without(path_prefix, plain["path"]), authority, request.headers)
    absolute = _ABSOLUTE.fullmatch(request.path)
    named = read_authority(absolute["authority"]) if absolute is not None else None
    if absolute is None or named is None:
        if request.method not in ("GET", "HEAD"):
            # CONNECT and OPTIONS have targets of their own; their methods are refused by name.
            return Asked(request.method, "", authority, request.headers)
        return Refusal(400, "the target of the request is malformed: write a path, or http://host/path (RFC 9112)")
    return Asked(request.method, _without(path_prefix, absolute["path"] or "/"), named, request.headers)


def _without(prefix: str, path: str) -> str:
    """A path as the server knows it."""
    return path.removeprefix(prefix) or "/" if path == prefix or path.startswith(f"{prefix}/") else path
