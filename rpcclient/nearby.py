"""Servers on the local network: what they announce of themselves (DNS-SD, RFC 6763), and how it is heard.

Anybody on the network may announce anything. What is announced is a claim, and only a reason to go and look.
"""

from __future__ import annotations

import importlib.util
import os
import queue
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rpcwire.errors import ConnectFailed

from .targets import Target, find_target
from .trust import PathText

SERVICE_TYPE = "_rpcserver._tcp.local."
"""The type of the service that servers announce."""
LISTENING = 0.6
"""What part of the time is for hearing servers; the rest is for asking them whether they are there."""
RESOLVE_S = 1.0
"""How long it may take to learn the address of one, in seconds."""
LOCATE_S = 3.0
"""How long to look for one node, in seconds."""
MOST_SERVERS = 1000
"""How many servers are looked at. Whoever announces more floods the network."""
MOST_ADDRESSES = 4
"""How many addresses of a server are tried."""

_ID = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,62})")
_HOST = re.compile(r"[A-Za-z0-9.:-]{1,253}")
_PATH = re.compile(r"/[A-Za-z0-9._~/-]{0,200}")
_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,50}")


@dataclass(frozen=True, slots=True)
class Candidate:
    """What somebody announces.

    Attributes:
        id: the id of the node.
        name: its name.
        version: the version of the server.
        addresses: its addresses.
        port: its port.
        path: the path of its WebSocket.
        has_tls: whether it listens with TLS.
        host: the name that its certificate shows; empty for its address.
    """

    id: str
    name: str
    version: str
    addresses: tuple[str, ...]
    port: int
    path: str
    has_tls: bool
    host: str

    @property
    def urls(self) -> Iterator[str]:
        """The URLs at which it may be reached."""
        for address in self.addresses[:MOST_ADDRESSES]:
            host = f"[{address}]" if ":" in address else address
            yield f"{'wss' if self.has_tls else 'ws'}://{host}:{self.port}{'' if self.path == '/' else self.path}"


@dataclass(frozen=True, slots=True)
class NearbyServer:
    """A server on the local network that has answered. Its name and id are what it says of itself.

    Attributes:
        name: its name.
        id: the id of its node.
        version: its version.
        url: the URL at which it has answered.
        server_hostname: the name that its certificate shows, for ``server_hostname=`` of a client; ``None`` if that is
            in the URL, or without TLS.
        is_verified: whether its certificate is one of the authorities that were named with ``ca_file``. Only then can
            it be said who it is.
    """

    name: str
    id: str
    version: str
    url: str
    server_hostname: str | None
    is_verified: bool


def read_announcement(
    instance: str, properties: Mapping[bytes, bytes | None], addresses: Sequence[str], port: int | None
) -> Candidate | None:
    """Read what somebody announces; ``None`` if no server of ours announces such a thing.

    Parameters:
        instance: the full name of the instance.
        properties: the text record.
        addresses: the addresses.
        port: the port.
    """
    text = {
        key.decode("ascii", "replace"): (value or b"").decode("utf-8", "replace") for key, value in properties.items()
    }
    candidate = Candidate(
        id=text.get("id", ""),
        name=text.get("name", ""),
        version=text.get("version", ""),
        addresses=tuple(sorted(addresses, key=lambda each: (":" in each, "%" in each))),
        port=port or 0,
        path=text.get("path", "/"),
        has_tls=text.get("tls") == "1",
        host=text.get("host", ""),
    )
    is_right = (
        _ID.fullmatch(candidate.id)
        and instance.lower() == f"{candidate.id}.{SERVICE_TYPE}"
        and _NAME.fullmatch(candidate.name)
        and _VERSION.fullmatch(candidate.version)
        and _PATH.fullmatch(candidate.path)
        and (not candidate.host or _HOST.fullmatch(candidate.host))
        and text.get("tls") in ("0", "1")
        and 0 < candidate.port <= 0xFFFF
        and candidate.addresses
    )
    return candidate if is_right else None


