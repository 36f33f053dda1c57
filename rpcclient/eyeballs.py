"""In which order the addresses of a server are tried, and what became of each: happy eyeballs (RFC 8305), for both
clients."""

from __future__ import annotations

# The first that looks a name up, or speaks TLS, would import this; a child that is forked meanwhile would wait for ever
# for a thread that it does not have.
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
"""How long an address has for itself before the next is tried beside it, in seconds (RFC 8305, section 5)."""


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
        """A socket for it that does not block.

        Raises:
            OSError: this machine does not have that family, or no descriptor is left.
        """
        sock = socket.socket(self.family, socket.SOCK_STREAM)
        keep_from_children(sock)
        sock.setblocking(False)
        return sock


Found = Sequence[Address] | OSError | UnicodeError
"""The addresses of a name in the order in which to try them, or why there are none."""


def interleaved(addresses: Iterable[Address]) -> list[Address]:
    """The addresses with their families in turn, each once, otherwise in the order in which the system has sorted them
    (RFC 8305, section 4)."""
    families: dict[int, list[Address]] = {}
    for address in dict.fromkeys(addresses):
        families.setdefault(address.family, []).append(address)
    return [address for turn in zip_longest(*families.values()) for address in turn if address is not None]


def look_up(host: str, port: int, tell: Callable[[Found], None]) -> None:
    """Look a name up, without waiting: the system's resolver takes as long as it likes, and nothing can stop it.

    Parameters:
        host: a name, or an address.
        port: TCP port.
        tell: told what was found, by a thread that nobody waits for; or at once where the host is an address.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass  # A name, though it may look like an address: 1.2.3.4.5.
    else:
        tell(_found(host, port))
        return
    threading.Thread(target=lambda: tell(_found(host, port)), name="rpcclient-lookup", daemon=True).start()


def _found(host: str, port: int) -> Found:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        return exc
    return interleaved(Address(family, sockaddr) for family, _, _, _, sockaddr in found)


@dataclass(slots=True)
class Trail:
    """What became of an attempt so far, for the error that tells of it.

    Attributes:
        place: what is being reached, where that is not the server itself.
        looking_up: whether its name is being looked up.
        reasons: for each address that was tried why it did not do, as far as that is known.
    """

    place: str = ""
    looking_up: bool = False
    reasons: dict[Address, str | None] = field(default_factory=dict)

    def looks_up(self) -> None:
        """A name is being looked up."""
        self.looking_up, self.reasons = True, {}

    def found(self) -> None:
        """Its addresses are known."""
        self.looking_up = False

    def tries(self, address: Address) -> None:
        """An address is tried."""
        self.reasons[address] = None

    def failed(self, address: Address, exc: BaseException) -> None:
        """An address did not do."""
        self.reasons[address] = reason_of(exc)

    def arrived(self) -> None:
        """An address did: what became of the others is of no interest any more."""
        self.reasons = {}

    def __str__(self) -> str:
        """Each address with its reason, or only the reason where there is one address."""
        if self.looking_up:
            return "its name could not be looked up in time"
        told = [(address.text, reason or "no answer") for address, reason in self.reasons.items()]
        return told[0][1] if len(told) == 1 else "; ".join(f"{address}: {reason}" for address, reason in told)


class NoAddressAnswers(OSError):
    """Every address was tried, and none did."""


def reason_of(exc: BaseException) -> str:
    """Why a socket did not connect, in the system's words. (Those of asyncio name the address once more.)"""
    number = getattr(exc, "errno", None)
    if isinstance(exc, socket.gaierror) or not number:
        return getattr(exc, "strerror", None) or str(exc)
    return os.strerror(number)
