"""Decides which server to connect to, and with which token, from arguments, the environment, or local defaults."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, TypedDict, cast, get_args
from urllib.parse import SplitResult, quote, urlsplit

from rpcwire import locations
from rpcwire.errors import ConnectFailed
from rpcwire.transports import Transport, UnusableTransport, make_socket, schemes, transport_for
from rpcwire.trusted_files import UntrustedFile, open_file

from .addresses import LOCALHOST, Host, host_of
from .headers import AUTHORIZATION, HeadersChoice, headers_of, is_secret, prepare_headers
from .proxies import Proxy, ProxyChoice, proxy_of
from .trust import PathText, Trust, trust_of

if TYPE_CHECKING:
    import ssl

TokenBy = Literal["header", "call"]
"""How a token is sent."""

_PORTS = {"ws": 80, "wss": 443}
_TOKEN = re.compile(r"[\x21-\x7e]+")
_FLAGS = {"": False, "0": False, "no": False, "false": False, "1": True, "yes": True, "true": True}
_MOST_CHARACTERS = 64 * 1024
"""How much of a token's file is read if it has no line."""
_AFTER_PATH = re.compile(r"[?#].*", re.DOTALL)
_IN_PATHS = "/%:@!$&'()*+,;=-._~"
"""The signs that stay as they are in the path of a URL (RFC 3986, section 3.3); all others are percent-encoded."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server to connect to.

    Attributes:
        url: the URL as it was given, for messages.
        host: the address to connect to, and its name; ``localhost`` for a Unix socket.
        port: TCP port; 0 for a Unix socket.
        unix_path: the path of the Unix socket; ``None`` for another target.
        tls: the settings of TLS for ``wss://``; ``None`` without TLS.
        token: proves who is calling; ``None`` where a Unix socket does.
        path: the path of the WebSocket in the URL. A reverse proxy may give the server a prefix.
        token_by: whether the handshake holds the token, or a call after it.
        headers: further headers of the handshake, or the function that makes them for each handshake.
        proxy: the proxy to connect through; ``None`` for none.
        server_hostname: the name that the server's certificate must show.
        connect: the function of a plugin that makes the socket, if one does. It is given the time limit in seconds.
        is_own_place: whether this is the place of the user's own server, which nobody has named.
        allow_token_in_clear: whether the token may go to whoever is at the other end.
        offers_services: whether the server may call the client, so that it must not be somebody else's.
    """

    url: str
    host: Host
    port: int
    unix_path: str | None
    tls: ssl.SSLContext | None
    token: str | None = field(repr=False)
    path: str = "/"
    token_by: TokenBy = "header"  # noqa: S105 - a way, no token
    headers: HeadersChoice = field(default_factory=dict, repr=False)
    proxy: Proxy | None = None
    server_hostname: str = LOCALHOST
    connect: Callable[[float], socket.socket] | None = None
    is_own_place: bool = False
    allow_token_in_clear: bool = False
    offers_services: bool = False

    @property
    def secret(self) -> str | None:
        """What must not go to somebody else, in words: what proves who is calling, or calls of the services that the
        client offers; ``None`` if there is nothing."""
        if self.token is not None:
            return "the token"
        if callable(self.headers):
            return "what the function for headers makes"
        header = next((f"the header {name}" for name in self.headers if is_secret(name)), None)
        return "the services that this client offers" if header is None and self.offers_services else header

    @property
    def is_verified(self) -> bool:
        """Whether TLS makes sure of who the server is."""
        if self.tls is None:
            return False
        import ssl  # Whoever uses no TLS does not load it.

        return self.tls.verify_mode is ssl.CERT_REQUIRED and self.tls.check_hostname

    @property
    def token_by_header(self) -> str | None:
        """The token, if the handshake is to hold it."""
        return self.token if self.token_by == "header" else None  # noqa: S105 - a way, no token

    @property
    def token_by_call(self) -> str | None:
        """The token, if a call is to hold it."""
        return self.token if self.token_by == "call" else None  # noqa: S105 - a way, no token

    @property
    def websocket_uri(self) -> str:
        """The URI for the WebSocket handshake."""
        if self.unix_path is not None or self.connect is not None:
            return f"ws://{LOCALHOST}{self.path}"
        host = f"[{self.host.name}]" if ":" in self.host.name else self.host.name
        return f"{'wss' if self.tls else 'ws'}://{host}:{self.port}{self.path}"


