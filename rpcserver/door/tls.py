"""TLS on the server's side, by the configuration. A client whose handshake fails learns why."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, NoReturn

from rpcserver.config import CertificateFilesConfig, ConfigError, TlsConfig
from rpcwire.trusted_files import UntrustedFile, check_file

from .hellos import Hellos, UnwantedHello

_SOCKET: ContextVar[socket.socket | None] = ContextVar("_SOCKET", default=None)
MOST_HANDSHAKE_BYTES = 10 * 1024
"""The most bytes of a client's handshake. To read the certificates that fit takes 6 ms, and strangers may show any."""
_HANDSHAKE_FAILURE = bytes([21, 3, 3, 0, 2, 2, 40])
"""A record with the fatal alert ``handshake_failure`` (RFC 8446, sections 5.1 and 6)."""

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only (RFC 9325, section 4.2). TLS 1.3 has no others."""


def tls_context(config: TlsConfig) -> ssl.SSLContext | None:
    """Make the settings of TLS; ``None`` if TLS is not configured.

    Raises:
        ConfigError: a file is missing or cannot be used, others may change it, or read the key.
    """
    if not config.certificate_file and not config.key_file:
        if config.client_ca_file:
            raise ConfigError(
                "tls.client_ca_file: clients show certificates only over TLS: set tls.certificate_file, too"
            )
        if config.names:
            raise ConfigError("tls.names: set tls.certificate_file, too, for clients that ask for another name")
        return None
    default = _context_of("tls", config, config)
    others = {name: _context_of(f"tls.names.{name}", files, config) for name, files in config.names.items()}
    if others:
        default.sni_callback = _choose_by(others)
    return default


def _context_of(where: str, files: CertificateFilesConfig, config: TlsConfig) -> ssl.SSLContext:
    """Make the settings for connections that are shown one certificate.

    Parameters:
        where: the table of the certificate, for messages.
        files: the certificate and its key.
        config: what all of them share.
    """
    if not files.certificate_file or not files.key_file:
        raise ConfigError(f"{where}: set both certificate_file and key_file, or neither")
    context = AlertingContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2 if config.minimum_version == "1.2" else ssl.TLSVersion.TLSv1_3
    context.set_ciphers(CIPHERS)
    # Whoever resumes a session shows no certificate (RFC 8446, section 2.2), and the keys of tickets would open what
    # was recorded before. Sessions of TLS 1.2 are kept all the same, by their ids: the module ssl cannot turn that off.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.num_tickets = 0
    _check(f"{where}.certificate_file", files.certificate_file)
    _check(f"{where}.key_file", files.key_file, secret=True)

    def password() -> str:
        # Without this function, OpenSSL would ask for the password on the terminal.
        if not files.key_password.get_secret_value():
            raise ConfigError(f"{where}.key_password: the key in {files.key_file} is encrypted: set its password")
        return files.key_password.get_secret_value()

    try:
        context.load_cert_chain(files.certificate_file, files.key_file, password)
    except (OSError, ssl.SSLError) as exc:
        hint = " (is key_password right?)" if files.key_password.get_secret_value() else ""
        raise ConfigError(f"{where}: {files.certificate_file}, {files.key_file}: {exc}{hint}") from exc
    if config.client_ca_file:
        _load_authorities(context, "tls.client_ca_file", config.client_ca_file)
        if not context.cert_store_stats()["x509"]:
            raise ConfigError(f"tls.client_ca_file: {config.client_ca_file}: there is no certificate in it: add one")
        is_required = config.client_certificates == "required"
        context.verify_mode = ssl.CERT_REQUIRED if is_required else ssl.CERT_OPTIONAL
    if config.client_crl_file:
        if not config.client_ca_file:
            raise ConfigError("tls.client_crl_file: set tls.client_ca_file, too: it makes clients show certificates")
        authorities = context.cert_store_stats()["x509"]
        _load_authorities(context, "tls.client_crl_file", config.client_crl_file)
        stats = context.cert_store_stats()
        if stats["x509"] != authorities or not stats["crl"]:
            # OpenSSL takes either from either file. A certificate here would become an authority.
            raise ConfigError(
                f"tls.client_crl_file: {config.client_crl_file}: it has certificates in it: write lists of revoked "
                "certificates only; authorities belong in tls.client_ca_file"
            )
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    return context


def _load_authorities(context: ssl.SSLContext, key: str, file: str) -> None:
    _check(key, file)
    try:
        context.load_verify_locations(file)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(f"{key}: {file}: {exc}") from exc


def _choose_by(contexts: Mapping[str, ssl.SSLContext]) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None]:
    """Return what chooses the certificate by the name that the client asks for (RFC 6066, section 3): that of the name
    itself, else of its wildcard, else the default."""

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        lower = (name or "").lower()
        context = contexts.get(lower) or contexts.get(f"*.{lower.partition('.')[2]}")
        if context is not None:
            connection.context = context

    return choose


def _check(key: str, file: str, *, secret: bool = False) -> None:
    """Refuse a file that others may change, or a secret that they may read."""
    try:
        check_file(file, secret=secret)
    except UntrustedFile as exc:
        raise ConfigError(f"{key}: {exc}") from None
    except PermissionError as exc:
        raise ConfigError(f"{key}: {file}: {exc.strerror}: let the user of the server read it") from exc
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{key}: {file}: {getattr(exc, 'strerror', None) or exc}: name a PEM file") from exc


@contextlib.contextmanager
def send_alerts_through(sock: socket.socket) -> Iterator[None]:
    """Make connections that an :class:`AlertingContext` opens in this context send their alerts through a socket.

    Parameters:
        sock: the socket of the connection; it still belongs to the transport.
    """
    token = _SOCKET.set(sock)
    try:
        yield
    finally:
        _SOCKET.reset(token)


class _AlertingObject(ssl.SSLObject):
    """Sends the alert when a handshake fails (RFC 8446, section 6.2). asyncio and uvloop close the connection before it
    is sent, so that the other side would not learn the reason. And it reads hellos before OpenSSL does."""

    _alerts: tuple[ssl.MemoryBIO, socket.socket | None]
    _arriving: tuple[ssl.MemoryBIO, Hellos] | None
    _seen_bytes: int
    _left_bytes: int

    def do_handshake(self) -> None:
        """Do the handshake, and send the alert if it fails."""
        rest = b""
        try:
            rest = self._look_at_hellos()
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if rest:
                self._refuse(f"its handshake has more than {MOST_HANDSHAKE_BYTES} bytes: show fewer certificates")
            if self._arriving is not None:
                self._seen_bytes = self._arriving[0].pending
            raise
        except ssl.SSLError:
            self._send(self._alerts[0].read())
            raise
        if self._arriving is not None:
            self._arriving[0].write(rest)  # What follows the handshake.
            self._arriving = None

    def _look_at_hellos(self) -> bytes:
        """Look at what has arrived. Return what is too much for a handshake, which OpenSSL does not get yet."""
        if self._arriving is None:
            return b""
        incoming, hellos = self._arriving
        data = incoming.read()
        fresh = len(data) - self._seen_bytes
        try:
            hellos.feed(data[self._seen_bytes :])
        except UnwantedHello as exc:
            self._refuse(str(exc))
        rest_bytes = max(0, fresh - self._left_bytes)
        self._left_bytes -= fresh - rest_bytes
        incoming.write(data[: len(data) - rest_bytes])
        return data[len(data) - rest_bytes :]

    def _refuse(self, reason: str) -> NoReturn:
        self._send(_HANDSHAKE_FAILURE)
        raise ssl.SSLError(ssl.SSL_ERROR_SSL, reason) from None

    def _send(self, alert: bytes) -> None:
        sock = self._alerts[1]
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.send(alert)


class AlertingContext(ssl.SSLContext):
    """Makes connections that send an alert when a handshake fails; see :func:`send_alerts_through`."""

    sslobject_class = _AlertingObject

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *arguments: Any, **options: Any) -> Any:
        """Make a connection, and note the socket for its alert."""
        connection: Any = super().wrap_bio(incoming, outgoing, *arguments, **options)
        connection._alerts = (outgoing, _SOCKET.get())  # noqa: SLF001 - a class of this module
        connection._arriving = (incoming, Hellos())  # noqa: SLF001
        connection._seen_bytes = 0  # noqa: SLF001
        connection._left_bytes = MOST_HANDSHAKE_BYTES  # noqa: SLF001
        return connection
