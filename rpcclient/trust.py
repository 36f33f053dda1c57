"""The settings of TLS: which authorities a client trusts, and which certificate it shows."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from rpcwire.errors import ConnectFailed
from rpcwire.trusted_files import UntrustedFile, check_file, read_file

if TYPE_CHECKING:
    import ssl

PathText = str | os.PathLike[str]
_T = TypeVar("_T")
_PEM = {
    "certificate": (re.compile(rb"^-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----", re.MULTILINE), "x509"),
    "private key": (re.compile(rb"^-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----", re.MULTILINE), "pkey"),
}
"""How each kind of content begins in PEM, and the command of OpenSSL that converts it."""


@dataclass(frozen=True, slots=True)
class Trust:
    """The settings of TLS.

    Attributes:
        ca_file: PEM file with the authorities to trust; the system's authorities where ``None``.
        cert_file: PEM file with the client's own certificate, followed by those of its authorities.
        key_file: PEM file with the private key; where ``None``, ``cert_file`` holds the key, too.
        key_password: the password of the private key, if the key is encrypted.
        context: complete settings, in place of all others.
    """

    ca_file: PathText | None = None
    cert_file: PathText | None = None
    key_file: PathText | None = None
    key_password: str | None = field(default=None, repr=False)
    context: ssl.SSLContext | None = None

    def settings(self) -> ssl.SSLContext:
        """Make the settings for a connection to the server.

        Raises:
            ConnectFailed: a file cannot be read, or the settings contradict each other; the message names them.
        """
        if self.context is not None:
            self._check_alone()
            return self.context
        import ssl  # Whoever uses no TLS does not load it.

        if self.ca_file is None:
            context = ssl.create_default_context()
        else:
            context = _load_authorities(self.ca_file, lambda file: ssl.create_default_context(cafile=file))
        if self.cert_file is not None:
            self._load_certificate(context, self.cert_file)
        elif self.key_file is not None:
            raise _wrong("key_file: give cert_file, too: the certificate that belongs to the key")
        return context

    def settings_of_proxy(self) -> ssl.SSLContext:
        """Make the settings for a connection to a proxy. They trust ``ca_file`` and the authorities of the system.

        Raises:
            ConnectFailed: a file cannot be read.
        """
        import ssl

        context = ssl.create_default_context()
        if self.ca_file is not None:
            _load_authorities(self.ca_file, context.load_verify_locations)
        return context

    def _check_alone(self) -> None:
        for name in ("ca_file", "cert_file", "key_file", "key_password"):
            if getattr(self, name) is not None:
                raise _wrong(f"{name}: ssl_context replaces it: load the file into ssl_context")

    def _load_certificate(self, context: ssl.SSLContext, cert_file: PathText) -> None:
        import ssl

        key_file = cert_file if self.key_file is None else self.key_file
        for name, file in (("cert_file", cert_file), ("key_file", key_file)):
            try:
                # OpenSSL does not say which of the two files it cannot read.
                if _PEM["private key"][0].search(read_file(file)):
                    check_file(file, secret=True)
            except UntrustedFile as exc:
                raise _wrong(f"{name}: {exc}") from None
            except (OSError, ValueError) as exc:
                raise _wrong(f"{name}: {file}: {getattr(exc, 'strerror', None) or exc}") from exc

        def password() -> str:
            # Without this function, OpenSSL would ask for the password on the terminal.
            if self.key_password is None:
                raise _wrong(f"key_password: the key in {key_file} is encrypted: give its password")
            return self.key_password

        try:
            context.load_cert_chain(os.fspath(cert_file), os.fspath(key_file), password)
        except ssl.SSLError as exc:
            if exc.reason is None:  # OpenSSL does not say which of the two files is no PEM.
                both = "cert_file, key_file"  # Without key_file, one file must hold both.
                _check_pem(both if self.key_file is None else "cert_file", cert_file, "certificate")
                _check_pem(both if self.key_file is None else "key_file", key_file, "private key")
            reason = (exc.reason or "").replace("_", " ").lower() or "no certificate with its private key in PEM"
            hint = " (is key_password right?)" if self.key_password is not None else ""
            raise _wrong(f"cert_file, key_file: {cert_file}, {key_file}: {reason}{hint}") from exc
        except (OSError, ValueError) as exc:
            raise _wrong(f"cert_file, key_file: {cert_file}, {key_file}: {exc}") from exc


def _load_authorities(file: PathText, load: Callable[[str], _T]) -> _T:
    """Load the authorities to trust.

    Parameters:
        file: PEM file with their certificates.
        load: loads the file at this path.

    Returns:
        What ``load`` returns.

    Raises:
        ConnectFailed: the file cannot be read, others may change it, or it holds no certificate in PEM.
    """
    import ssl

    try:
        check_file(file)
        return load(os.fspath(file))
    except UntrustedFile as exc:
        raise _wrong(f"ca_file: {exc}") from None
    except ssl.SSLError as exc:
        _check_pem("ca_file", file, "certificate")
        raise _wrong(f"ca_file: {file}: a certificate in this file is damaged ({exc}): copy the file again") from exc
    except (OSError, ValueError) as exc:
        raise _wrong(f"ca_file: {file}: {getattr(exc, 'strerror', None) or exc}") from exc


def _check_pem(name: str, file: PathText, content: Literal["certificate", "private key"]) -> None:
    """Refuse a file that holds nothing of this kind in PEM (RFC 7468)."""
    begin, tool = _PEM[content]
    try:
        data = Path(file).read_bytes()
    except OSError as exc:
        raise _wrong(f"{name}: {file}: {exc.strerror or exc}") from exc
    if begin.search(data) is None:
        raise _wrong(
            f"{name}: {file}: this file holds no {content} in PEM, which begins with -----BEGIN: give another file; "
            f"`openssl {tool} -inform DER -in {file}` converts a file in DER"
        )


def trust_of(arguments: Trust, environ: Mapping[str, str]) -> Trust:
    """Complete the settings of TLS from the environment. A certificate and its key come from the same source.

    Parameters:
        arguments: the settings that were passed as arguments.
        environ: the environment.
    """
    if arguments.context is not None:
        return arguments
    ca_file = arguments.ca_file or environ.get("RPC_CA_FILE") or None
    if arguments.cert_file or arguments.key_file:
        return Trust(ca_file, arguments.cert_file, arguments.key_file, arguments.key_password)
    return Trust(
        ca_file,
        environ.get("RPC_CERT_FILE") or None,
        environ.get("RPC_KEY_FILE") or None,
        arguments.key_password or environ.get("RPC_KEY_PASSWORD") or None,
    )


def _wrong(text: str) -> ConnectFailed:
    return ConnectFailed(text, retryable=False)
