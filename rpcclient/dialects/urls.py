"""What a URL of SQLAlchemy says: ``DIALECT+rpc://TOKEN@host:port/database``."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL
from sqlalchemy.exc import ArgumentError

from rpcclient.headers import public_headers_of
from rpcclient.targets import ACCESS_FLAGS, ACCESS_SECONDS, ACCESS_TEXTS, TLS_TEXTS
from rpcwire.errors import ConnectFailed
from rpcwire.locations import DEFAULT_PORT

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


def connect_arguments(url: URL) -> dict[str, Any]:
    """What :func:`rpcclient.dbapi.connect` is told by a URL.

    The database is that of the server's configuration, ``main`` where none is named. Without a host the server is
    found as :class:`rpcclient.Client` finds it: ``RPC_URL``, else this machine's own. The token is the user's name, or
    the password, which SQLAlchemy never shows: ``sqlite+rpc://:TOKEN@host/main``. The query may have

    - ``unix=/path``: a Unix socket, in place of a host;
    - ``tls=true``: ``wss://``, and ``ca_file=/path``, the authorities to trust; ``cert_file`` and ``key_file``, a
      certificate of the client's own; ``server_hostname``, the name that the server's must show;
    - ``path=/rpc/``: where the WebSocket is, behind a reverse proxy;
    - ``token_file=/path``: a file whose first line is the token; ``token_by=call``: how it is sent;
    - ``proxy=socks5h://host:1080``, and ``header=Name: value``, which may be repeated, but holds no secret;
    - ``allow_token_in_clear=true``: send the token also where neither TLS nor the kernel says who gets it;
    - ``timeout_s=30``: how long to wait for any one answer;
    - ``ping_interval_s=20``: how long a silence of the server may last before it is pinged, 0 for no pings;
      ``ping_timeout_s=20``: how long that may stay without an answer;
    - ``readonly=true``: have the database refuse every change.

    Raises:
        ArgumentError: something else is in the query, or a value is of the wrong form; the message names it.
    """
    query = dict(url.query)
    arguments: dict[str, Any] = {"database": url.database or "main"}
    if token := url.password or url.username:
        arguments["token"] = token
    tls = _flag(query, "tls")
    if unix := _text(query, "unix"):
        if url.host or tls:
            raise ArgumentError("unix: leave out the host, and tls: a Unix socket has neither")
        arguments["url"] = f"unix://{unix}"
    elif url.host:
        host = f"[{url.host}]" if ":" in url.host else url.host
        path = _text(query, "path") or ""
        if path and not path.startswith("/"):
            raise ArgumentError(f"path: {path!r} does not begin with a slash: write one in front")
        arguments["url"] = f"{'wss' if tls else 'ws'}://{host}:{url.port or DEFAULT_PORT}{path}"
    for name in ACCESS_TEXTS:
        if (value := _text(query, name)) is not None:
            if name in TLS_TEXTS and url.host and not tls:
                raise ArgumentError(f"{name}: it is for TLS, which this URL does not use: give tls=true, too")
            arguments[name] = value
    if lines := query.pop("header", ()):
        try:
            text = "\n".join([lines] if isinstance(lines, str) else lines)
            arguments["headers"] = public_headers_of(text, "URLs end up in logs", "give it in connect_args")
        except ConnectFailed as exc:
            raise ArgumentError(str(exc)) from exc
    for name in ("timeout_s", *ACCESS_SECONDS):
        if (seconds := _text(query, name)) is not None:
            try:
                arguments[name] = float(seconds)
            except ValueError:
                raise ArgumentError(f"{name}: {seconds!r} is not a number of seconds") from None
    for name in ACCESS_FLAGS:
        if name in query:
            arguments[name] = _flag(query, name)
    if _flag(query, "readonly"):
        arguments["readonly"] = True
    if query:
        known = ("unix", "tls", "path", *ACCESS_TEXTS, "header", "timeout_s", *ACCESS_SECONDS, *ACCESS_FLAGS)
        names = ", ".join((*known, "readonly"))
        raise ArgumentError(f"unknown in the URL's query: {', '.join(sorted(query))}; known are {names}")
    return arguments


def without_token(url: URL) -> URL:
    """The URL with the token as its password, so that SQLAlchemy prints ``***`` in its place."""
    if url.username and not url.password:
        return url.set(username="token", password=url.username)
    return url


def _text(query: dict[str, Any], name: str) -> str | None:
    value: str | None = query.pop(name, None)
    if isinstance(value, tuple):
        raise ArgumentError(f"{name}: given more than once")
    return value


def _flag(query: dict[str, Any], name: str) -> bool:
    value = (_text(query, name) or "false").lower()
    if value not in _TRUE | _FALSE:
        raise ArgumentError(f"{name}: {value!r} is neither true nor false")
    return value in _TRUE
