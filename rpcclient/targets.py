"""Where to connect, and with which token: from arguments, the environment, or the local default."""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from rpcwire import locations
from rpcwire.errors import ConnectFailed

from .addresses import LOCALHOST, Host, host_of

_PORTS = {"ws": 80, "wss": 443}
_TOKEN = re.compile(r"[\x21-\x7e]+")
_IN_PATHS = "/%:@!$&'()*+,;=-._~"
"""What stands in the path of a URL as it is (RFC 3986, section 3.3); everything else is percent-encoded."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server to connect to.

    Attributes:
        url: as given, for messages.
        host: what to connect to, and what to call it; ``localhost`` for a Unix socket.
        port: TCP port; 0 for a Unix socket.
        unix_path: the Unix socket, if it is one.
        tls: settings for ``wss://``; ``None`` without TLS.
        token: proves who is calling; ``None`` where a Unix socket does.
        path: where the WebSocket is: behind a reverse proxy the server may have a prefix.
    """

    url: str
    host: Host
    port: int
    unix_path: str | None
    tls: ssl.SSLContext | None
    token: str | None
    path: str = "/"

    @property
    def websocket_uri(self) -> str:
        """What the WebSocket handshake names."""
        if self.unix_path is not None:
            return f"ws://{LOCALHOST}{self.path}"
        host = f"[{self.host.name}]" if ":" in self.host.name else self.host.name
        return f"{'wss' if self.tls else 'ws'}://{host}:{self.port}{self.path}"


def memory_target() -> Target:
    """What stands for a server in the same process, to which no socket leads."""
    return Target("memory", Host(LOCALHOST, LOCALHOST), 0, None, None, None)


def find_target(
    url: str | None = None,
    *,
    token: str | None = None,
    token_file: str | os.PathLike[str] | None = None,
    ca_file: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Target:
    """Resolve a server.

    Parameters:
        url: ``ws://host:port``, ``wss://host:port`` or ``unix:///path``; else ``RPC_URL``; else the local server: its
            Unix socket where there is one, 127.0.0.1:8765 otherwise. A path after the port is where the WebSocket is.
        token: else that of ``token_file``, ``RPC_TOKEN``, ``RPC_TOKEN_FILE``; for this machine's own addresses at
            last the local server's token file.
        token_file: a file whose first line is the token.
        ca_file: PEM file with the authorities to trust for ``wss://``; the system's where not given.
        environ: the environment.

    Raises:
        ConnectFailed: the URL is malformed, or a file cannot be read; the message names it.
    """
    chosen = url or environ.get("RPC_URL") or _local_url()
    try:
        parts = urlsplit(chosen)
        port = parts.port
    except ValueError as exc:
        raise _wrong(f"url: {chosen!r}: {exc}") from exc
    if parts.username or parts.password:
        raise _wrong("url: a URL must not hold a token (it ends in logs): use token=, RPC_TOKEN or RPC_TOKEN_FILE")
    given = token or _token_of(token_file) or environ.get("RPC_TOKEN") or _token_of(environ.get("RPC_TOKEN_FILE"))
    if parts.scheme == "unix":
        path = (parts.netloc + parts.path) or str(locations.socket_file())
        return Target(chosen, Host(LOCALHOST, LOCALHOST), 0, path, None, _checked(given))
    if parts.scheme not in _PORTS or not parts.hostname:
        raise _wrong(f"url: {chosen!r}: write ws://host:port, wss://host:port or unix:///path")
    if parts.query or parts.fragment:
        raise _wrong(f"url: {chosen!r}: leave out what follows the path")
    try:
        host = host_of(parts.hostname)
    except ValueError as exc:
        raise _wrong(f"url: {chosen!r}: {exc}") from exc
    tls = _tls(ca_file) if parts.scheme == "wss" else None
    if given is None and host.is_loopback:
        given = _local_token()
    path = quote(parts.path or "/", safe=_IN_PATHS)
    return Target(chosen, host, _PORTS[parts.scheme] if port is None else port, None, tls, _checked(given), path=path)


def _wrong(text: str) -> ConnectFailed:
    return ConnectFailed(text, retryable=False)


def _local_url() -> str:
    path = locations.socket_file()
    if hasattr(socket, "AF_UNIX") and path.exists():
        return f"unix://{path}"
    return f"ws://{locations.DEFAULT_HOST}:{locations.DEFAULT_PORT}"


def _local_token() -> str | None:
    try:
        return _read_token(locations.token_file())
    except OSError:
        return None  # There may be another way in; the server will say.


def _token_of(file: str | os.PathLike[str] | None) -> str | None:
    if not file:
        return None
    try:
        text = _read_token(Path(file))
    except (OSError, ValueError) as exc:
        raise _wrong(f"token_file: {file}: {getattr(exc, 'strerror', None) or exc}") from exc
    if not text:
        raise _wrong(f"token_file: {file}: its first line is empty: it must hold the token")
    return text


def _read_token(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().strip()


def _checked(token: str | None) -> str | None:
    if token is not None and not _TOKEN.fullmatch(token):
        raise _wrong("token: empty, or with characters that no token has")
    return token


def _tls(ca_file: str | os.PathLike[str] | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else os.fspath(ca_file))
    except (OSError, ssl.SSLError) as exc:
        raise _wrong(f"ca_file: {ca_file}: {exc}") from exc