def memory_target() -> Target:
    """Make the target for a server in the same process, to which no socket leads."""
    return Target("memory", Host(LOCALHOST, LOCALHOST), 0, None, None, None, is_own_place=True)


class Access(TypedDict, total=False):
    """The parameters of :class:`rpcclient.Client` about reaching a server, for functions that only pass them on."""

    token: str | None
    token_file: PathText | None
    token_by: TokenBy | None
    ca_file: PathText | None
    cert_file: PathText | None
    key_file: PathText | None
    key_password: str | None
    ssl_context: ssl.SSLContext | None
    server_hostname: str | None
    headers: HeadersChoice | None
    proxy: ProxyChoice
    allow_token_in_clear: bool | None
    ping_interval_s: float
    ping_timeout_s: float
    node: str | None


ACCESS_TEXTS = ("token_file", "token_by", "ca_file", "cert_file", "key_file", "server_hostname", "proxy")
"""The texts of :class:`Access` that the query of a URL may hold. It may not hold passwords: URLs end up in logs."""
ACCESS_SECONDS = ("ping_interval_s", "ping_timeout_s")
"""The times of :class:`Access` that the query of a URL may hold, in seconds."""
ACCESS_FLAGS = ("allow_token_in_clear",)
"""The flags of :class:`Access` that the query of a URL may hold."""
TLS_TEXTS = frozenset({"ca_file", "cert_file", "key_file", "server_hostname"})
"""Those of :data:`ACCESS_TEXTS` that are about TLS."""


_NEXT_URL = re.compile(r",\s*(?=[a-z][a-z0-9+.-]*://)")
"""What stands between two URLs. A path may have commas, too."""


def split_urls(urls: str | Sequence[str] | None, environ: Mapping[str, str] = os.environ) -> list[str | None]:
    """Return the URLs of several servers, of which one will do.

    Parameters:
        urls: one URL, several with commas, or a sequence of them; else those of ``RPC_URL``.
        environ: the environment.

    Returns:
        The URLs; only ``None`` for the local server.

    Raises:
        ConnectFailed: the sequence is empty, or does not consist of texts.
    """
    text = urls or environ.get("RPC_URL")
    if urls is not None and not isinstance(urls, str):
        if not urls or not all(isinstance(each, str) and each for each in urls):
            raise _wrong("url: a list of URLs must have at least one, and texts only")
        return list(urls)
    return [None] if not text else list(_NEXT_URL.split(str(text)))


