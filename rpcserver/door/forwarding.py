"""Where connections come from: the address at the other end of the socket, or what trusted proxies say of it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from websockets.datastructures import Headers

from rpcserver.config import UNIX, ForwardingHeader, ListenConfig

from .admission import Refusal
from .hosts import canonical

HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")
"""What reverse proxies add to requests, and clients do not."""

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PART = re.compile(rf'[ \t]*(?:({_WORD})=(?:({_WORD})|"((?:[^"\\]|\\.)*)"))?[ \t]*([;,]|\Z)')
"""A parameter, if any, and what ends it: ``;`` another one of the element, ``,`` another element."""
_NODE = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+))(?::(?P<port>[0-9]{1,5}|_[A-Za-z0-9._-]+))?")
_HIDDEN = re.compile(r"(?P<name>unknown|_[A-Z0-9._-]+)(?::(?:[0-9]{1,5}|_[A-Z0-9._-]+))?", re.IGNORECASE)
"""A node that does not tell its address (RFC 7239, section 6.2 and 6.3), though it may tell a port."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a connection comes from.

    Attributes:
        address: without the port, in its one form; or what stands for it.
        port: where it is known.
        is_proxy: whether it is a proxy whose word counts.
        via: the proxy that told, for a person.
    """

    address: str
    port: int | None = None
    is_proxy: bool = False
    via: str = ""

    @property
    def counted_address(self) -> str | None:
        """What limits per address go by; ``None`` for a proxy, behind which many may be."""
        return None if self.is_proxy else self.address

    def __str__(self) -> str:
        bracketed = f"[{self.address}]" if ":" in self.address else self.address
        where = self.address if self.port is None else f"{bracketed}:{self.port}"
        return f"{where} via {self.via}" if self.via else where


class MalformedHeader(ValueError):
    """What a proxy says cannot be read."""


class Proxies:
    """Knows which proxies are trusted, and what they say.

    Parameters:
        config: names them.
    """

    def __init__(self, config: ListenConfig) -> None:
        self._networks = [ipaddress.ip_network(text) for text in config.trusted_proxies if text != UNIX]
        self._trusts_unix = UNIX in config.trusted_proxies
        self._header: ForwardingHeader = config.forwarding_header

    def source(self, address: str, port: int | None = None, via: str = "") -> Source:
        """An address of the network as a source."""
        known = canonical(address)
        return Source(known, port, self._is_trusted(known), via)

    def unix_source(self, uid: int | None) -> Source:
        """The user at the other end of a Unix socket as a source."""
        return Source(f"unix:uid={uid}", is_proxy=self._trusts_unix)

    def other_source(self, peer: object) -> Source:
        """What is at the other end of a plugin's transport as a source.

        Parameters:
            peer: its address, as accept(2) tells it.
        """
        return Source(str(peer[0] if isinstance(peer, tuple) and peer else peer))

    def _is_trusted(self, address: str) -> bool:
        if not self._networks:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)

    def client(self, source: Source, headers: Headers) -> Source | Refusal:
        """Who asks: the source itself, or where that is a trusted proxy, whom its header names.

        A header has one entry for each proxy on the way, and the last is by the one that is connected. What came before
        the first that is not trusted could have been written by anybody.

        Parameters:
            source: the other end of the connection.
            headers: of the request.
        """
        values = headers.get_all(self._header)
        if not source.is_proxy or not values:
            return source
        try:
            nodes = list(_forwarded(values) if self._header == "Forwarded" else _forwarded_for(values))
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
        """One entry: an address, with or without a port; bare IPv6 addresses are common, though not in RFC 7239."""
        if hidden := _HIDDEN.fullmatch(text):
            return Source(hidden["name"].lower(), via=via)
        match = _NODE.fullmatch(text)
        address = (match["v6"] or match["v4"]) if match is not None else text
        port = match["port"] if match is not None else None
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise MalformedHeader(f"{text[:60]!r} is no address") from None
        return self.source(address, int(port) if port and port.isdigit() else None, via)


def _forwarded_for(values: Iterable[str]) -> Iterator[str]:
    for value in values:
        yield from (entry.strip() for entry in value.split(",") if entry.strip())


def _forwarded(values: Sequence[str]) -> Iterator[str]:
    """Each element's ``for`` (RFC 7239, section 4); ``unknown`` where it has none."""
    for value in values:
        named: dict[str, str] = {}
        at, end = 0, ""
        while at < len(value) or end:
            match = _PART.match(value, at)
            if match is None:
                raise MalformedHeader('malformed: write for=192.0.2.1 or for="[2001:db8::1]", commas between elements')
            at, end = match.end(), match[4]
            if match[1]:
                name = match[1].lower()
                if name in named:
                    raise MalformedHeader(f"{name} stands twice in one element")
                named[name] = re.sub(r"\\(.)", r"\1", match[3]) if match[2] is None else match[2]
            if end != ";" and named:
                yield named.get("for", "unknown")
                named = {}
