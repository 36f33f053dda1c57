"""Names of machines as requests and settings spell them: one form for each, and which of them are this machine."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from functools import lru_cache

LOCALHOST = "localhost"

_AUTHORITY = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)(?:%(?:25)?(?P<zone>[A-Za-z0-9._~-]+))?\]|(?P<name>[A-Za-z0-9._-]+))"
    r"(?::(?P<port>[0-9]{0,5}))?"
)
_NUMBERS = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}", re.ASCII)
"""How inet_aton(3) lets one write an IPv4 address: 127.0.0.1, 127.1, 0x7f000001."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A host and a port (RFC 3986, section 3.2).

    Attributes:
        host: in its one form; see :func:`canonical`.
        port: ``None`` where it was left out.
    """

    host: str
    port: int | None


def read_authority(text: str) -> Authority | None:
    """Read ``host:port``; ``None`` if malformed.

    Parameters:
        text: as in a Host header (RFC 9110, section 7.2). An IPv6 address stands in brackets, and may have a zone.
    """
    match = _AUTHORITY.fullmatch(text)
    if match is None or int(match["port"] or 0) > 65535:
        return None
    if match["v6"]:
        try:
            ipaddress.IPv6Address(match["v6"])
        except ValueError:
            return None
    return Authority(canonical(match["v6"] or match["name"]), int(match["port"]) if match["port"] else None)


@lru_cache(256)  # The same few come with every connection.
def canonical(host: str) -> str:
    """The one form of a name or an address: in lower case, without brackets, a zone, or the dot that ends a name. IPv6
    addresses are as short as can be (RFC 5952), IPv4 addresses have four numbers, also within IPv6, and names in other
    scripts are in ASCII."""
    bare = host.strip("[]").partition("%")[0].lower()
    if not bare.endswith(".."):
        bare = bare.removesuffix(".")
    try:
        if not bare.isascii():
            bare = bare.encode("idna").decode()
        if _NUMBERS.fullmatch(bare):
            return socket.inet_ntoa(socket.inet_aton(bare))
        address = ipaddress.ip_address(bare)
    except (ValueError, OSError):
        return bare
    return str(getattr(address, "ipv4_mapped", None) or address)


def is_loopback(host: str) -> bool:
    """Whether a name or an address leads to this machine and can be reached from nowhere else, however it is spelled.

    Names other than ``localhost`` and those below it (RFC 6761, section 6.3) are not looked up: they do not count.
    """
    bare = canonical(host)
    if bare == LOCALHOST or bare.endswith(f".{LOCALHOST}"):
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


@lru_cache(256)
def is_this_machine(host: str) -> bool:
    """Whether who connects to this host reaches their own machine: loopback, or no address in particular (0.0.0.0)."""
    try:
        return ipaddress.ip_address(canonical(host)).is_unspecified or is_loopback(host)
    except ValueError:
        return is_loopback(host)


def read_origin(text: str) -> tuple[str, Authority] | None:
    """An origin as browsers send it (RFC 6454, section 7), its port filled in; ``None`` where it is none of the web.

    Returns:
        The scheme, ``http`` or ``https``, and the authority.
    """
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    authority = read_authority(rest)
    if not separator or scheme not in _DEFAULT_PORTS or authority is None:
        return None
    return scheme, with_port(authority, scheme)


_DEFAULT_PORTS = {"http": 80, "https": 443}


def with_port(authority: Authority, scheme: str) -> Authority:
    """The same with the scheme's own port where it was left out."""
    return authority if authority.port is not None else Authority(authority.host, _DEFAULT_PORTS[scheme])
