"""A column of short texts: an object for each would take as much again as the text itself."""

from __future__ import annotations

from array import array
from itertools import accumulate


class Texts:
    """Texts as bytes, by their index.

    A text is never changed where it stands: what is new comes at the end, and when as much is unused as used, the texts
    are written anew. So each change costs little, however many texts there are.
    """

    __slots__ = ("_bytes", "_sizes", "_starts", "_used_bytes")

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._starts = array("I")
        self._sizes = array("H")
        self._used_bytes = 0

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> bytes:
        start = self._starts[index]
        return bytes(self._bytes[start : start + self._sizes[index]])

    def __setitem__(self, index: int, text: bytes) -> None:
        if self[index] == text:
            return
        self._used_bytes += len(text) - self._sizes[index]
        self._starts[index] = len(self._bytes)
        self._sizes[index] = len(text)
        self._bytes += text
        self._tidy()

    def insert(self, index: int, text: bytes) -> None:
        """Insert a text before an index.

        Raises:
            OverflowError: it has more than 65,535 bytes.
        """
        self._sizes.insert(index, len(text))
        self._starts.insert(index, len(self._bytes))
        self._bytes += text
        self._used_bytes += len(text)

    def __delitem__(self, index: int) -> None:
        self._used_bytes -= self._sizes[index]
        del self._starts[index], self._sizes[index]
        self._tidy()

    def _tidy(self) -> None:
        if len(self._bytes) > 2 * self._used_bytes + 1024:
            self._bytes = bytearray().join([self[index] for index in range(len(self))])
            self._starts = array("I", list(accumulate(self._sizes, initial=0))[:-1])
