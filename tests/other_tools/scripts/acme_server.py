"""An ACME server (RFC 8555) on a loopback port, serles, which issues certificates of its own authority for addresses
whose port 80 answers its challenges: ``python acme_server.py FOLDER``. It prints its URL; the authority is in
``FOLDER/ca.pem``. This module is the backend that it loads, too."""

from __future__ import annotations

import datetime as dt
import logging
import os
import sys
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

CONFIG = """
[serles]
database = sqlite:///{folder}/acme.db
backend = acme_server:Backend
subjectNameTemplate = CN={{SAN[0]}}
allowIpIdentifiers = true
[acme_server]
folder = {folder}
"""


class Backend:
    """Signs what serles has found to be right."""

    def __init__(self, config: Any) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "the authority of a test")])
        self._certificate = self._issue(
            self._name, self._key.public_key(), [(x509.BasicConstraints(ca=True, path_length=0), True)]
        )
        Path(config["acme_server"]["folder"], "ca.pem").write_text(self._certificate)

    def sign(self, csr: bytes, _subject: str, _names: list[str], _email: str) -> tuple[str, None]:
        """Issue a certificate; returns it with its chain."""
        request = x509.load_pem_x509_csr(csr)
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return self._issue(request.subject, request.public_key(), [(names.value, False)]) + self._certificate, None

    def _issue(self, subject: x509.Name, key: Any, extensions: list[tuple[Any, bool]]) -> str:
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder(
            self._name,
            subject,
            key,
            x509.random_serial_number(),
            now - dt.timedelta(hours=1),
            now + dt.timedelta(days=9),
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def main(folder: str) -> None:
    """Serve until somebody ends it."""
    from serles import create_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    config = Path(folder, "config.ini")
    config.write_text(CONFIG.format(folder=folder))
    os.environ["CONFIG"] = str(config)
    server = make_server("127.0.0.1", 0, create_app(), ssl_context="adhoc")
    print(f"https://127.0.0.1:{server.port}/directory", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
