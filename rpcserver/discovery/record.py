"""What is announced of a server: its instance, its addresses, and the text record (RFC 6763, sections 4 and 6)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

SERVICE_TYPE = "_rpcserver._tcp.local."
"""The type of the service."""
MOST_ENTRY_BYTES = 255
"""The longest entry of a text record, as ``key=value``, in bytes (RFC 6763, section 6.1)."""
MOST_TEXT_BYTES = 1300
"""The longest text record, in bytes: it should fit into one packet (RFC 6763, section 6.2)."""
FORM = "1"
"""The version of the form of the text record (RFC 6763, section 6.7)."""


class NotAnnounceable(Exception):
    """The server cannot be announced as it is. The message names the setting and the remedy."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is announced.

    Attributes:
        id: the id of the node, which is the name of the instance: no two servers have the same.
        port: the port.
        addresses: the addresses, as text.
        text: the entries of the text record.
    """

    id: str
    port: int
    addresses: tuple[str, ...]
    text: dict[str, str]

    @property
    def instance(self) -> str:
        """The name of the instance of the service."""
        return f"{self.id}.{SERVICE_TYPE}"

    @property
    def host(self) -> str:
        """The name of the host, which is of this server alone: that of the machine may belong to another responder."""
        return f"rpcserver-{self.id}.local."


def make_record(
    *,
    node_id: str,
    name: str,
    version: str,
    urls: Sequence[str],
    public_urls: Sequence[str],
    interfaces: Iterable[str],
    only: Sequence[str],
) -> Record:
    """Decide what to announce. Where the server listens with and without TLS, it is the address with TLS.

    Parameters:
        node_id: the id of the node.
        name: its name.
        version: the version of the server.
        urls: the URLs on which the server listens.
        public_urls: those that the configuration names for clients: the name of the first with TLS is what the
            certificate shows.
        interfaces: the addresses of this machine.
        only: the addresses of the interfaces on which it is announced; empty for all that reach other machines.

    Raises:
        NotAnnounceable: nothing that others can reach, or an entry is too long.
    """
    own = [address for address in interfaces if _is_wanted(address, only)]
    for url in sorted(urls, key=lambda each: not each.startswith("wss://")):
        parts = urlsplit(url)
        if parts.scheme not in ("ws", "wss") or parts.hostname is None or parts.port is None:
            continue
        addresses = _match(parts.hostname, own)
        if not addresses:
            continue
        text = {
            "txtvers": FORM,
            "name": name,
            "id": node_id,
            "tls": "1" if parts.scheme == "wss" else "0",
            "path": parts.path or "/",
            "version": version,
        }
        public = next((urlsplit(each).hostname for each in public_urls if each.startswith("wss://")), None)
        if parts.scheme == "wss" and public:
            text["host"] = public
        _check(text)
        return Record(node_id, parts.port, tuple(addresses), text)
    raise NotAnnounceable(
        "discovery.enabled: there is nothing to announce, as the server listens on no address that other machines "
        "reach: set listen.host"
    )


def _is_wanted(address: str, only: Sequence[str]) -> bool:
    number = ipaddress.ip_address(address)
    if only:
        return address in only
    return not (number.is_loopback or number.is_link_local or number.is_unspecified)


def _match(host: str, own: Sequence[str]) -> list[str]:
    """Return the addresses of this machine at which a listener with this address is reached."""
    number = ipaddress.ip_address(host)
    if number.is_unspecified:
        # A listener on all IPv6 addresses has those of IPv4 in a listener of its own.
        return [each for each in own if ipaddress.ip_address(each).version == number.version]
    return [each for each in own if ipaddress.ip_address(each) == number]


def _check(text: dict[str, str]) -> None:
    """Check the lengths, since the library checks them badly."""
    settings = {"name": "group.name", "path": "listen.path_prefix", "host": "group.addresses"}
    total = 0
    for key, value in text.items():
        count = len(f"{key}={value}".encode())
        total += 1 + count
        if count > MOST_ENTRY_BYTES:
            raise NotAnnounceable(
                f"discovery.enabled: {settings.get(key, key)} is too long to be announced: {key}=… has {count} bytes, "
                f"and {MOST_ENTRY_BYTES} are the most"
            )
    if total > MOST_TEXT_BYTES:
        raise NotAnnounceable(
            f"discovery.enabled: the text record has {total} bytes, and {MOST_TEXT_BYTES} are the most: shorten "
            f"{' or '.join(settings.values())}"
        )