def find_target(
    url: str | None = None,
    *,
    token: str | None = None,
    token_file: PathText | None = None,
    token_by: TokenBy | None = None,
    ca_file: PathText | None = None,
    cert_file: PathText | None = None,
    key_file: PathText | None = None,
    key_password: str | None = None,
    ssl_context: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    headers: HeadersChoice | None = None,
    proxy: ProxyChoice = True,
    allow_token_in_clear: bool | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Target:
    """Decide which server to connect to, and how.

    Parameters:
        url: ``ws://host:port``, ``wss://host:port`` or ``unix:///path``; else ``RPC_URL``; else the local server: its
            Unix socket where there is one, 127.0.0.1:8765 otherwise. A path after the port is where the WebSocket is.
            Plugins bring URLs of other schemes (:mod:`rpcwire.transports`).
        token: else that of ``token_file``, ``RPC_TOKEN``, ``RPC_TOKEN_FILE``; for this machine's own addresses at
            last the local server's token file.
        token_file: a file whose first line is the token. Nobody else may be able to read or change it.
        token_by: how the token is sent: with the handshake (``header``), or by ``rpc.authenticate`` (``call``) once the
            WebSocket is open; else ``RPC_TOKEN_BY``, else ``header``.
        ca_file: PEM file with the authorities to trust for ``wss://``; else ``RPC_CA_FILE``, else the system's.
        cert_file: PEM file with a certificate of the client's own, for a server that asks for one; else
            ``RPC_CERT_FILE``.
        key_file: PEM file with its private key, where that is not in ``cert_file``; else ``RPC_KEY_FILE``.
        key_password: opens the private key; else ``RPC_KEY_PASSWORD``.
        ssl_context: complete settings for TLS, in place of the four above.
        server_hostname: the name that the server's certificate must show; the URL's where not given.
        headers: values by name, sent with the handshake, or a function that makes them for each connection; else
            ``RPC_HEADERS``, with one ``Name: value`` in a line.
        proxy: a proxy's URL; ``None`` for none; ``True`` for ``RPC_PROXY``, else, for other machines, what the
            environment has for all programs (``HTTPS_PROXY`` and so on). A Unix socket is never reached through one.
        allow_token_in_clear: whether the token goes also to whom neither TLS nor the kernel vouches for
            (:mod:`rpcclient.listeners`); else ``RPC_ALLOW_TOKEN_IN_CLEAR``, else not.
        environ: the environment.

    Raises:
        ConnectFailed: the URL is malformed, or a file cannot be read or trusted; the message names it.
    """
    chosen_url = url or environ.get("RPC_URL")
    used_url = chosen_url or _local_url()
    parts, port = _split(used_url)
    used_token = token or _token_of(token_file) or environ.get("RPC_TOKEN") or _token_of(environ.get("RPC_TOKEN_FILE"))
    own_headers = headers_of(environ.get("RPC_HEADERS", "")) if headers is None else headers
    target = Target(
        used_url,
        Host(LOCALHOST, LOCALHOST),
        0,
        None,
        None,
        _check_token(used_token),
        token_by=_token_by(token_by or environ.get("RPC_TOKEN_BY") or "header"),
        headers=own_headers,
        is_own_place=chosen_url is None,
        allow_token_in_clear=_allows(environ) if allow_token_in_clear is None else allow_token_in_clear,
    )
    if parts.scheme != "wss":
        _refuse_tls(cert_file=cert_file, key_file=key_file, ssl_context=ssl_context, server_hostname=server_hostname)
    if parts.scheme in (*_PORTS, "unix") and (parts.query or parts.fragment):
        raise _wrong(f"url: {_show(used_url)}: leave out what follows the path")
    if parts.scheme == "unix":
        path = parts.netloc + parts.path
        target = replace(
            target,
            unix_path=path or str(locations.socket_file()),
            is_own_place=target.is_own_place or not path,
        )
    elif parts.scheme in _PORTS and parts.hostname:
        trust = trust_of(Trust(ca_file, cert_file, key_file, key_password, ssl_context), environ)
        target = _reach_host(target, parts, port, trust, proxy, environ)
        target = replace(target, server_hostname=server_hostname or target.host.name)
    else:
        target = replace(target, connect=_connect_by(parts.scheme, used_url))
    token_in_header = target.token_by_header is not None
    return replace(target, headers=prepare_headers(own_headers, token_in_header=token_in_header))


def _split(url: str) -> tuple[SplitResult, int | None]:
    """Divide a URL. Return its parts, and its port if it has one."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        # urlsplit may repeat a part of the URL, which is a part of the password if that has a slash or a bracket.
        raise _wrong(f"url: {_show(url)}: {'the host or the port is malformed' if '@' in url else exc}") from None
    if parts.username or parts.password:
        raise _wrong("url: a URL must not hold a token (it ends in logs): use token=, RPC_TOKEN or RPC_TOKEN_FILE")
    return parts, port


def _show(url: str) -> str:
    return repr(without_secrets(url))


def _refuse_tls(**arguments: object) -> None:
    """Refuse arguments that are for TLS, because the URL does not use it."""
    for name, value in arguments.items():
        if value is not None:
            raise _wrong(f"{name}: it is for TLS, which this URL does not use: write wss://")


def _reach_host(
    target: Target,
    parts: SplitResult,
    port: int | None,
    trust: Trust,
    proxy: ProxyChoice,
    environ: Mapping[str, str],
) -> Target:
    """Complete the target of a URL with a host: ``ws://`` or ``wss://``."""
    assert parts.hostname
    secure = parts.scheme == "wss"
    try:
        host = host_of(parts.hostname)
    except ValueError as exc:
        raise _wrong(f"url: {_show(target.url)}: {exc}") from exc
    port = _PORTS[parts.scheme] if port is None else port
    used_proxy = proxy_of(proxy, host, port, secure=secure, trust=trust, environ=environ)
    token = target.token
    if token is None and used_proxy is None and host.is_loopback and not _has_authorization(target.headers):
        token = _check_token(_local_token())
    return replace(
        target,
        host=host,
        port=port,
        tls=trust.settings() if secure else None,
        token=token,
        path=quote(parts.path or "/", safe=_IN_PATHS),
        proxy=used_proxy,
    )


def without_secrets(url: str) -> str:
    """Return a URL that may be malformed as messages show it: without name and password, and what follows the path."""
    beginning, slashes, rest = url.partition("//")
    if "@" in rest:
        rest = f"***@{rest.rpartition('@')[2]}"
    return beginning + slashes + _AFTER_PATH.sub("?…", rest, count=1)


def _connect_by(scheme: str, url: str) -> Callable[[float], socket.socket]:
    """Return the function that connects to a URL of a plugin's scheme."""
    try:
        transport = None if scheme in _PORTS else transport_for(scheme)
    except UnusableTransport as exc:
        raise _wrong(f"url: {exc}") from exc
    if transport is None:
        others = "".join(f", or {each}://…" for each in schemes())
        raise _wrong(f"url: {_show(url)}: write ws://host:port, wss://host:port or unix:///path{others}")
    return partial(_connect, transport, url)


def _connect(transport: Transport, url: str, timeout_s: float) -> socket.socket:
    try:
        return make_socket(partial(transport.connect, url, timeout_s), url)
    except UnusableTransport as exc:
        raise _wrong(str(exc)) from exc


def _has_authorization(headers: HeadersChoice) -> bool:
    """Return whether a header may say who is calling. Headers that a function makes later are not known yet."""
    return callable(headers) or any(str(name).lower() == AUTHORIZATION for name in headers)


def _token_by(text: str) -> TokenBy:
    if text not in get_args(TokenBy):
        raise _wrong(f"token_by: {text!r}: write header or call")
    return cast("TokenBy", text)


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
        return None  # The server may accept the caller without a token, and otherwise says so.
    except UntrustedFile as exc:
        raise _wrong(f"token_file: {exc}") from None


def _token_of(file: str | os.PathLike[str] | None) -> str | None:
    if not file:
        return None
    try:
        text = _read_token(file)
    except UntrustedFile as exc:
        raise _wrong(f"token_file: {exc}") from None
    except (OSError, ValueError) as exc:
        raise _wrong(f"token_file: {file}: {getattr(exc, 'strerror', None) or exc}") from exc
    if not text:
        raise _wrong(f"token_file: {file}: its first line is empty: it must hold the token")
    return text


def _read_token(path: str | os.PathLike[str]) -> str:
    with os.fdopen(open_file(path, secret=True), encoding="utf-8", errors="replace") as file:
        return file.readline(_MOST_CHARACTERS).strip()


def _allows(environ: Mapping[str, str]) -> bool:
    text = environ.get("RPC_ALLOW_TOKEN_IN_CLEAR", "").lower()
    if text not in _FLAGS:
        raise _wrong(f"RPC_ALLOW_TOKEN_IN_CLEAR: {text!r}: write true or false")
    return _FLAGS[text]


def _check_token(token: str | None) -> str | None:
    if token is not None and not _TOKEN.fullmatch(token):
        raise _wrong(
            "token: it is empty, or has characters that no token has: give it as it stands in the server's token file"
        )
    return token
