"""Keeps the last part of a program's output, by byte offset, for any number of readers.

The newest part is in memory, an older part in files, and the oldest is dropped. Each reader has its own offset, so that
none delays another. This module imports little, because the keeper of programs must start fast.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from weakref import WeakValueDictionary

from rpcservices.programs.terms import StreamName

from .segments import Segments

BLOCK_BYTES = 64 * 1024
"""Small pieces are joined in memory up to this size."""
SEGMENT_BYTES = 4 * 1024 * 1024
PIECE_BYTES = 128 * 1024
"""The largest piece that is read and passed on at once."""
PIECES_UNDER_WAY = 160
"""More pieces than can be on the way to a reader. A program that waits for its reader keeps so many behind it."""


def piece_bytes(retain_bytes: int, *, hold: bool) -> int:
    """The largest size of pieces of an output.

    Parameters:
        retain_bytes: how much of the output is kept.
        hold: whether the program waits for its reader. Then all pieces that may have been lost on the way must still be
            kept, for a reader that comes back.
    """
    return max(1024, min(PIECE_BYTES, retain_bytes // PIECES_UNDER_WAY)) if hold else PIECE_BYTES


class SpareMemory:
    """Memory that outputs share, in addition to the memory that each has for itself.

    Parameters:
        most_bytes: its size.
        whole_bytes: the most memory of all outputs together, with what each has for itself; ``None`` for no limit.
        share: the part of both that the outputs of one owner may have, so that some is left for others.
        parent: the memory of which this is the part of one owner.

    Attributes:
        used_bytes: the part in use.
        kept_bytes: the memory that all outputs use together.
    """

    __slots__ = ("__weakref__", "_owners", "_parent", "_share", "kept_bytes", "most_bytes", "used_bytes", "whole_bytes")

    def __init__(
        self,
        most_bytes: int,
        whole_bytes: int | None = None,
        *,
        share: float = 1.0,
        parent: SpareMemory | None = None,
    ) -> None:
        self.most_bytes = most_bytes
        self.whole_bytes = whole_bytes
        self.used_bytes = 0
        self.kept_bytes = 0
        self._share = share
        self._parent = parent
        self._owners: WeakValueDictionary[str, SpareMemory] = WeakValueDictionary()

    def change(self, most_bytes: int, whole_bytes: int | None, share: float) -> None:
        """Have another size from now on; the parameters are those of the class. What is in use stays so."""
        self.most_bytes, self.whole_bytes, self._share = most_bytes, whole_bytes, share
        for part in list(self._owners.values()):
            part.most_bytes, part.whole_bytes = self._size_of_part()

    def _size_of_part(self) -> tuple[int, int | None]:
        whole_bytes = None if self.whole_bytes is None else int(self.whole_bytes * self._share)
        return int(self.most_bytes * self._share), whole_bytes

    def of(self, owner: str) -> SpareMemory:
        """Return what the outputs of one owner may have of this memory."""
        part = self._owners.get(owner)
        if part is None:
            part = self._owners[owner] = SpareMemory(*self._size_of_part(), parent=self)
        return part

    def count(self, kept_bytes: int, used_bytes: int = 0) -> None:
        """Count memory that outputs use more, or with negative numbers less."""
        self.kept_bytes += kept_bytes
        self.used_bytes += used_bytes
        if self._parent is not None:
            self._parent.count(kept_bytes, used_bytes)

    def is_full(self, more_bytes: int = 0) -> bool:
        """Whether all outputs together use as much memory as they may, or would with some more bytes."""
        if self.whole_bytes is not None and self.kept_bytes + more_bytes > self.whole_bytes:
            return True
        return self._parent is not None and self._parent.is_full(more_bytes)

    @property
    def has_room(self) -> bool:
        """Whether some of it is free."""
        return self.used_bytes < self.most_bytes and (self._parent is None or self._parent.has_room)


class Output:
    """One output of a program.

    Parameters:
        name: its name.
        retain_bytes: how much of it to keep.
        memory_bytes: how much of that always stays in memory; the rest goes to files.
        spare: further memory to use, while other outputs leave room.
        folder: the folder for the files; with ``None`` everything is in memory.
        keep_first: whether to keep the beginning of a long output instead of the end.

    Attributes:
        total_bytes: bytes written so far.
        dropped_bytes: bytes beyond the program's limit, which are not part of its output.
        is_complete: whether the output is complete.
        cut: whether it ends here although the program wrote more.
        read_offset: the offset up to which the controlling reader has read.
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
        self.is_complete = False
        self.cut = False
        self.read_offset = 0
        self.retain_bytes = retain_bytes
        self._keep_first = keep_first
        in_memory = retain_bytes if folder is None or memory_bytes is None else min(memory_bytes, retain_bytes)
        self._memory_bytes = in_memory
        self._spare = SpareMemory(0) if spare is None else spare
        self._spare_used = 0
        self._segments = (
            None if folder is None else Segments(folder, name, max(4096, min(SEGMENT_BYTES, retain_bytes // 8)))
        )
        self._block_bytes = max(1024, min(BLOCK_BYTES, retain_bytes // 8))
        self._blocks: deque[bytes | bytearray] = deque()
        self._starts: deque[int] = deque()  # The offset of each block.
        self._in_memory = 0
        self._is_discarded = False
        self._watchers: set[Callable[[], object]] = set()

    # --- writing ------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Append what the program has written."""
        self.total_bytes += len(data)
        if self._keep_first:
            if self._spare.is_full(len(data)):
                self.retain_bytes = self._in_memory  # What is kept is a beginning, without gaps.
            data = data[: max(self.retain_bytes - self._in_memory, 0)]
        if data and not self._is_discarded:
            self._keep(data)
        for watcher in tuple(self._watchers):
            watcher()

    def drop(self, size: int) -> None:
        """Count bytes that the program has written beyond its limit."""
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
        if (
            blocks
            and len(data) * 2 <= self._block_bytes
            and isinstance(blocks[-1], bytearray)
            and len(blocks[-1]) < self._block_bytes
        ):
            blocks[-1] += data
        else:
            blocks.append(data if len(data) * 2 > self._block_bytes else bytearray(data))
            self._starts.append(self._in_memory if self._keep_first else self.total_bytes - len(data))
        self._in_memory += len(data)
        self._spare.count(len(data))
        if not self._keep_first:
            self._make_way(2 * len(data))

    def _make_way(self, at_once: int, least_blocks: int = 1) -> None:
        """Move the oldest blocks out of memory.

        Parameters:
            at_once: the most bytes at a time. If others have used the spare memory, moving all at once would delay
                everybody.
            least_blocks: how many of the newest blocks stay in any case.
        """
        blocks = self._blocks
        segments = self._segments
        most = self.retain_bytes if segments is not None and self._spare.has_room else self._memory_bytes
        if segments is not None and self._spare.is_full():
            most = 0
        freed_bytes = 0
        while freed_bytes < at_once and len(blocks) > least_blocks and self._in_memory - len(blocks[0]) >= most:
            block = blocks.popleft()
            self._starts.popleft()
            self._in_memory -= len(block)
            self._spare.count(-len(block))
            freed_bytes += len(block)
            if segments is None:
                continue
            if self._in_memory >= self.retain_bytes:
                self._skip_files(len(block))
            else:
                self._to_file(block)
        if segments is not None:
            spare_used = max(self._in_memory - self._memory_bytes, 0)
            self._spare.count(0, spare_used - self._spare_used)
            self._spare_used = spare_used

    def _skip_files(self, size: int) -> None:
        """Skip bytes that cannot be kept; nothing before them is kept either."""
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
            # The disk is full or gone. The program goes on, and this part of its output is lost.
            segments.end = before
            self._skip_files(len(data))
            return
        segments.trim(max(self.retain_bytes - self._in_memory, 0))

    def end(self) -> None:
        """Mark the output as complete."""
        self.is_complete = True
        if self._segments is not None:
            if self._spare.is_full():
                # Nothing comes any more that would move it out of the memory that others need.
                self._make_way(self._in_memory, least_blocks=0)
            self._segments.close()
        for watcher in tuple(self._watchers):
            watcher()

    def discard(self) -> None:
        """Free everything that is kept."""
        if self._segments is not None:
            self._segments.remove()
            self._segments = None
        self._is_discarded = True
        self._blocks.clear()
        self._starts.clear()
        self._spare.count(-self._in_memory, -self._spare_used)
        self._in_memory = self._spare_used = 0

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
        """The number of bytes that the controlling reader has not read yet."""
        return self.total_bytes - self.read_offset

    @property
    def lost_bytes(self) -> int:
        """The number of bytes that were written and are no longer kept."""
        in_files = 0 if self._segments is None else self._segments.end - self.start
        return self.dropped_bytes + self.total_bytes - self._in_memory - in_files

    def watch(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call ``callback`` whenever something was written, and at the end.

        Returns:
            A function that ends this.
        """
        self._watchers.add(callback)

        def forget() -> None:
            self._watchers.discard(callback)

        return forget

    def all(self) -> bytes:
        """Everything that is kept in memory."""
        return b"".join(self._blocks)

    def read(self, offset: int, most: int) -> tuple[int, bytes] | None:
        """Read the piece at ``offset``, or at the first kept byte after it.

        Returns:
            Where it begins, and at most ``most`` bytes, perhaps fewer than there are; ``None`` where there is nothing
            yet.
        """
        memory_start = self.total_bytes - self._in_memory if not self._keep_first else 0
        if self._segments is not None and offset < memory_start:
            with contextlib.suppress(OSError):
                piece = self._segments.read(offset, most)
                if piece is not None:
                    return piece
        begin = max(offset, memory_start)
        if begin >= memory_start + self._in_memory:
            return None
        number = bisect_right(self._starts, begin) - 1
        skip = begin - self._starts[number]
        parts: list[bytes] = []
        size = 0
        while number < len(self._blocks):
            block = self._blocks[number]
            if skip or len(block) > most - size or isinstance(block, bytearray):
                with memoryview(block) as view:
                    part = bytes(view[skip : skip + most - size])
                skip = 0
            else:
                part = block
            parts.append(part)
            size += len(part)
            number += 1
            if 2 * size >= most:  # Return a large block as it is: joining would copy it.
                break
        return begin, parts[0] if len(parts) == 1 else b"".join(parts)
