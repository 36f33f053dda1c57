"""Looks at what a TLS client says first, before OpenSSL does. A client chooses the group of the key exchange. With the
larger of the finite fields (RFC 7919) the server would calculate for a tenth of a second, for a client of whom it knows
nothing. The module ssl can allow one group or all of them."""

from __future__ import annotations

MOST_HELLO_BYTES = 16 * 1024
"""The longest hello, in bytes. That of a browser has 2 KiB."""

_HANDSHAKE = 22
_OTHERS = frozenset({20, 21, 23})
"""Changes of ciphers, alerts and data. OpenSSL takes a hello behind some of them."""
_CLIENT_HELLO, _KEY_SHARE = 1, 51
_LARGE_FIELDS = range(0x0101, 0x0200)
"""The groups ffdhe3072, ffdhe4096, and so on (RFC 8446, section 4.2.7). Every client of TLS 1.3 has secp256r1 (section
9.1)."""
_RECORD_HEAD, _MESSAGE_HEAD = 5, 4


class UnwantedHello(Exception):
    """The server refuses a hello. The message says why, for a person."""


class Hellos:
    """Reads the beginning of one TLS connection, as its bytes arrive (RFC 8446, sections 4 and 5.1).

    Attributes:
        is_over: whether no hello can follow any more.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._records = bytearray()
        self._messages = bytearray()

    def feed(self, data: bytes) -> None:
        """Read further bytes. What is malformed ends the reading: OpenSSL says what is wrong with it.

        Raises:
            UnwantedHello: the server does not want to answer this client.
        """
        if self.is_over:
            return
        self._records += data
        at = 0
        while len(self._records) - at >= _RECORD_HEAD:
            kind, size = self._records[at], int.from_bytes(self._records[at + 3 : at + 5])
            if kind != _HANDSHAKE and kind not in _OTHERS:
                self._end()
                return
            if len(self._records) - at < _RECORD_HEAD + size:
                break
            if kind == _HANDSHAKE:
                self._messages += self._records[at + _RECORD_HEAD : at + _RECORD_HEAD + size]
            at += _RECORD_HEAD + size
        del self._records[:at]
        self._read_messages()

    def _read_messages(self) -> None:
        while len(self._messages) >= _MESSAGE_HEAD:
            kind, size = self._messages[0], int.from_bytes(self._messages[1:4])
            if kind != _CLIENT_HELLO:
                self._end()
                return
            if size > MOST_HELLO_BYTES:
                raise UnwantedHello(f"its hello has {size} bytes, and {MOST_HELLO_BYTES} are allowed")
            if len(self._messages) < _MESSAGE_HEAD + size:
                return
            _check(bytes(self._messages[_MESSAGE_HEAD : _MESSAGE_HEAD + size]))
            del self._messages[: _MESSAGE_HEAD + size]

    def _end(self) -> None:
        self.is_over = True
        self._records = self._messages = bytearray()


def _check(hello: bytes) -> None:
    for group in _groups_of_shares(hello):
        if group in _LARGE_FIELDS:
            raise UnwantedHello(
                f"it exchanges keys by the group 0x{group:04x}, a finite field of more than 2048 bits, which takes too "
                "long: use X25519 or secp256r1"
            )


def _groups_of_shares(hello: bytes) -> list[int]:
    """The groups in which a client gives a share of a key (RFC 8446, sections 4.1.2 and 4.2.8)."""
    at = 2 + 32  # Version and random.
    for length_bytes in (1, 2, 1):  # The session's id, cipher suites, compression methods.
        at += length_bytes + int.from_bytes(hello[at : at + length_bytes])
    at += 2  # The length of all extensions.
    groups = []
    while at + 4 <= len(hello):
        kind, size = int.from_bytes(hello[at : at + 2]), int.from_bytes(hello[at + 2 : at + 4])
        at += 4
        if kind == _KEY_SHARE:
            share, end = at + 2, min(at + size, len(hello))
            while share + 4 <= end:
                groups.append(int.from_bytes(hello[share : share + 2]))
                share += 4 + int.from_bytes(hello[share + 2 : share + 4])
        at += size
    return groups
