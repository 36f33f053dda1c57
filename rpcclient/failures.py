"""The errors that attempts to connect end in, in the same words for both clients."""

from __future__ import annotations

import ssl

from rpcwire.errors import ConnectFailed, RpcError

from .eyeballs import NoAddressAnswers, Trail, reason_of
from .targets import Target

_SPEAKS_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNEXPECTED_MESSAGE"})
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
    if isinstance(exc, ssl.SSLError):
        passes = isinstance(exc, _BROKEN_OFF) or exc.reason in _PASSING_ALERTS
        return ConnectFailed(f"{where}TLS: {tls_reason(exc)}", retryable=passes)
    if isinstance(exc, OSError):
        said = str(exc) if isinstance(exc, NoAddressAnswers) else reason_of(exc)
        if not said:  # asyncio says no more where the other side hangs up during TLS's handshake.
            return broken(target)
        return ConnectFailed(f"{where}{said}: is {'it' if trail.place else 'rpcserver'} running there?")
    if isinstance(exc, ValueError):  # A host or path that no socket takes.
        return ConnectFailed(f"{where}{exc}", retryable=False)
    return None


def broken(target: Target) -> ConnectFailed:
    """The other side hung up before the WebSocket was open."""
    return ConnectFailed(f"{target.url}: the connection broke during the handshake")


def tls_reason(exc: ssl.SSLError) -> str:
    """Why TLS did not come about, or ended, in OpenSSL's words."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {exc.verify_message}"
    reason: str = exc.reason or ""
    if reason in _SPEAKS_NO_TLS:
        return f"{_words(reason)}: the other side does not seem to speak TLS there"
    return _words(reason) or exc.strerror or str(exc)


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower()
