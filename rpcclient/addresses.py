"""The host of a URL: which address to connect to, which name to send, and whether it is this machine."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import unquote

_NUMBERS = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}", re.ASCII)
"""The ways to write an IPv4 address that inet_aton(3) reads: 127.0.0.1, 127.1, 0x7f000001."""
_ZONE = re.compile(r"[^\s/%]+")
LOCALHOST = "localhost"


@dataclass(frozen=True, slots=True)
class Host:
    """The host of a URL.

    Attributes:
        address: what to connect to: a name, or an address with its zone, if it has one.
        name: its name in the Host header and in the certificate. It has no zone, which means something on this machine
            only (RFC 6874, section 4), and no dot at its end.
    """

    address: str
    name: str

    @property
    def has_zone(self) -> bool:
        """Whether the address is valid on one network interface only."""
        return "%" in self.address

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine, however it is spelled, so that nothing that is sent there leaves it."""
        if self.address == LOCALHOST:
            return True
        try:
            address = ipaddress.ip_address(self.name)
        except ValueError:
            return False  # A name, though it may look like an address: 127.example.org.
        address = getattr(address, "ipv4_mapped", None) or address
        return bool(address.is_loopback or address.is_unspecified)


def host_of(text: str) -> Host:
    """Read the host of a URL, as :func:`urllib.parse.urlsplit` gives it.

    Raises:
        ValueError: the text is no host; the message says why.
    """
    if ":" in text:
        return _ipv6(text)
    try:
        ascii_text = text if text.isascii() else text.encode("idna").decode()
    except UnicodeError as exc:
        raise ValueError(f"host {text!r}: {exc.__cause__ or exc}") from exc
    name = ascii_text.lower()[:-1] if ascii_text.endswith(".") else ascii_text.lower()
    if _NUMBERS.fullmatch(name):
        try:
            quad = socket.inet_ntoa(socket.inet_aton(name))
        except OSError:
            return Host(ascii_text, name)  # Too large for an address. The resolver will say so.
        return Host(quad, quad)
    if name == LOCALHOST or name.endswith(f".{LOCALHOST}"):
        # These names are this machine by definition (RFC 6761, section 6.3), so no resolver is asked.
        return Host(LOCALHOST, name)
    return Host(ascii_text, name)


def _ipv6(text: str) -> Host:
    address_text, percent, zone = text.partition("%")
    address = ipaddress.IPv6Address(address_text)
    ipv4 = address.ipv4_mapped
    name = str(address) if ipv4 is None else f"::ffff:{ipv4}"
    if not percent:
        return Host(name, name)
    # RFC 6874 wants the percent sign to be encoded. Many people write it as it is: [fe80::1%eth0].
    zone = unquote(zone[2:]) if zone.startswith("25") else zone
    if not _ZONE.fullmatch(zone):
        raise ValueError(f"the zone of {address_text} is missing or malformed: write [{address_text}%25INTERFACE]")
    return Host(f"{name}%{zone}", name)
