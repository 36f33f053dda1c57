"""TLS on the server's side, by the configuration. A client whose handshake fails learns why."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from rpcserver.config import ConfigError, TlsConfig
from rpcwire.trusted_files import UntrustedFile, check_file

_SOCKET: ContextVar[socket.socket | None] = ContextVar("_SOCKET", default=None)


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
        return None
    if not config.certificate_file or not config.key_file:
        raise ConfigError("tls: set both certificate_file and key_file, or neither")
    _check(config)
    context = AlertingContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.certificate_file, config.key_file)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(f"tls: {config.certificate_file}, {config.key_file}: {exc}") from exc
    if config.client_ca_file:
        try:
            context.load_verify_locations(config.client_ca_file)
        except (OSError, ssl.SSLError) as exc:
            raise ConfigError(f"tls.client_ca_file: {config.client_ca_file}: {exc}") from exc
        is_required = config.client_certificates == "required"
        context.verify_mode = ssl.CERT_REQUIRED if is_required else ssl.CERT_OPTIONAL
    return context


def _check(config: TlsConfig) -> None:
    """Refuse files that others may change, and a key that others may read."""
    for key in ("certificate_file", "key_file", "client_ca_file"):
        file: str = getattr(config, key)
        try:
            if file:
                check_file(file, secret=key == "key_file")
        except UntrustedFile as exc:
            raise ConfigError(f"tls.{key}: {exc}") from None
        except (OSError, ValueError) as exc:
            raise ConfigError(f"tls.{key}: {file}: {getattr(exc, 'strerror', None) or exc}: name a PEM file") from exc


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
    is sent, so that the other side would not learn the reason."""

    _alerts: tuple[ssl.MemoryBIO, socket.socket | None]

    def do_handshake(self) -> None:
        """Do the handshake, and send the alert if it fails."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            outgoing, sock = self._alerts
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.send(outgoing.read())
            raise


class AlertingContext(ssl.SSLContext):
    """Makes connections that send an alert when a handshake fails; see :func:`send_alerts_through`."""

    sslobject_class = _AlertingObject

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *arguments: Any, **options: Any) -> Any:
        """Make a connection, and note the socket for its alert."""
        connection: Any = super().wrap_bio(incoming, outgoing, *arguments, **options)
        connection._alerts = (outgoing, _SOCKET.get())  # noqa: SLF001 - a class of this module
        return connection
