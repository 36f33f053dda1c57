"""Whom a client trusts over TLS, and how it proves itself there."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rpcwire.errors import ConnectFailed

PathText = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Trust:
    """What is known about TLS.

    Attributes:
        ca_file: PEM file with the authorities to trust; the system's where ``None``.
        cert_file: PEM file with the client's own certificate, followed by those of its authorities.
        key_file: PEM file with its private key; ``cert_file`` holds that too where ``None``.
        key_password: opens the private key, if it is encrypted.
        context: settings that are complete, in place of all others.
    """

    ca_file: PathText | None = None
    cert_file: PathText | None = None
    key_file: PathText | None = None
    key_password: str | None = None
    context: ssl.SSLContext | None = None

    def settings(self) -> ssl.SSLContext:
        """The settings for a connection to the server.

        Raises:
            ConnectFailed: a file cannot be read, or they do not go together; the message names what.
        """
        if self.context is not None:
            self._check_alone()
            return self.context
        try:
            context = ssl.create_default_context(cafile=None if self.ca_file is None else os.fspath(self.ca_file))
        except (OSError, ssl.SSLError, ValueError) as exc:
            raise _wrong(f"ca_file: {self.ca_file}: {exc}") from exc
        if self.cert_file is not None:
            self._load_certificate(context, self.cert_file)
        elif self.key_file is not None:
            raise _wrong("key_file: give cert_file, too: the certificate that belongs to the key")
        return context

    def settings_of_proxy(self) -> ssl.SSLContext:
        """The settings for a connection to a proxy: whom the system trusts does there, too.

        Raises:
            ConnectFailed: a file cannot be read.
        """
        context = ssl.create_default_context()
        if self.ca_file is not None:
            try:
                context.load_verify_locations(os.fspath(self.ca_file))
            except (OSError, ssl.SSLError, ValueError) as exc:
                raise _wrong(f"ca_file: {self.ca_file}: {exc}") from exc
        return context

    def _check_alone(self) -> None:
        for name in ("ca_file", "cert_file", "key_file", "key_password"):
            if getattr(self, name) is not None:
                raise _wrong(f"{name}: ssl_context replaces it: load the file into ssl_context")

    def _load_certificate(self, context: ssl.SSLContext, cert_file: PathText) -> None:
        key_file = cert_file if self.key_file is None else self.key_file
        for name, file in (("cert_file", cert_file), ("key_file", key_file)):
            try:
                with Path(file).open("rb"):  # OpenSSL does not say which of the two it could not read.
                    pass
            except (OSError, ValueError) as exc:
                raise _wrong(f"{name}: {file}: {getattr(exc, 'strerror', None) or exc}") from exc

        def password() -> str:
            # Without this, OpenSSL would ask on the terminal.
            if self.key_password is None:
                raise _wrong(f"key_password: the key in {key_file} is encrypted: give its password")
            return self.key_password

        try:
            context.load_cert_chain(os.fspath(cert_file), os.fspath(key_file), password)
        except ssl.SSLError as exc:
            what = (exc.reason or "").replace("_", " ").lower() or "no certificate with its private key in PEM"
            hint = " (is key_password right?)" if self.key_password is not None else ""
            raise _wrong(f"cert_file, key_file: {cert_file}, {key_file}: {what}{hint}") from exc
        except (OSError, ValueError) as exc:
            raise _wrong(f"cert_file, key_file: {cert_file}, {key_file}: {exc}") from exc


def trust_of(given: Trust, environ: Mapping[str, str]) -> Trust:
    """What is known about TLS, from arguments and the environment. Whoever gives a certificate gives its key, too.

    Parameters:
        given: by arguments.
        environ: the environment.
    """
    if given.context is not None:
        return given
    ca_file = given.ca_file or environ.get("RPC_CA_FILE") or None
    if given.cert_file or given.key_file:
        return Trust(ca_file, given.cert_file, given.key_file, given.key_password)
    return Trust(
        ca_file,
        environ.get("RPC_CERT_FILE") or None,
        environ.get("RPC_KEY_FILE") or None,
        given.key_password or environ.get("RPC_KEY_PASSWORD") or None,
    )


def _wrong(text: str) -> ConnectFailed:
    return ConnectFailed(text, retryable=False)
