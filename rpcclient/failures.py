"""The errors that attempts to connect end in, in the same words for both clients."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

from rpcwire.errors import (
    ConnectFailed,
    ConnectionClosed,
    DeadlineExceeded,
    MethodNotFound,
    RpcError,
    TransportError,
)
from rpcwire.locations import DEFAULT_PORT

from .eyeballs import NoAddressAnswers, Trail, reason_of
from .targets import Target
from .tunnels import ProxyRefused

_SPEAKS_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNEXPECTED_MESSAGE"})
_WANTS_CERTIFICATE = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
_BROKEN_OFF = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
_PASSING_ALERTS = frozenset({
    "TLSV1_ALERT_INTERNAL_ERROR", "TLSV1_ALERT_USER_CANCELLED", "SSLV3_ALERT_BAD_RECORD_MAC",
    "UNEXPECTED_EOF_WHILE_READING",
})  # fmt: skip
"""What a proxy says that is starting or stopping (RFC 8446, section 6.2). Other alerts are about what this side has
shown or wants, and stay."""


def failure(exc: BaseException, target: Target, seconds: float, trail: Trail) -> RpcError | None:
    """The error of ours for what broke off an attempt to connect.

    Parameters:
        exc: what did.
        target: where to.
        seconds: how long the attempt was allowed to take.
        trail: how far it came.

    Returns:
        The error; ``None`` where the exception is to be raised as it is.
    """
    if isinstance(exc, RpcError):
        return None
    where = f"{target.url}: {trail.place}: " if trail.place else f"{target.url}: "
    if isinstance(exc, TimeoutError) and exc.errno is None:
        told = str(trail) if trail.looking_up or len(trail.reasons) > 1 else ""
        return ConnectFailed(f"{where}no answer within {seconds:g} s" + (f" ({told})" if told else ""))
    if isinstance(exc, ProxyRefused):
        return ConnectFailed(f"{where}{exc}", retryable=exc.retryable)
    if isinstance(exc, ssl.SSLError):
        passes = isinstance(exc, _BROKEN_OFF) or exc.reason in _PASSING_ALERTS
        return ConnectFailed(f"{where}TLS: {tls_reason(exc)}", retryable=passes)
    if isinstance(exc, OSError):
        said = str(exc) if isinstance(exc, NoAddressAnswers) else reason_of(exc)
        if not said:  # asyncio says no more where the other side hangs up during TLS's handshake.
            return broken(target, trail.place)
        if trail.place:
            return ConnectFailed(f"{where}{said}: is it running there?")
        no_port = target.port and urlsplit(target.url).port is None
        tried = f" At port {target.port}, as the URL names none; by default it is {DEFAULT_PORT}." if no_port else ""
        return ConnectFailed(f"{where}{said}: is rpcserver running there?{tried}")
    if isinstance(exc, ValueError):  # A host or path that no socket takes.
        return ConnectFailed(f"{where}{exc}", retryable=False)
    return None


def broken(target: Target, place: str = "") -> ConnectFailed:
    """The other side, or what is on the way there, hung up before the WebSocket was open."""
    return ConnectFailed(": ".join(filter(None, (target.url, place, "the connection broke during the handshake"))))


AUTHENTICATE = "rpc.authenticate"
"""The method that takes a token which did not come with the handshake."""


def not_authenticated(exc: BaseException, target: Target, seconds: float) -> RpcError | None:
    """The error of ours where that method did not do.

    Parameters:
        exc: what it ended in.
        target: the server.
        seconds: how long it was allowed to take.

    Returns:
        The error; ``None`` where the exception is to be raised as it is.
    """
    if isinstance(exc, DeadlineExceeded):
        return ConnectFailed(f"{target.url}: no answer to {AUTHENTICATE} within {seconds:g} s")
    if isinstance(exc, TransportError) and not isinstance(exc, ConnectionClosed):
        return ConnectFailed(f"{target.url}: the connection ended before {AUTHENTICATE} was answered ({exc})")
    if isinstance(exc, MethodNotFound):
        text = f"{target.url}: the server has no {AUTHENTICATE}: send the token with the handshake (token_by='header')"
        return ConnectFailed(text, retryable=False)
    return None


def tls_reason(exc: ssl.SSLError) -> str:
    """Why TLS did not come about, or ended, in OpenSSL's words."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {exc.verify_message}"
    reason: str = exc.reason or ""
    if reason in _SPEAKS_NO_TLS:
        return f"{_words(reason)}: the other side does not seem to use TLS on this port"
    if reason == _WANTS_CERTIFICATE:
        return f"{_words(reason)}: give cert_file, and key_file where that does not hold the key"
    return _words(reason) or exc.strerror or str(exc)


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower()
