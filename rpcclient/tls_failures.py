"""Why TLS failed, in words. Only whoever uses TLS loads this."""

from __future__ import annotations

import ssl

_NO_TLS_REASONS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNEXPECTED_MESSAGE"})
_REMEDIES = {
    "CERTIFICATE_REQUIRED": "give cert_file, and key_file where that does not hold the key",
    "UNKNOWN_CA": "the server does not know the authority that has issued the certificate in cert_file",
    "CERTIFICATE_EXPIRED": "give a new certificate as cert_file",
    "CERTIFICATE_REVOKED": "give another certificate as cert_file",
    "HANDSHAKE_FAILURE": "the server asks for a certificate (give cert_file), or takes none of this client's suites",
    "PROTOCOL_VERSION": "the server takes none of this client's versions of TLS",
}
"""What to do about alerts of the server (RFC 8446, section 6.2; RFC 5246, section 7.2.2)."""
_BREAKS = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
_PASSING_ALERTS = frozenset({
    "TLSV1_ALERT_INTERNAL_ERROR", "TLSV1_ALERT_USER_CANCELLED", "SSLV3_ALERT_BAD_RECORD_MAC",
    "UNEXPECTED_EOF_WHILE_READING",
})  # fmt: skip
"""The alerts of a proxy that is starting or stopping (RFC 8446, section 6.2). Another attempt may succeed after
them, but not after other alerts, which are about this side's certificate or settings."""


def passes(exc: ssl.SSLError) -> bool:
    """Return whether another attempt to connect may succeed.

    Parameters:
        exc: the error that has ended the last one.
    """
    return isinstance(exc, _BREAKS) or exc.reason in _PASSING_ALERTS


def tls_reason(exc: ssl.SSLError) -> str:
    """Return why TLS failed or ended, in OpenSSL's words."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {exc.verify_message}"
    reason: str = exc.reason or ""
    if reason in _NO_TLS_REASONS:
        return f"{_words(reason)}: the other side does not seem to use TLS on this port"
    _, is_alert, alert = reason.partition("_ALERT_")
    if is_alert and alert in _REMEDIES:
        return f"{_words(reason)}: {_REMEDIES[alert]}"
    return _words(reason) or exc.strerror or str(exc)


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower()
