"""What a program has written: the last of it, by byte offset, for any number of readers."""

from __future__ import annotations

import asyncio
from collections import deque

from .models import OutputChunk, StreamName


class Output:
    """One output of a program.

    Parameters:
        name: which one.
        retain_bytes: how much of it to keep.
        keep_first: keep the beginning, rather than the end, of what is too long.
    """

    def __init__(self, name: StreamName, retain_bytes: int, *, keep_first: bool = False) -> None:
        self.name: StreamName = name
        self.total_bytes = 0
        self.start = 0
        self.ended = False
        self._retain = retain_bytes
        self._keep_first = keep_first
        self._pieces: deque[bytes] = deque()
        self._kept = 0
        self._changed = asyncio.Event()

    def write(self, data: bytes) -> None:
        """The program has written ``data``."""
        self.total_bytes += len(data)
        if self._keep_first:
            data = data[: max(self._retain - self._kept, 0)]
        if data:
            self._pieces.append(data)
            self._kept += len(data)
            if not self._keep_first:
                self._trim()
        self._wake()

    def _trim(self) -> None:
        while self._kept > self._retain and len(self._pieces) > 1:
            dropped = len(self._pieces.popleft())
            self._kept -= dropped
            self.start += dropped

    def end(self) -> None:
        """Nothing more will come."""
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def changed(self) -> None:
        """Wait until something was written, or the end."""
        await self._changed.wait()

    def all(self) -> bytes:
        """Everything that is kept."""
        return b"".join(self._pieces)

    @property
    def lost_bytes(self) -> int:
        """Bytes that were written and are not kept."""
        return self.total_bytes - self._kept

    def read(self, offset: int, most: int) -> OutputChunk | None:
        """The piece that begins at ``offset``, or at what is kept after it; ``None`` where there is nothing yet."""
        begin = max(offset, self.start)
        if begin >= self.start + self._kept:
            return None
        skip = begin - self.start
        taken: list[bytes] = []
        size = 0
        for piece in self._pieces:
            if skip >= len(piece):
                skip -= len(piece)
                continue
            part = piece[skip : skip + most - size]
            skip = 0
            taken.append(part)
            size += len(part)
            if size >= most:
                break
        return OutputChunk(stream=self.name, offset=begin, data=b"".join(taken), lost_bytes=begin - offset)
