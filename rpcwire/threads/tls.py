"""Encrypts and decrypts bytes by TLS. The socket stays an ordinary one, so that it is read and written in one way
only."""

from __future__ import annotations

import ssl
from typing import Protocol

READ_BYTES = 256 * 1024


class Layer(Protocol):
    """Stands between a WebSocket and its socket."""

    def encrypt(self, data: bytes) -> bytes:
        """Encrypt ``data``, and return the bytes to send."""
        ...

    def decrypt(self, data: bytes) -> tuple[bytes, bool]:
        """Decrypt input, and return whether it was the last."""
        ...

    def end(self) -> bytes:
        """Return the bytes to send when no more data will follow."""
        ...


class TlsLayer:
    """One TLS connection, from the client's side. Not safe for several threads at once.

    Parameters:
        context: the settings.
        hostname: the server's name, which its certificate must show.
    """

    def __init__(self, context: ssl.SSLContext, hostname: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=hostname)

    def handshake(self, data: bytes) -> tuple[bool, bytes]:
        """Go on with the handshake.

        Parameters:
            data: the input since the last call; empty at first.

        Returns:
            Whether the handshake is over, and the bytes to send.

        Raises:
            ssl.SSLError: the server's certificate is wrong, or the server does not speak TLS.
        """
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False, self._outgoing.read()
        return True, self._outgoing.read()

    def encrypt(self, data: bytes) -> bytes:
        """Encrypt ``data``, and return the bytes to send."""
        if data:
            self._tls.write(data)
        return self._outgoing.read()

    def decrypt(self, data: bytes) -> tuple[bytes, bool]:
        """Decrypt input.

        Returns:
            The data, and whether no more data will follow.

        Raises:
            ssl.SSLError: the input is malformed.
        """
        self._incoming.write(data)
        chunks: list[bytes] = []
        try:
            while chunk := self._tls.read(READ_BYTES):
                chunks.append(chunk)
        except ssl.SSLWantReadError:
            return b"".join(chunks), False
        except ssl.SSLZeroReturnError:
            pass
        return b"".join(chunks), True

    def end(self) -> bytes:
        """Return the bytes to send when no more data will follow."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # The other side has not said good-bye yet; our good-bye is written.
        return self._outgoing.read()


class NestedTls:
    """TLS with a server, within TLS with the proxy that leads to it.

    Parameters:
        outer: TLS with the proxy.
        inner: TLS with the server.
    """

    def __init__(self, outer: Layer, inner: Layer) -> None:
        self._outer = outer
        self._inner = inner

    def encrypt(self, data: bytes) -> bytes:
        return self._outer.encrypt(self._inner.encrypt(data))

    def decrypt(self, data: bytes) -> tuple[bytes, bool]:
        data, last = self._outer.decrypt(data)
        plain, is_last = self._inner.decrypt(data) if data else (b"", False)
        return plain, last or is_last

    def end(self) -> bytes:
        return self._outer.encrypt(self._inner.end()) + self._outer.end()
