"""Reads when certificates, and lists of revoked ones, expire. OpenSSL has checked that they are well formed."""

from __future__ import annotations

import base64
import re

from .der import GENERALIZED_TIME, SEQUENCE, UTC_TIME, elements, first_element, read_time

_CERTIFICATE = re.compile(
    rb"-----BEGIN ((?:TRUSTED |X509 )?+CERTIFICATE)-----([A-Za-z0-9+/=\s]++)-----END \1-----"
)  # fmt: skip
_CRL = re.compile(rb"-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]++)-----END X509 CRL-----")


def certificates_expire_at(pem: bytes) -> int | None:
    """Return when the first of some certificates expires (``notAfter``), in seconds since 1970; ``None`` if there is no
    certificate.

    Parameters:
        pem: the certificates in PEM (RFC 7468, section 5), such as a chain.

    Raises:
        ValueError: one of them is malformed.
    """
    return min((_not_after(base64.b64decode(match[2])) for match in _CERTIFICATE.finditer(pem)), default=None)


def _not_after(der: bytes) -> int:
    _, whole = first_element(der)
    _, signed_part = first_element(whole)
    # version? serialNumber signature issuer validity …: the validity alone begins with a time (RFC 5280, section 4.1).
    for tag, content in elements(signed_part):
        if tag == SEQUENCE and content and content[0] in (UTC_TIME, GENERALIZED_TIME):
            _, not_after = elements(content)
            return read_time(*not_after)
    raise ValueError("it has no time")


def lists_expire_at(pem: bytes) -> int | None:
    """Return when the first of some lists of revoked certificates expires (``nextUpdate``), in seconds since 1970;
    ``None`` if none says that.

    Parameters:
        pem: the lists in PEM (RFC 7468, section 6).

    Raises:
        ValueError: one of them is malformed.
    """
    times = (_next_update(base64.b64decode(match[1])) for match in _CRL.finditer(pem))
    return min((time for time in times if time is not None), default=None)


def _next_update(der: bytes) -> int | None:
    _, whole = first_element(der)
    _, signed_part = first_element(whole)
    # version? signature issuer thisUpdate nextUpdate? … (RFC 5280, section 5.1).
    times = [read_time(tag, content) for tag, content in elements(signed_part) if tag in (UTC_TIME, GENERALIZED_TIME)]
    return times[1] if len(times) > 1 else None
