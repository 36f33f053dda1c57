"""TLS on the server's side, as configured; and who is refused by it is told why."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from rpcserver.config import ConfigError, TlsConfig

_SOCKET: ContextVar[socket.socket | None] = ContextVar("_SOCKET", default=None)


def tls_context(config: TlsConfig) -> ssl.SSLContext | None:
    """TLS as configured; ``None`` where it is not.

    Raises:
        ConfigError: one file is missing or cannot be used.
    """
    if not config.certificate_file and not config.key_file:
        if config.client_ca_file:
            raise ConfigError(
                "tls.client_ca_file: clients show certificates only over TLS: set tls.certificate_file, too"
            )
        return None
    if not config.certificate_file or not config.key_file:
        raise ConfigError("tls: set both certificate_file and key_file, or neither")
    context = TellingContext(ssl.PROTOCOL_TLS_SERVER)
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
        required = config.client_certificates == "required"
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return context


@contextlib.contextmanager
def told_through(sock: socket.socket) -> Iterator[None]:
    """Have connections that are opened meanwhile, by a :class:`TellingContext`, tell their alerts through a socket.

    Parameters:
        sock: of the connection; it stays its transport's.
    """
    token = _SOCKET.set(sock)
    try:
        yield
    finally:
        _SOCKET.reset(token)


class _TellingObject(ssl.SSLObject):
    """Sends the alert with which a handshake fails (RFC 8446, section 6.2). asyncio and uvloop both close the
    connection before, so that the other side would only see it end, for whatever reason."""

    _telling: tuple[ssl.MemoryBIO, socket.socket | None]

    def do_handshake(self) -> None:
        """As usual, but for the alert."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            outgoing, sock = self._telling
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.send(outgoing.read())
            raise


class TellingContext(ssl.SSLContext):
    """Makes connections that tell why a handshake failed; see :func:`told_through`."""

    sslobject_class = _TellingObject

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *arguments: Any, **options: Any) -> Any:
        """As usual, and note where alerts go."""
        made: Any = super().wrap_bio(incoming, outgoing, *arguments, **options)
        made._telling = (outgoing, _SOCKET.get())  # noqa: SLF001 - a class of this module
        return made
