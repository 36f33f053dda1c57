"""Names of machines, as requests and settings write them: gives each its one form, and tells which are this machine."""

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
"""The ways in which inet_aton(3) allows to write an IPv4 address: 127.0.0.1, 127.1, 0x7f000001."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A host and a port (RFC 3986, section 3.2).

    Attributes:
        host: the host in its one form; see :func:`canonical`.
        port: the port; ``None`` if it is missing.
    """

    host: str
    port: int | None


def read_authority(text: str) -> Authority | None:
    """Read ``host:port``; ``None`` if malformed.

    Parameters:
        text: the value of a Host header (RFC 9110, section 7.2). An IPv6 address has brackets, and may have a zone.
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


@lru_cache(256)  # Every connection brings the same few names.
def canonical(host: str) -> str:
    """Return the one form of a name or an address: in lower case, without brackets, zone, and the dot at the end of a
    name. IPv6 addresses are in their short form (RFC 5952), IPv4 addresses have four numbers, within IPv6 too, and
    names in other scripts are in ASCII."""
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


@lru_cache(256)
def network_of(host: str) -> str:
    """Return the address by which limits count a client: of an IPv6 address its first 64 bits, since whoever has one
    address of such a network has all of them (RFC 4291, section 2.5.4). Other names stay as they are.

    Parameters:
        host: the address in its one form; see :func:`canonical`.
    """
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return host
    return host if address.is_loopback else str(ipaddress.IPv6Network((address, 64), strict=False))


def is_loopback(host: str) -> bool:
    """Return whether a name or an address belongs to this machine and cannot be reached from elsewhere, in any
    spelling.

    This does not look names up: of names, only ``localhost`` and those below it count (RFC 6761, section 6.3).
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
    """Return whether a client that connects to this host reaches its own machine: loopback, or 0.0.0.0 and ``::``."""
    try:
        return ipaddress.ip_address(canonical(host)).is_unspecified or is_loopback(host)
    except ValueError:
        return is_loopback(host)


def read_origin(text: str) -> tuple[str, Authority] | None:
    """Read an origin as browsers send it (RFC 6454, section 7), and add its port; ``None`` if it is not one of the web.

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
    """Add the scheme's own port if the port is missing."""
    return authority if authority.port is not None else Authority(authority.host, _DEFAULT_PORTS[scheme])
