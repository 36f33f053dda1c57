"""Leaves out answers that come before the answer to the handshake: 100 (Continue), 103 (Early Hints) and the like.
Proxies may send them, and a client must expect them (RFC 9110, section 15.2); websockets does not."""

from __future__ import annotations

MOST_BYTES = 8 * 1024
"""The longest answer that is left out, in bytes."""
_BEGIN = b"HTTP/1.1 1"
_STATUS_AT = 9
_STATUS_END = 12
_SWITCHING = b"101"
_END = b"\r\n\r\n"


class Interim:
    """Reads what a server sends, and leaves these answers out."""

    __slots__ = ("_head", "_is_past")

    def __init__(self) -> None:
        self._head = bytearray()
        self._is_past = False

    def leave_out(self, data: bytes) -> bytes:
        """Return the data without these answers. While an answer is incomplete, return nothing.

        Parameters:
            data: the next bytes that have come.
        """
        if self._is_past:
            return data
        self._head += data
        while self._may_be_interim():
            end = self._head.find(_END)
            if end < 0 and len(self._head) < MOST_BYTES:
                return b""
            if end < 0:
                break
            del self._head[: end + len(_END)]
        if not self._head:
            return b""
        self._is_past = True
        return bytes(self._head)

    def _may_be_interim(self) -> bool:
        begin, status = self._head[: len(_BEGIN)], self._head[_STATUS_AT:_STATUS_END]
        return bool(begin) and _BEGIN.startswith(begin) and status != _SWITCHING
