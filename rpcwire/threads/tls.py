"""TLS between bytes and bytes: the socket below stays an ordinary one, so that one way of reading and writing does."""

from __future__ import annotations

import ssl
from typing import Protocol

READ_BYTES = 256 * 1024


class Layer(Protocol):
    """What is between a WebSocket and its socket."""

    def encrypt(self, data: bytes) -> bytes:
        """What to send for ``data``."""
        ...

    def decrypt(self, received: bytes) -> tuple[bytes, bool]:
        """What was sent to us, and whether it was the last."""
        ...

    def end(self) -> bytes:
        """What to send when no more data will follow."""
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

    def handshake(self, received: bytes) -> tuple[bool, bytes]:
        """Go on with the handshake.

        Parameters:
            received: what has come since; nothing at first.

        Returns:
            Whether it is done, and what to send.

        Raises:
            ssl.SSLError: the server is not who it should be, or speaks no TLS.
        """
        self._incoming.write(received)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False, self._outgoing.read()
        return True, self._outgoing.read()

    def encrypt(self, data: bytes) -> bytes:
        """What to send for ``data``."""
        if data:
            self._tls.write(data)
        return self._outgoing.read()

    def decrypt(self, received: bytes) -> tuple[bytes, bool]:
        """What was sent to us.

        Returns:
            The data, and whether it was the last.

        Raises:
            ssl.SSLError: the stream is broken.
        """
        self._incoming.write(received)
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
        """What to send when no more data will follow."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # The other side's part of the farewell is still to come; ours is written.
        return self._outgoing.read()


class Nested:
    """TLS with a server, within TLS with the proxy that leads to it.

    Parameters:
        outer: with the proxy.
        inner: with the server.
    """

    def __init__(self, outer: Layer, inner: Layer) -> None:
        self._outer = outer
        self._inner = inner

    def encrypt(self, data: bytes) -> bytes:
        return self._outer.encrypt(self._inner.encrypt(data))

    def decrypt(self, received: bytes) -> tuple[bytes, bool]:
        data, last = self._outer.decrypt(received)
        plain, ended = self._inner.decrypt(data) if data else (b"", False)
        return plain, last or ended

    def end(self) -> bytes:
        return self._outer.encrypt(self._inner.end()) + self._outer.end()
