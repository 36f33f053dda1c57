"""Finds the address of a client: the one at the other end of the socket, or the one that trusted proxies name."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from websockets.datastructures import Headers

from rpcserver.config import UNIX, ForwardingHeader, ListenConfig

from .admission import Refusal
from .hosts import canonical, network_of

HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")
"""The headers that reverse proxies add to requests, and clients do not."""

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_PART = re.compile(rf'[ \t]*+(?:({_WORD})=(?:({_WORD})|"((?:[^"\\]|\\.)*+)"))?+[ \t]*+([;,]|\Z)')
"""A parameter, if any, and its end: ``;`` before another parameter of the element, ``,`` before another element."""
_NODE = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+))(?::(?P<port>[0-9]{1,5}|_[A-Za-z0-9._-]+))?")
_NO_ADDRESS = re.compile(r"(?P<name>unknown|_[A-Z0-9._-]+)(?::(?:[0-9]{1,5}|_[A-Z0-9._-]+))?", re.IGNORECASE)
"""A node without an address (RFC 7239, sections 6.2 and 6.3); it may have a port."""


@dataclass(frozen=True, slots=True)
class Source:
    """The origin of a connection.

    Attributes:
        address: the address without the port, in its one form; or a word that stands for it.
        port: the port; ``None`` if it is not known.
        is_proxy: whether this is a trusted proxy.
        via: the proxy that has named the address, for a person; empty for none.
    """

    address: str
    port: int | None = None
    is_proxy: bool = False
    via: str = ""

    @property
    def counted_address(self) -> str | None:
        """The address to which limits per address apply; ``None`` for a proxy, which may have many clients."""
        return None if self.is_proxy else network_of(self.address)

    @property
    def attempts_address(self) -> str:
        """The address by which wrong attempts to authenticate are counted: of a proxy that names no client its own."""
        return network_of(self.address)

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        where = self.address if self.port is None else f"{host}:{self.port}"
        return f"{where} via {self.via}" if self.via else where


class MalformedHeader(ValueError):
    """The header of a proxy cannot be read."""


class Proxies:
    """Knows the trusted proxies, and reads their headers.

    Parameters:
        config: names the proxies.
    """

    def __init__(self, config: ListenConfig) -> None:
        self._networks = [ipaddress.ip_network(text) for text in config.trusted_proxies if text != UNIX]
        self._trusts_unix = UNIX in config.trusted_proxies
        self._header: ForwardingHeader = config.forwarding_header

    def source(self, address: str, port: int | None = None, via: str = "") -> Source:
        """Make the source of a network address."""
        one_form = canonical(address)
        return Source(one_form, port, self._is_trusted(one_form), via)

    def unix_source(self, uid: int | None) -> Source:
        """Make the source of the user at the other end of a Unix socket."""
        return Source(f"unix:uid={uid}", is_proxy=self._trusts_unix)

    def other_source(self, peer: object) -> Source:
        """Make the source of the other end of a plugin's transport.

        Parameters:
            peer: its address, as accept(2) gives it.
        """
        return Source(str(peer[0] if isinstance(peer, tuple) and peer else peer))

    def _is_trusted(self, address: str) -> bool:
        if not self._networks:
            return False
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self._networks)

    def client(self, source: Source, headers: Headers) -> Source | Refusal:
        """Find the client: the source itself, or if that is a trusted proxy, the client that its header names.

        Each proxy on the way adds an entry to the header, and the proxy at the other end of the connection has added
        the last. So this reads the entries from the last one. It stops at the first address that is not a trusted
        proxy, because anybody may have written the entries before it.

        Parameters:
            source: the other end of the connection.
            headers: the headers of the request.
        """
        values = headers.get_all(self._header)
        if not source.is_proxy or not values:
            return source
        try:
            nodes = list(_read_forwarded(values) if self._header == "Forwarded" else _read_forwarded_for(values))
            if not nodes:
                raise MalformedHeader("it names no address")
            client = source
            for node in reversed(nodes):
                client = self._read_node(node, str(source))
                if not client.is_proxy:
                    break
            return replace(client, is_proxy=False)
        except MalformedHeader as exc:
            return Refusal(400, f"{self._header}: {exc}")

    def _read_node(self, text: str, via: str) -> Source:
        """Read one entry: an address, with or without a port. IPv6 addresses without brackets are common, though RFC
        7239 does not allow them."""
        if match_without_address := _NO_ADDRESS.fullmatch(text):
            return Source(match_without_address["name"].lower(), via=via)
        match = _NODE.fullmatch(text)
        address = (match["v6"] or match["v4"]) if match is not None else text
        port = match["port"] if match is not None else None
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise MalformedHeader(f"{text[:60]!r} is no address") from None
        return self.source(address, int(port) if port and port.isdigit() else None, via)


def _read_forwarded_for(values: Iterable[str]) -> Iterator[str]:
    for value in values:
        yield from (entry.strip() for entry in value.split(",") if entry.strip())


def _read_forwarded(values: Sequence[str]) -> Iterator[str]:
    """Yield the ``for`` of each element (RFC 7239, section 4); ``unknown`` for an element without one."""
    for value in values:
        parameters: dict[str, str] = {}
        at, end = 0, ""
        while at < len(value) or end:
            match = _PART.match(value, at)
            if match is None:
                raise MalformedHeader('malformed: write for=192.0.2.1 or for="[2001:db8::1]", commas between elements')
            at, end = match.end(), match[4]
            if match[1]:
                name = match[1].lower()
                if name in parameters:
                    raise MalformedHeader(f"{name} stands twice in one element")
                parameters[name] = re.sub(r"\\(.)", r"\1", match[3]) if match[2] is None else match[2]
            if end != ";" and parameters:
                yield parameters.get("for", "unknown")
                parameters = {}
