"""What a program has written: the last of it, by byte offset, for any number of readers.

The newest is in memory, what is older in files, and what is older still is gone. Readers have offsets of their own, so
that none of them can hold up another. Light on purpose: the keeper of programs loads it.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable

from rpcservices.programs.terms import StreamName

from .segments import Segments

BLOCK_BYTES = 64 * 1024
"""Small pieces are put together in memory up to this size."""
SEGMENT_BYTES = 4 * 1024 * 1024
PIECE_BYTES = 128 * 1024
"""The largest piece that is read and passed on at once."""
PIECES_UNDER_WAY = 160
"""More pieces than a reader lets come ahead of it: a program that waits for its reader keeps as much behind it."""


def piece_bytes(retain_bytes: int, *, hold: bool) -> int:
    """How large the pieces of an output are at most.

    Parameters:
        retain_bytes: how much of it is kept.
        hold: whether the program waits for its reader. Then everything that was sent but may have been lost on the way
            is still kept for a reader that comes back.
    """
    return max(1024, min(PIECE_BYTES, retain_bytes // PIECES_UNDER_WAY)) if hold else PIECE_BYTES


class SpareMemory:
    """Memory that all outputs share, for what each keeps beyond its own.

    Parameters:
        most_bytes: how much there is.

    Attributes:
        used_bytes: how much of it is taken.
    """

    __slots__ = ("most_bytes", "used_bytes")

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.used_bytes = 0

    @property
    def has_room(self) -> bool:
        """Whether some is left."""
        return self.used_bytes < self.most_bytes


class Output:
    """One output of a program.

    Parameters:
        name: which one.
        retain_bytes: how much of it to keep.
        memory_bytes: how much of that in memory in any case; the rest goes to files.
        spare: what else may be kept in memory, as long as others leave room.
        folder: where to keep the files; with ``None`` everything is in memory.
        keep_first: keep the beginning, rather than the end, of what is too long.

    Attributes:
        total_bytes: bytes written so far.
        dropped_bytes: bytes that came after the program's limit, and are no part of its output.
        ended: whether nothing more will come.
        cut: whether it ends here although more came.
        taken: the offset up to which the controlling reader has read.
    """

    def __init__(
        self,
        name: StreamName,
        retain_bytes: int,
        *,
        memory_bytes: int | None = None,
        spare: SpareMemory | None = None,
        folder: str | None = None,
        keep_first: bool = False,
    ) -> None:
        self.name: StreamName = name
        self.total_bytes = 0
        self.dropped_bytes = 0
        self.ended = False
        self.cut = False
        self.taken = 0
        self.retain_bytes = retain_bytes
        self._keep_first = keep_first
        in_memory = retain_bytes if folder is None or memory_bytes is None else min(memory_bytes, retain_bytes)
        self._memory_bytes = in_memory
        self._spare = SpareMemory(0) if spare is None else spare
        self._spare_used = 0
        self._segments = (
            None
            if folder is None or in_memory == retain_bytes
            else Segments(folder, name, max(4096, min(SEGMENT_BYTES, retain_bytes // 8)))
        )
        self._block_bytes = max(1024, min(BLOCK_BYTES, retain_bytes // 8))
        self._blocks: deque[bytes | bytearray] = deque()
        self._in_memory = 0
        self._watchers: set[Callable[[], object]] = set()

    # --- writing ------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """The program has written ``data``."""
        self.total_bytes += len(data)
        if self._keep_first:
            data = data[: max(self.retain_bytes - self._in_memory, 0)]
        if data:
            self._keep(data)
        for watcher in tuple(self._watchers):
            watcher()

    def drop(self, size: int) -> None:
        """The program has written so much beyond its limit."""
        self.dropped_bytes += size

    def make_room(self, size: int) -> None:
        """Keep so many bytes more."""
        self.retain_bytes += size
        if self._segments is None:
            self._memory_bytes += size

    def _keep(self, data: bytes) -> None:
        if self._memory_bytes == 0 and self._segments is not None:
            self._to_file(data)
            return
        blocks = self._blocks
        if len(data) * 2 > self._block_bytes:
            blocks.append(data)
        elif blocks and isinstance(blocks[-1], bytearray) and len(blocks[-1]) < self._block_bytes:
            blocks[-1] += data
        else:
            blocks.append(bytearray(data))
        self._in_memory += len(data)
        if not self._keep_first:
            self._make_way(2 * len(data))

    def _make_way(self, at_once: int) -> None:
        """Let the oldest blocks go from memory.

        Parameters:
            at_once: how much at a time: where others have taken the spare memory, much would go at once, and hold up
                everybody.
        """
        blocks = self._blocks
        segments = self._segments
        most = self.retain_bytes if segments is not None and self._spare.has_room else self._memory_bytes
        gone = 0
        while gone < at_once and len(blocks) > 1 and self._in_memory - len(blocks[0]) >= most:
            block = blocks.popleft()
            self._in_memory -= len(block)
            gone += len(block)
            if segments is None:
                continue
            if self._in_memory >= self.retain_bytes:
                self._skip_files(len(block))
            else:
                self._to_file(block)
        if segments is not None:
            used = max(self._in_memory - self._memory_bytes, 0)
            self._spare.used_bytes += used - self._spare_used
            self._spare_used = used

    def _skip_files(self, size: int) -> None:
        """The next bytes are not kept, and so nothing before them."""
        assert self._segments is not None
        end = self._segments.end + size
        self._segments.remove()
        self._segments.end = end

    def _to_file(self, data: bytes | bytearray) -> None:
        segments = self._segments
        assert segments is not None
        before = segments.end
        try:
            segments.append(data)
        except OSError:
            # The disk is full or gone: the program goes on, and this part of its output is lost.
            segments.end = before
            self._skip_files(len(data))
            return
        segments.trim(max(self.retain_bytes - self._in_memory, 0))

    def end(self) -> None:
        """Nothing more will come."""
        self.ended = True
        if self._segments is not None:
            self._segments.close()
        for watcher in tuple(self._watchers):
            watcher()

    def discard(self) -> None:
        """Free everything that is kept."""
        if self._segments is not None:
            self._segments.remove()
            self._segments = None
        self._blocks.clear()
        self._in_memory = 0
        self._spare.used_bytes -= self._spare_used
        self._spare_used = 0

    # --- reading ------------------------------------------------------------------------------------------------

    @property
    def start(self) -> int:
        """The offset of the first byte that is kept."""
        if self._keep_first:
            return 0
        if self._segments is not None and self._segments.starts:
            return self._segments.start
        return self.total_bytes - self._in_memory

    @property
    def behind(self) -> int:
        """Bytes that the controlling reader has not read yet."""
        return self.total_bytes - self.taken

    @property
    def lost_bytes(self) -> int:
        """Bytes that were written and are not kept."""
        in_files = 0 if self._segments is None else self._segments.end - self.start
        return self.dropped_bytes + self.total_bytes - self._in_memory - in_files

    def watch(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Have ``callback`` called whenever something was written, and at the end.

        Returns:
            A function that takes this back.
        """
        self._watchers.add(callback)

        def forget() -> None:
            self._watchers.discard(callback)

        return forget

    def all(self) -> bytes:
        """Everything that is kept in memory."""
        return b"".join(self._blocks)

    def read(self, offset: int, most: int) -> tuple[int, bytes] | None:
        """The piece that begins at ``offset``, or at what is kept after it.

        Returns:
            Where it begins, and at most ``most`` bytes, but perhaps fewer than there are; ``None`` where there is
            nothing yet.
        """
        memory_start = self.total_bytes - self._in_memory if not self._keep_first else 0
        if self._segments is not None and offset < memory_start:
            with contextlib.suppress(OSError):
                found = self._segments.read(offset, most)
                if found is not None:
                    return found
        begin = max(offset, memory_start)
        if begin >= memory_start + self._in_memory:
            return None
        skip = begin - memory_start
        taken: list[bytes] = []
        size = 0
        for block in self._blocks:
            if skip >= len(block):
                skip -= len(block)
                continue
            if skip or len(block) > most - size or isinstance(block, bytearray):
                with memoryview(block) as view:
                    part = bytes(view[skip : skip + most - size])
                skip = 0
            else:
                part = block
            taken.append(part)
            size += len(part)
            if 2 * size >= most:  # Large blocks go as they are: putting them together would copy them.
                break
        return begin, taken[0] if len(taken) == 1 else b"".join(taken)
