"""Which proxy a connection goes through, if any."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from rpcwire.errors import ConnectFailed

from .addresses import Host, host_of
from .trust import Trust

if TYPE_CHECKING:
    import ssl

ProxyChoice = str | Literal[True] | None
"""A proxy's URL, ``True`` for the system's own choice, ``None`` for none."""

NONE = "none"
"""The text that stands for no proxy."""
SOCKS_PORT = 1080


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy to connect through.

    Attributes:
        scheme: ``http`` and ``https`` for CONNECT (RFC 9110, section 9.3.6); ``socks5h`` and ``socks4a``, where the
            proxy looks names up; ``socks5`` and ``socks4``, where this machine does.
        host: what to connect to.
        port: TCP port.
        username, password: what the proxy asks for, if it does.
        tls: settings for ``https``; ``None`` elsewhere.
    """

    scheme: str
    host: Host
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None

    @property
    def looks_names_up(self) -> bool:
        """Whether the proxy looks names up by itself. Otherwise it must be given an address."""
        return self.scheme not in ("socks4", "socks5")

    def __str__(self) -> str:
        """Return its URL without name and password, for messages."""
        host = f"[{self.host.name}]" if ":" in self.host.name else self.host.name
        return f"{self.scheme}://{host}:{self.port}"


def proxy_of(
    choice: ProxyChoice, host: Host, port: int, *, secure: bool, trust: Trust, environ: Mapping[str, str]
) -> Proxy | None:
    """Choose the proxy for a server.

    Parameters:
        choice: a URL, ``None`` for none, or ``True``: ``RPC_PROXY``, else what the system has for all programs
            (``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY`` and so on), which applies to other machines only.
        host, port: the server's.
        secure: whether the URL is ``wss://``.
        trust: the TLS settings for a proxy that is itself reached over TLS.
        environ: the environment.

    Raises:
        ConnectFailed: the URL is no proxy's. The message does not repeat the URL, which may hold a password.
    """
    name = "proxy"
    if choice is True:
        if url := environ.get("RPC_PROXY"):
            choice, name = url, "RPC_PROXY"
        elif host.is_loopback or host.has_zone:
            return None
        else:
            choice, name = _system_proxy_url(host, port, secure=secure, environ=environ), "the system's proxy"
    if choice is None or choice == NONE:
        return None
    return _parse(choice, name, trust)


def public_proxy_of(url: str, place: str, remedy: str) -> str:
    """Return the URL of a proxy from a place that others can read.

    Parameters:
        url: the URL.
        place: what others do with the place, for the message.
        remedy: where URLs with passwords go instead.

    Raises:
        ConnectFailed: the URL has a password.
    """
    user = (url.partition("://")[2] or url).rpartition("@")[0]
    if ":" in user:
        raise _wrong(f"proxy: the URL has a password: {place}: {remedy}")
    return url


def _system_proxy_url(host: Host, port: int, *, secure: bool, environ: Mapping[str, str]) -> str | None:
    if sys.platform not in ("darwin", "win32") and not any(name.lower().endswith("_proxy") for name in environ):
        return None  # Other systems have only the environment. Reading it imports modules that load slowly.
    from urllib.request import getproxies, proxy_bypass

    from websockets.proxy import get_proxy
    from websockets.uri import WebSocketURI

    if proxy_bypass(f"{host.name}:{port}"):
        return None
    # websockets ignores ALL_PROXY, which applies where no other variable does.
    url = get_proxy(WebSocketURI(secure, host.name, port, "/", "")) or getproxies().get("all")
    # Desktops write "socks" for SOCKS 5.
    return url and re.sub(r"(?i)\Asocks(?=://)", "socks5h", url)


def _parse(url: str, name: str, trust: Trust) -> Proxy:
    from websockets.exceptions import InvalidProxy
    from websockets.proxy import parse_proxy

    url = url if "://" in url else f"http://{url}"
    try:
        parts, url_port = parse_proxy(url), urlsplit(url).port
        host = host_of(parts.host)
    except InvalidProxy as exc:
        forms = "http://HOST:PORT, https://HOST:PORT, socks5h://HOST:PORT, socks5:, socks4a: or socks4:"
        raise _wrong(f"{name}: {exc.msg}: write {forms}") from exc
    except ValueError as exc:
        raise _wrong(f"{name}: this is not a URL: its host or its port is malformed") from exc
    port = parts.port
    if parts.scheme.startswith("socks"):
        port = url_port or SOCKS_PORT
        if max(len((parts.username or "").encode()), len((parts.password or "").encode())) > 255:
            raise _wrong(f"{name}: SOCKS allows at most 255 bytes in a name or a password")
    if any(ord(sign) < 32 for sign in f"{parts.username}{parts.password}") or ":" in (parts.username or ""):
        raise _wrong(
            f"{name}: the user's name has a colon, or the name or the password has characters that cannot be sent"
        )
    tls = trust.settings_of_proxy() if parts.scheme == "https" else None
    return Proxy(parts.scheme, host, port, parts.username, parts.password, tls)


def _wrong(text: str) -> ConnectFailed:
    return ConnectFailed(text, retryable=False)
