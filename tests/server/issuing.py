"""An authority that issues certificates to clients."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization


class Issuer:
    """Issues certificates to clients, and revokes them."""

    def __init__(self, folder: Path, authority: trustme.CA) -> None:
        self.server = authority
        self.ca = trustme.CA()
        self.ca_file, self.crl_file = folder / "clients.pem", folder / "crl.pem"
        self.ca.cert_pem.write_to_path(self.ca_file)
        self._key = serialization.load_pem_private_key(self.ca.private_key_pem.bytes(), None)
        self._certificate = x509.load_pem_x509_certificate(self.ca.cert_pem.bytes())

    def issue(self, name: str, **options: Any) -> trustme.LeafCert:
        return self.ca.issue_cert(name, **options)

    def trusting(self, leaf: trustme.LeafCert | None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """What a client has that shows this certificate."""
        context = ssl.create_default_context()
        self.server.configure_trust(context)
        if leaf is not None:
            leaf.configure_cert(context)
        if version is not None:
            context.maximum_version = version
        return context

    def revoke(self, *leaves: trustme.LeafCert) -> bytes:
        """Write the list of revoked certificates, in place of the one before."""
        now = dt.datetime.now(dt.UTC)
        crl = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now - dt.timedelta(hours=1))
            .next_update(now + dt.timedelta(days=1))
        )
        for leaf in leaves:
            serial = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes()).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
            crl = crl.add_revoked_certificate(entry)
        pem = crl.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)  # type: ignore[arg-type]
        self.crl_file.write_bytes(pem)
        return pem
