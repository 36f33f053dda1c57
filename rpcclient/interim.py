"""Answers that come before the answer to the handshake: 100 (Continue), 103 (Early Hints) and the like. Nobody has to
send any, but proxies may, and a client must expect them (RFC 9110, section 15.2); websockets does not."""

from __future__ import annotations

MOST_BYTES = 8 * 1024
"""The longest answer that is left out."""
_BEGIN = b"HTTP/1.1 1"
_STATUS_AT = 9
_STATUS_END = 12
_SWITCHING = b"101"
_END = b"\r\n\r\n"


class Interim:
    """Takes what a server sends, and leaves such answers out."""

    __slots__ = ("_over", "_unclear")

    def __init__(self) -> None:
        self._unclear = bytearray()
        self._over = False

    def leave_out(self, data: bytes) -> bytes:
        """What is left of some data; nothing as long as it is unclear what it is.

        Parameters:
            data: the next bytes that have come.
        """
        if self._over:
            return data
        self._unclear += data
        while self._may_be_interim():
            end = self._unclear.find(_END)
            if end < 0 and len(self._unclear) < MOST_BYTES:
                return b""
            if end < 0:
                break
            del self._unclear[: end + len(_END)]
        if not self._unclear:
            return b""
        self._over = True
        return bytes(self._unclear)

    def _may_be_interim(self) -> bool:
        begin, status = self._unclear[: len(_BEGIN)], self._unclear[_STATUS_AT:_STATUS_END]
        return bool(begin) and _BEGIN.startswith(begin) and status != _SWITCHING
