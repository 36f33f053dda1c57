"""Orders the addresses of a server, and notes what became of each: happy eyeballs (RFC 8305), for both clients."""

from __future__ import annotations

# Looking a name up, or TLS, imports this when it is first needed. A child that is forked during that import would wait
# for ever for the importing thread, which it does not have. So it is imported here.
import encodings.idna  # noqa: F401
import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from rpcwire.forking import keep_from_children

ATTEMPT_DELAY_S = 0.25
"""How long one address is tried alone before the next is tried beside it, in seconds (RFC 8305, section 5)."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address to connect to.

    Attributes:
        family: ``AF_INET`` or ``AF_INET6``.
        sockaddr: what :meth:`socket.socket.connect` takes.
    """

    family: int
    sockaddr: Any

    @property
    def text(self) -> str:
        """The address for a person."""
        return str(self.sockaddr[0])

    def socket(self) -> socket.socket:
        """Make a socket for the address, which does not block.

        Raises:
            OSError: this machine does not support the address family, or no file descriptor is left.
        """
        sock = socket.socket(self.family, socket.SOCK_STREAM)
        # Otherwise the request behind a TLS handshake waits until the system of the server acknowledges the handshake:
        # 40 ms, where the server has nothing to send meanwhile.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_from_children(sock)
        sock.setblocking(False)
        return sock


LookupResult = Sequence[Address] | OSError | UnicodeError
"""The addresses of a name in the order in which to try them, or why there are none."""


def interleave(addresses: Iterable[Address]) -> list[Address]:
    """Return each address once, IPv6 and IPv4 in turn, and each family in the system's order (RFC 8305, section 4)."""
    families: dict[int, list[Address]] = {}
    for address in dict.fromkeys(addresses):
        families.setdefault(address.family, []).append(address)
    return [address for turn in zip_longest(*families.values()) for address in turn if address is not None]


def look_up(host: str, port: int, on_result: Callable[[LookupResult], None]) -> None:
    """Look a name up, without waiting for the result. The system's resolver may take long, and nothing can stop it.

    Parameters:
        host: a name, or an address.
        port: TCP port.
        on_result: called with the result, in a thread of its own; at once, in this one, if the host is an address.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass  # A name, though it may look like an address: 1.2.3.4.5.
    else:
        on_result(_resolve(host, port))
        return
    threading.Thread(target=lambda: on_result(_resolve(host, port)), name="rpcclient-lookup", daemon=True).start()


def _resolve(host: str, port: int) -> LookupResult:
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        return exc
    return interleave(Address(family, sockaddr) for family, _, _, _, sockaddr in infos)


@dataclass(slots=True)
class Trail:
    """What became of an attempt to connect so far. Its error says this.

    Attributes:
        place: what is being connected to, if not the server itself: a proxy.
        is_looking_up: whether its name is being looked up.
        reasons: for each address that was tried, why it failed; ``None`` while that is not known.
    """

    place: str = ""
    is_looking_up: bool = False
    reasons: dict[Address, str | None] = field(default_factory=dict)

    def note_lookup(self) -> None:
        """Note that the name is being looked up."""
        self.is_looking_up, self.reasons = True, {}

    def note_addresses(self) -> None:
        """Note that the addresses are known."""
        self.is_looking_up = False

    def note_attempt(self, address: Address) -> None:
        """Note that an address is being tried."""
        self.reasons[address] = None

    def note_failure(self, address: Address, exc: BaseException) -> None:
        """Note that an address failed."""
        self.reasons[address] = reason_of(exc)

    def note_success(self) -> None:
        """Note that an address answered. What became of the others does not matter any more."""
        self.reasons = {}

    def __str__(self) -> str:
        """Return each address with its reason; the reason alone if there is one address."""
        if self.is_looking_up:
            return "its name could not be looked up in time"
        entries = [(address.text, reason or "no answer") for address, reason in self.reasons.items()]
        return entries[0][1] if len(entries) == 1 else "; ".join(f"{address}: {reason}" for address, reason in entries)


class NoAddressAnswers(OSError):
    """Every address was tried, and none answered."""


def reason_of(exc: BaseException) -> str:
    """Return why a socket did not connect, in the system's words. (asyncio's words would repeat the address.)"""
    number = getattr(exc, "errno", None)
    if isinstance(exc, socket.gaierror) or not number:
        return getattr(exc, "strerror", None) or str(exc)
    return os.strerror(number)
