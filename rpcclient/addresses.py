"""The host of a URL: how to reach it, what to call it, and whether it is this machine."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import unquote

_NUMBERS = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}", re.ASCII)
"""How inet_aton(3) lets one write an IPv4 address: 127.0.0.1, 127.1, 0x7f000001."""
_ZONE = re.compile(r"[^\s/%]+")
LOCALHOST = "localhost"


@dataclass(frozen=True, slots=True)
class Host:
    """Where a URL leads.

    Attributes:
        address: what to connect to: a name, or an address, with its zone where it has one.
        name: what to call it there, in the Host header and the certificate: never with a zone, which means something
            on this machine only (RFC 6874, section 4), and never with the dot that ends a name.
    """

    address: str
    name: str

    @property
    def has_zone(self) -> bool:
        """Whether the address holds on one network interface only."""
        return "%" in self.address

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine, however it is spelled: what is sent there does not leave it."""
        if self.address == LOCALHOST:
            return True
        try:
            address = ipaddress.ip_address(self.name)
        except ValueError:
            return False  # A name, though it may look like an address: 127.example.org.
        within = getattr(address, "ipv4_mapped", None) or address
        return bool(within.is_loopback or within.is_unspecified)


def host_of(text: str) -> Host:
    """Read the host of a URL, as :func:`urllib.parse.urlsplit` gives it.

    Raises:
        ValueError: it is none; the message says why.
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
            dotted = socket.inet_ntoa(socket.inet_aton(name))
        except OSError:
            return Host(ascii_text, name)  # Too large for an address. Whoever looks names up will say so.
        return Host(dotted, dotted)
    if name == LOCALHOST or name.endswith(f".{LOCALHOST}"):
        # They are this machine by definition (RFC 6761, section 6.3), so nobody else is asked where they are.
        return Host(LOCALHOST, name)
    return Host(ascii_text, name)


def _ipv6(text: str) -> Host:
    written, percent, zone = text.partition("%")
    address = ipaddress.IPv6Address(written)
    mapped = address.ipv4_mapped
    name = str(address) if mapped is None else f"::ffff:{mapped}"
    if not percent:
        return Host(name, name)
    # RFC 6874 has the percent sign itself encoded. Many write it as it stands: [fe80::1%eth0].
    zone = unquote(zone[2:]) if zone.startswith("25") else zone
    if not _ZONE.fullmatch(zone):
        raise ValueError(f"the zone of {written} is missing or malformed: write [{written}%25INTERFACE]")
    return Host(f"{name}%{zone}", name)