def listen(
    timeout_s: float, interfaces: Sequence[str] = (), is_enough: Callable[[Candidate], bool] = lambda _: False
) -> list[Candidate]:
    """Listen to what is announced on the local network. This blocks.

    Parameters:
        timeout_s: how long to listen, in seconds.
        interfaces: addresses of the interfaces on which to listen; all where none is named.
        is_enough: whether a candidate is the one that was looked for, so that listening can end.

    Returns:
        The candidates. Servers that were killed are among them for long.

    Raises:
        ConnectFailed: the library is missing, or there is no network for it.
    """
    if importlib.util.find_spec("zeroconf") is None:
        text = "to discover servers you need zeroconf: pip install 'remote-services[discovery]'"
        raise ConnectFailed(text, retryable=False)
    from zeroconf import InterfaceChoice, ServiceBrowser, ServiceInfo, Zeroconf

    until = time.monotonic() + timeout_s
    try:
        network = Zeroconf(interfaces=list(interfaces) or InterfaceChoice.All)
    except OSError as exc:
        raise ConnectFailed(f"the local network cannot be asked for servers: {exc}") from exc
    names: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()
    candidates: dict[str, Candidate] = {}

    def note(name: str, state_change: Any, **_: Any) -> None:
        names.put((name, state_change.name != "Removed"))

    try:
        ServiceBrowser(network, SERVICE_TYPE, handlers=[note])
        while (left_s := until - time.monotonic()) > 0 and len(candidates) < MOST_SERVERS:
            try:
                name, is_there = names.get(timeout=left_s)
            except queue.Empty:
                break
            candidates.pop(name, None)
            info = ServiceInfo(SERVICE_TYPE, name) if is_there else None
            if info is None or not info.request(network, min(RESOLVE_S, left_s) * 1000):
                continue
            candidate = read_announcement(name, info.properties, info.parsed_scoped_addresses(), info.port)
            if candidate is not None:
                candidates[name] = candidate
                if is_enough(candidate):
                    break
    finally:
        network.close()
    return list(candidates.values())


def targets_of(candidate: Candidate, ca_file: PathText | None) -> Iterator[tuple[Target, bool]]:
    """Yield the targets at which a candidate may be, and whether it is verified there. Nothing secret goes there.

    Parameters:
        candidate: the candidate.
        ca_file: PEM file with the authorities of its certificate; ``None`` if nobody can say whether it is right.

    Raises:
        ConnectFailed: the file cannot be used.
    """
    for url in candidate.urls:
        host = candidate.host or None
        if candidate.has_tls and ca_file is not None:
            target = find_target(url, ca_file=ca_file, server_hostname=host, headers={}, proxy=None, environ={})
            yield replace(target, token=None, headers={}), True
            continue
        target = find_target(url, headers={}, proxy=None, environ={})
        if target.tls is not None:
            # It is only asked whether it is there.
            target.tls.check_hostname = False
            target.tls.verify_mode = ssl.CERT_NONE
        yield replace(target, token=None, headers={}), False


def describe(candidate: Candidate, target: Target, *, is_verified: bool) -> NearbyServer:
    """Say of a candidate that it has answered.

    Parameters:
        candidate: the candidate.
        target: where it has answered.
        is_verified: whether it was verified there.
    """
    host = candidate.host or None
    return NearbyServer(candidate.name, candidate.id, candidate.version, target.url, host, is_verified)


def locate_node(node: str, access: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> list[Target]:
    """Look for a node on the local network by its name or id. This blocks.

    Anybody may announce a node of that name. So only targets are returned that TLS verifies by what the user has
    chosen, unless the user allows to send the token to whoever is there.

    Parameters:
        node: the name or the id.
        access: the parameters of :func:`rpcclient.targets.find_target`, without the URL.
        environ: the environment.

    Raises:
        ConnectFailed: there is none, or it could be anybody.
    """
    is_pinned = bool(access.get("ca_file") or access.get("ssl_context") or environ.get("RPC_CA_FILE"))
    candidates = [
        each
        for each in listen(LOCATE_S, is_enough=lambda candidate: node in (candidate.name, candidate.id))
        if node in (each.name, each.id)
    ]
    targets, refusals = [], []
    for candidate in candidates:
        for url in candidate.urls:
            tls = {"server_hostname": access.get("server_hostname") or candidate.host or None}
            if not candidate.has_tls:
                tls = {"cert_file": None, "key_file": None, "ssl_context": None, "server_hostname": None}
            target = find_target(url, **{**access, **tls}, environ=environ)
            if (target.is_verified and is_pinned) or target.allow_token_in_clear:
                targets.append(target)
            else:
                refusals.append(url)
    if refusals and not targets:
        raise ConnectFailed(
            f"{refusals[0]} says that it is the node {node}, and anybody could say so: name the authority of your "
            "servers (ca_file=), or give its URL if you know it",
            retryable=False,
        )
    if not targets:
        raise ConnectFailed(f"no node {node} has announced itself on the local network within {LOCATE_S:g} s")
    return targets
