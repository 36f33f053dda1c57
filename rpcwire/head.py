"""The head of an HTTP message: its first line and its headers."""

from __future__ import annotations


class HeadEnd:
    """Finds the end of the headers of a message (RFC 9112, section 2.1), which may arrive in any number of pieces.

    Attributes:
        size: the number of bytes of the head so far.
        is_complete: whether the end has come; input after it does not belong to the head.
    """

    __slots__ = ("_last", "is_complete", "size")

    def __init__(self) -> None:
        self.size = 0
        self.is_complete = False
        self._last = b""

    def find(self, data: bytes) -> int:
        """Return how many bytes of ``data`` belong to the head."""
        if self.is_complete:
            return 0
        window = self._last + data
        at = window.find(b"\r\n\r\n")
        self.is_complete = at >= 0
        end = at + 4 - len(self._last) if self.is_complete else len(data)
        self._last = b"" if self.is_complete else window[-3:]
        self.size += end
        return end
