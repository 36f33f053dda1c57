"""Which proxy a connection goes through, if any."""

from __future__ import annotations

import re
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from rpcwire.errors import ConnectFailed

from .addresses import Host, host_of
from .trust import Trust

ProxyChoice = str | Literal[True] | None
"""A proxy's URL, ``True`` for the system's own choice, ``None`` for none."""

NONE = "none"
"""What stands for none where only text can be said."""
SOCKS_PORT = 1080


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy to connect through.

    Attributes:
        scheme: ``http`` and ``https`` for CONNECT (RFC 9110, section 9.3.6); ``socks5h`` and ``socks4a``, where the
            proxy looks names up; ``socks5`` and ``socks4``, where this machine does.
        host: what to connect to.
        port: TCP port.
        username, password: prove who is there, if the proxy wants to know.
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
        """Whether the proxy takes names, rather than addresses."""
        return self.scheme not in ("socks4", "socks5")

    def __str__(self) -> str:
        """Its URL without the password, for messages."""
        host = f"[{self.host.name}]" if ":" in self.host.name else self.host.name
        return f"{self.scheme}://{host}:{self.port}"


def proxy_of(
    choice: ProxyChoice, host: Host, port: int, *, secure: bool, trust: Trust, environ: Mapping[str, str]
) -> Proxy | None:
    """The proxy for a server.

    Parameters:
        choice: a URL, ``None`` for none, or ``True``: ``RPC_PROXY``, else what the system has for all programs
            (``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY`` and so on), which holds for other machines only.
        host, port: of the server.
        secure: whether it is reached by ``wss://``.
        trust: for a proxy that is itself reached over TLS.
        environ: the environment.

    Raises:
        ConnectFailed: it is no proxy's URL. The message does not repeat it: it may hold a password.
    """
    name = "proxy"
    if choice is True:
        if url := environ.get("RPC_PROXY"):
            choice, name = url, "RPC_PROXY"
        elif host.is_loopback or host.has_zone:
            return None
        else:
            choice, name = _of_the_system(host, port, secure=secure, environ=environ), "the system's proxy"
    if choice is None or choice == NONE:
        return None
    return _parsed(choice, name, trust)


def _of_the_system(host: Host, port: int, *, secure: bool, environ: Mapping[str, str]) -> str | None:
    if sys.platform not in ("darwin", "win32") and not any(name.lower().endswith("_proxy") for name in environ):
        return None  # Elsewhere there is only the environment. To look there takes modules that load slowly.
    from urllib.request import getproxies, proxy_bypass

    from websockets.proxy import get_proxy
    from websockets.uri import WebSocketURI

    if proxy_bypass(f"{host.name}:{port}"):
        return None
    # websockets leaves ALL_PROXY out, which holds for what none of the others is about.
    url = get_proxy(WebSocketURI(secure, host.name, port, "/", "")) or getproxies().get("all")
    # Desktops write "socks" for what is SOCKS 5 everywhere.
    return url and re.sub(r"(?i)\Asocks(?=://)", "socks5h", url)


def _parsed(url: str, name: str, trust: Trust) -> Proxy:
    from websockets.exceptions import InvalidProxy
    from websockets.proxy import parse_proxy

    url = url if "://" in url else f"http://{url}"
    try:
        found, said_port = parse_proxy(url), urlsplit(url).port
        host = host_of(found.host)
    except InvalidProxy as exc:
        known = "http://HOST:PORT, https://HOST:PORT, socks5h://HOST:PORT, socks5:, socks4a: or socks4:"
        raise _wrong(f"{name}: {exc.msg}: write {known}") from exc
    except ValueError as exc:
        raise _wrong(f"{name}: this is not a URL: its host or its port is malformed") from exc
    port = found.port
    if found.scheme.startswith("socks"):
        port = said_port or SOCKS_PORT
        if max(len((found.username or "").encode()), len((found.password or "").encode())) > 255:
            raise _wrong(f"{name}: SOCKS allows at most 255 bytes in a name or a password")
    if any(ord(sign) < 32 for sign in f"{found.username}{found.password}") or ":" in (found.username or ""):
        raise _wrong(
            f"{name}: the user's name has a colon, or the name or the password has characters that cannot be sent"
        )
    tls = trust.settings_of_proxy() if found.scheme == "https" else None
    return Proxy(found.scheme, host, port, found.username, found.password, tls)


def _wrong(text: str) -> ConnectFailed:
    return ConnectFailed(text, retryable=False)
