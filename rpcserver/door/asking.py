"""Reads an HTTP request: its target and its Host header together."""

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
class HttpRequest:
    """An HTTP request.

    Attributes:
        method: its method, such as ``GET``.
        path: the path of its target, without the query.
        authority: the host and port that it names.
        headers: its headers.
    """

    method: str
    path: str
    authority: Authority
    headers: Headers

    @property
    def is_head(self) -> bool:
        """Whether the answer must have no body (RFC 9110, section 9.3.2)."""
        return self.method == "HEAD"

    @property
    def is_preflight(self) -> bool:
        """Whether a browser asks if a page of another origin may send a request (CORS)."""
        return self.method == "OPTIONS" and "Origin" in self.headers and "Access-Control-Request-Method" in self.headers

    @property
    def wants_websocket(self) -> bool:
        """Whether the request asks for a WebSocket. A request to upgrade to another protocol is an offer that needs no
        answer (RFC 9110, section 7.8): Java's client and ``curl --http2`` add one to every request."""
        offers = ",".join(self.headers.get_all("Upgrade")).split(",")
        return any(offer.strip().lower() == "websocket" for offer in offers)


def read_request(request: Request, path_prefix: str = "") -> HttpRequest | Refusal:
    """Read a request's target (RFC 9112, section 3.2) and its Host header. A host in the target goes before the header.

    Parameters:
        request: the request as it came.
        path_prefix: the prefix that proxies put before the paths of the server; it is removed from the path.

    Returns:
        The request, or the refusal if it is malformed.
    """
    hosts = request.headers.get_all("Host")
    if len(hosts) != 1:
        return Refusal(400, f"{len(hosts)} Host headers: send exactly one (RFC 9110, section 7.2)")
    authority = read_authority(hosts[0])
    if authority is None:
        return Refusal(400, "the Host header is malformed (RFC 9110, section 7.2)")
    plain = _ORIGIN_FORM.fullmatch(request.path)
    if plain is not None:
        return HttpRequest(request.method, _without(path_prefix, plain["path"]), authority, request.headers)
    absolute = _ABSOLUTE.fullmatch(request.path)
    target_authority = read_authority(absolute["authority"]) if absolute is not None else None
    if absolute is None or target_authority is None:
        if request.method not in ("GET", "HEAD"):
            # CONNECT and OPTIONS have other targets; the caller refuses these methods.
            return HttpRequest(request.method, "", authority, request.headers)
        return Refusal(400, "the target of the request is malformed: write a path, or http://host/path (RFC 9112)")
    return HttpRequest(
        request.method, _without(path_prefix, absolute["path"] or "/"), target_authority, request.headers
    )


def _without(prefix: str, path: str) -> str:
    """Remove the prefix from a path."""
    return path.removeprefix(prefix) or "/" if path == prefix or path.startswith(f"{prefix}/") else path
