"""Finds servers on the local network."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from rpcclient.nearby import LISTENING, NearbyServer, listen
from rpcclient.trust import PathText

from .greeting import greet

_MOST_THREADS = 64


def discover(
    timeout_s: float = 3.0, *, ca_file: PathText | None = None, interfaces: Sequence[str] = ()
) -> list[NearbyServer]:
    """Find the servers that announce themselves on the local network (DNS-SD), and that answer. It says nothing of
    others: not every server announces itself, and whoever does may be anybody.

    Nobody is told a token, or who is asking. Give a token to a server only if it ``is_verified``, or if you know it::

        for server in rpcclient.discover(ca_file="ca.pem"):
            print(server.name, server.url, server.is_verified)

    Parameters:
        timeout_s: how long to look, in seconds.
        ca_file: PEM file with the authorities of your servers' certificates. Servers with TLS of others are left out.
        interfaces: addresses of the interfaces on which to look; all where none is named.

    Returns:
        The servers, sorted by name.

    Raises:
        ConnectFailed: the package zeroconf is missing, there is no network for it, or the file cannot be used.
    """
    candidates = listen(timeout_s * LISTENING, interfaces)
    if not candidates:
        return []
    left_s = timeout_s * (1 - LISTENING)
    with ThreadPoolExecutor(min(len(candidates), _MOST_THREADS), "rpcclient-discover") as pool:
        answers = list(pool.map(lambda each: greet(each, ca_file, left_s), candidates))
    return sorted((each for each in answers if each is not None), key=lambda each: (each.name, each.id))
