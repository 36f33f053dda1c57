"""Writes the lines of an audit log to its files, in a thread, so that a slow disk holds up no call."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rpcwire.trusted_files import check_folder, make_folder, open_file

from .chain import Head
from .files import End, find_end, list_files, name_file
from .heads import HEAD_BYTES, format_head, parse_head

logger = logging.getLogger("rpcserver.audit")

RETRY_S = 0.5
"""How long to wait before another attempt to write, in seconds."""

HEAD_FILE_S = 1.0
"""How often the head file is written, in seconds."""

MOST_PAUSE_S = 60.0
"""The longest time until another attempt to write the head file, in seconds."""

MOST_FAILURES = 30
"""How many failures in a row are counted."""

LOCK = "lock"
"""The file in the folder that the server locks, so that no other one writes to the same log."""


class LogInUse(Exception):
    """Another server writes to the log."""


@dataclass(slots=True)
class Block:
    """Lines to write.

    Attributes:
        data: the lines.
        head: the last of them.
        at: its time, for the head file.
        first_seq: the number of the first line, if it begins a new file; otherwise 0.
        removals: the files to remove afterwards.
    """

    data: bytes
    head: Head
    at: str
    first_seq: int = 0
    removals: tuple[Path, ...] = ()


class Writer:
    """Writes blocks of lines in order. :meth:`put` and :attr:`backlog_bytes` are for the server's thread.

    Parameters:
        folder: the folder of the files. It is made, with mode 0700, if it is missing.
        sync_s: how long written lines may be only in the system's memory, in seconds.
        head_file: the file that gets the head; ``None`` for none.
        on_state: called in the thread that writes, with the fault when writing begins to fail, and with ``None`` when
            it works again.

    Raises:
        UntrustedFile: somebody else could change a file.
        BrokenLog: the log cannot go on after its last line.
        LogInUse: another server writes to it.
        OSError: a file cannot be made or read.

    Attributes:
        end: where the log ended before.
        files: its files, each with the number of its first line.
        head_before: the head in the head file before; ``None`` if there was none.
        head: the last line that was written.
    """

    def __init__(
        self, folder: Path, sync_s: float, head_file: Path | None, on_state: Callable[[str | None], None]
    ) -> None:
        self._folder = folder
        self._sync_s = sync_s
        self._on_state = on_state
        make_folder(folder)
        check_folder(folder)
        self._descriptor = self._head_descriptor = -1
        self._lock = open_file(folder / LOCK, os.O_RDWR | os.O_CREAT, follow=False)
        try:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LogInUse(f"another server writes to {folder}") from None
            self.files = list_files(folder)
            self.end = self._find_end()
            self.head_before = None if head_file is None else self._open_head_file(head_file)
        except BaseException:
            self._close()
            raise
        self.head = self.end.head
        self._at = ""
        self._blocks: deque[Block] = deque()
        self._backlog_bytes = 0
        self._has_work = threading.Condition()
        self._is_closing = False
        self._give_up_at: float | None = None
        self._is_failing = False
        self._synced_at = self._head_at = 0.0
        self._has_unsynced_lines = False
        self._filed_head = self.head_before
        self._head_failures = 0
        self._thread: threading.Thread | None = None

    # --- the beginning ----------------------------------------------------------------------------------------

    def _find_end(self) -> End:
        """Find the end of the log, and open its last file. Cut a torn line off."""
        torn_bytes = 0
        while self.files:
            _, path = self.files[-1]
            self._descriptor = open_file(path, os.O_RDWR | os.O_APPEND, follow=False)
            end = find_end(self._descriptor, path)
            torn_bytes += end.torn_bytes
            if end.head.seq:
                os.ftruncate(self._descriptor, end.size_bytes)
                return replace(end, torn_bytes=torn_bytes)
            # The server was killed when it had begun this file: its first block is not there.
            os.close(self._descriptor)
            self._descriptor = -1
            path.unlink()
            self.files.pop()
        return End(torn_bytes=torn_bytes)

    def _open_head_file(self, path: Path) -> Head | None:
        self._head_descriptor = open_file(path, os.O_RDWR | os.O_CREAT, follow=False)
        return parse_head(os.pread(self._head_descriptor, 2 * HEAD_BYTES, 0))

    # --- the server's thread ------------------------------------------------------------------------------------

    @property
    def backlog_bytes(self) -> int:
        """The size of the lines that are not written yet."""
        return self._backlog_bytes

    def put(self, block: Block) -> None:
        """Have a block written."""
        with self._has_work:
            self._blocks.append(block)
            self._backlog_bytes += len(block.data)
            self._has_work.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="rpc-audit", daemon=True)
            self._thread.start()

    def change(self, sync_s: float) -> None:
        """Bring lines onto the disk at other times from now on.

        Parameters:
            sync_s: as of the class.
        """
        with self._has_work:
            self._sync_s = sync_s
            self._has_work.notify()

    def close(self, timeout_s: float) -> int:
        """Write what waits, and close the files. This waits for the disk.

        Parameters:
            timeout_s: how long to try if writing fails, and how long to wait if nothing is written meanwhile, in
                seconds.

        Returns:
            The number of bytes that could not be written.
        """
        with self._has_work:
            self._is_closing = True
            self._give_up_at = time.monotonic() + timeout_s
            self._has_work.notify()
        if self._thread is not None:
            waiting_bytes = -1
            while self._thread.is_alive() and self._backlog_bytes != waiting_bytes:
                waiting_bytes = self._backlog_bytes
                self._thread.join(timeout_s + RETRY_S)
            if self._thread.is_alive():
                return self._backlog_bytes  # The disk hangs: the thread has the files.
        self._close()
        return self._backlog_bytes

    def _close(self) -> None:
        for descriptor in (self._descriptor, self._head_descriptor, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._head_descriptor = self._lock = -1

    # --- the thread that writes ---------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._has_work:
                if not self._blocks and not self._is_closing:
                    self._has_work.wait(self._rest_s())
                block = self._blocks[0] if self._blocks else None
                # Whoever closes has put the last block before. Without the lock it could come between the two looks.
                is_last = block is None and self._is_closing
            if block is not None and not self._write_block(block):
                return
            self._look_after(is_last=is_last)
            if is_last:
                return

    def _rest_s(self) -> float | None:
        """Return how long to wait for work, in seconds; ``None`` for as long as there is none."""
        times = []
        if self._has_unsynced_lines:
            times.append(self._synced_at + self._sync_s)
        if self._head_descriptor >= 0 and self._filed_head != self.head:
            times.append(self._head_at + self._head_pause_s)
        return max(min(times) - time.monotonic(), 0.001) if times else None

    def _write_block(self, block: Block) -> bool:
        """Write a block, however long it takes.

        Returns:
            Whether it was written: it is not if the writer is to close, and writing still fails.
        """
        rest = memoryview(block.data)
        is_begun = not block.first_seq
        while rest:
            try:
                if not is_begun:
                    self._begin_file(block.first_seq)
                    is_begun = True
                count = os.write(self._descriptor, rest)
            except OSError as exc:
                self._fail(exc)
                if not self._may_retry():
                    return False
                continue
            rest = rest[count:]
            with self._has_work:
                self._backlog_bytes -= count
        if self._is_failing:
            self._is_failing = False
            self._on_state(None)
        with self._has_work:
            self._blocks.popleft()
        self.head, self._at, self._has_unsynced_lines = block.head, block.at, True
        for path in block.removals:
            try:
                path.unlink(missing_ok=True)
            except OSError as exc:
                logger.warning("%s cannot be removed: %s", path, exc.strerror)
        return True

    def _begin_file(self, first_seq: int) -> None:
        path = self._folder / name_file(first_seq)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if self._descriptor >= 0:
            try:
                os.fsync(self._descriptor)
            except OSError as exc:
                logger.warning("the audit log cannot be synchronized: %s", exc.strerror)
            os.close(self._descriptor)
        self._descriptor = descriptor

    def _fail(self, exc: OSError) -> None:
        if not self._is_failing:
            self._is_failing = True
            self._on_state(exc.strerror or os.strerror(exc.errno or errno.EIO))

    def _may_retry(self) -> bool:
        """Wait a little before another attempt. Return whether there is time for one."""
        with self._has_work:
            if not self._is_closing:
                self._has_work.wait(RETRY_S)  # A new block wakes it, too: then it tries again at once.
        if self._give_up_at is None:
            return True
        time.sleep(0.02)
        return time.monotonic() < self._give_up_at

    def _look_after(self, *, is_last: bool) -> None:
        """Bring what was written onto the disk, and tell the head, where it is time. The lines come first: otherwise
        the head could be ahead of them after a loss of power."""
        now = time.monotonic()
        tells_head = self._head_descriptor >= 0 and self._filed_head != self.head
        tells_head = tells_head and (is_last or now >= self._head_at + self._head_pause_s)
        if self._has_unsynced_lines and (is_last or tells_head or now >= self._synced_at + self._sync_s):
            self._synced_at, self._has_unsynced_lines = now, False
            try:
                os.fdatasync(self._descriptor)
            except OSError as exc:
                logger.error("the audit log cannot be synchronized: %s", exc.strerror)  # noqa: TRY400 - says all
        if tells_head:
            self._head_at = now
            self._write_head()

    @property
    def _head_pause_s(self) -> float:
        """How long to wait after an attempt to write the head file, in seconds: longer and longer while it fails."""
        return min(HEAD_FILE_S * 2**self._head_failures, MOST_PAUSE_S) if self._head_failures else HEAD_FILE_S

    def _write_head(self) -> None:
        try:
            os.pwrite(self._head_descriptor, format_head(self.head, self._at), 0)
            os.fdatasync(self._head_descriptor)
        except OSError as exc:
            if not self._head_failures:
                logger.error("audit.head_file cannot be written: %s", exc.strerror)  # noqa: TRY400 - says all
            self._head_failures = min(self._head_failures + 1, MOST_FAILURES)
            return
        if self._head_failures:
            self._head_failures = 0
            logger.warning("audit.head_file is written again")
        self._filed_head = self.head
