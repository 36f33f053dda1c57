"""Reads which certificates are revoked, to find the connections that must end. OpenSSL checks the lists themselves."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from .der import GENERALIZED_TIME, INTEGER, SEQUENCE, UTC_TIME, elements, first_element

_CRL = re.compile(rb"-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]++)-----END X509 CRL-----")


def revoked_serials(pem: bytes) -> frozenset[int]:
    """Return the serial numbers in lists of revoked certificates (RFC 5280, section 5.1), whose signatures OpenSSL
    checks.

    Parameters:
        pem: the lists in PEM (RFC 7468, section 6).

    Raises:
        ValueError: a list is malformed.
    """
    return frozenset(serial for match in _CRL.finditer(pem) for serial in _serials(base64.b64decode(match[1])))


def _serials(der: bytes) -> Iterator[int]:
    _, whole = first_element(der)
    _, signed_part = first_element(whole)
    fields = list(elements(signed_part))
    # version? signature issuer thisUpdate nextUpdate? revokedCertificates? crlExtensions?
    times = [index for index, (tag, _) in enumerate(fields) if tag in (UTC_TIME, GENERALIZED_TIME)]
    if not times:
        raise ValueError("it has no date")
    for tag, entries in fields[times[-1] + 1 : times[-1] + 2]:
        if tag == SEQUENCE:
            for _, entry in elements(entries):
                kind, serial = first_element(entry)
                if kind != INTEGER:
                    raise ValueError("it is malformed")
                yield int.from_bytes(serial, "big", signed=True)
