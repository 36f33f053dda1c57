"""Keeps output in files, each named by the offset at which it begins. The names are the only index, so any process can
read the files while another one writes, even if that one is killed."""

from __future__ import annotations

import os
from bisect import bisect_right


class Segments:
    """The files of one output.

    Parameters:
        folder: the folder of the files.
        name: the output's name.
        segment_bytes: the size at which a new file begins.
    """

    def __init__(self, folder: str, name: str, segment_bytes: int) -> None:
        self.folder = folder
        self.name = name
        self.segment_bytes = segment_bytes
        self.starts: list[int] = []
        self.end = 0
        self._writing: int | None = None

    def _path(self, start: int) -> str:
        return os.path.join(self.folder, f"{self.name}.{start:020d}")

    @property
    def start(self) -> int:
        """The offset of the first byte that is kept."""
        return self.starts[0] if self.starts else self.end

    # --- writing ------------------------------------------------------------------------------------------------

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Append data.

        Raises:
            OSError: the disk is full, or the folder gone.
        """
        with memoryview(data) as view:
            rest = view
            while rest:
                if self._writing is None or self.end - self.starts[-1] >= self.segment_bytes:
                    self._begin()
                assert self._writing is not None
                count = os.write(self._writing, rest)
                self.end += count
                rest = rest[count:]

    def _begin(self) -> None:
        if self._writing is not None:
            os.close(self._writing)
            self._writing = None
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._writing = os.open(self._path(self.end), flags, 0o600)
        self.starts.append(self.end)

    def trim(self, keep_bytes: int) -> None:
        """Remove whole files from the beginning, as long as ``keep_bytes`` are kept."""
        while len(self.starts) > 1 and self.end - self.starts[1] >= keep_bytes:
            start = self.starts.pop(0)
            try:
                os.unlink(self._path(start))
            except FileNotFoundError:
                continue

    # --- reading ------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read the list of files again: another process writes them.

        Raises:
            OSError: the folder is gone.
        """
        prefix = f"{self.name}."
        self.starts = sorted(int(name[len(prefix) :]) for name in os.listdir(self.folder) if name.startswith(prefix))
        if self.starts:
            self.end = max(self.end, self.starts[-1] + os.stat(self._path(self.starts[-1])).st_size)

    def read(self, offset: int, most: int) -> tuple[int, bytes] | None:
        """Read the piece at ``offset``, or at the first kept byte after it.

        Returns:
            Where it begins, and at most ``most`` bytes; ``None`` where there is nothing yet.
        """
        while self.starts:
            place = max(bisect_right(self.starts, offset) - 1, 0)
            start = self.starts[place]
            begin = max(offset, start)
            try:
                data = self._pread(start, most, begin - start)
            except FileNotFoundError:
                self.starts.pop(place)
                continue
            if data:
                return begin, data
            if place + 1 == len(self.starts):
                return None
            offset = self.starts[place + 1]
        return None

    def _pread(self, start: int, most: int, begin: int) -> bytes:
        descriptor = os.open(self._path(start), os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, most, begin)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Close the files; they stay."""
        if self._writing is not None:
            os.close(self._writing)
            self._writing = None

    def remove(self) -> None:
        """Close and remove the files."""
        self.close()
        for start in self.starts:
            try:
                os.unlink(self._path(start))
            except OSError:
                continue
        self.starts.clear()
