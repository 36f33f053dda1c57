"""Reads which certificates are revoked, to find the connections that must end. OpenSSL checks the lists themselves."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

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


_SEQUENCE, _INTEGER, _TIMES = 0x30, 0x02, (0x17, 0x18)


def _serials(der: bytes) -> Iterator[int]:
    _, whole = _first(der)
    _, signed_part = _first(whole)
    fields = list(_elements(signed_part))
    # version? signature issuer thisUpdate nextUpdate? revokedCertificates? crlExtensions?
    last_time = max((index for index, (tag, _) in enumerate(fields) if tag in _TIMES), default=None)
    if last_time is None:
        raise ValueError("a list of revoked certificates is malformed: it has no date")
    for tag, entries in fields[last_time + 1 : last_time + 2]:
        if tag == _SEQUENCE:
            for _, entry in _elements(entries):
                kind, serial = _first(entry)
                if kind != _INTEGER:
                    raise ValueError("a list of revoked certificates is malformed")
                yield int.from_bytes(serial, "big", signed=True)


def _first(der: bytes) -> tuple[int, bytes]:
    for element in _elements(der):
        return element
    raise ValueError("a list of revoked certificates is cut off")


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tag and the content of each element of DER (ITU-T X.690, section 8.1)."""
    view, at = memoryview(der), 0
    while at < len(view):
        if len(view) - at < 2:
            raise ValueError("a list of revoked certificates is cut off")
        tag, size = view[at], view[at + 1]
        at += 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(view[at : at + count], "big")
            at += count
        if at + size > len(view):
            raise ValueError("a list of revoked certificates is cut off")
        yield tag, bytes(view[at : at + size])
        at += size
