"""The audit log as the event loop sees it: collects lines, chains them in blocks, and hands these to the writer. It
begins new files, tells the head, and notices when the disk is slow or full."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Raw

from rpcserver.config import AuditConfig, ConfigError
from rpcwire.trusted_files import UntrustedFile

from .chain import Head, seal
from .files import BrokenLog, End, name_file
from .lines import Times, write_line
from .writer import Block, LogInUse, Writer

logger = logging.getLogger("rpcserver.audit")

FLUSH_S = 0.05
"""How long lines are collected before they are written, in seconds."""

BLOCK_LINES = 2000
"""The most lines of one block."""


class Log:
    """Collects the lines of a server, and has them written.

    Parameters:
        config: the settings.
        folder: the folder of the files.
        times: writes times; this sets its clock.
        before_flush: called before lines are written, and may add some.
        on_change: called with the reason when the log cannot be written, or not fast enough, and with ``None`` when it
            is well again.

    Raises:
        ConfigError: the files cannot be used; the message says why and what to do.

    Attributes:
        seq: the number of the last line of the last block.
        lines: the lines that were made since the start.
        lost_events: the events since the start that have no line, because no more lines could wait.
        end: where the log ended before.
        head_before: the head that the head file told before; ``None`` for none.
    """

    def __init__(
        self,
        config: AuditConfig,
        folder: Path,
        times: Times,
        before_flush: Callable[[], None],
        on_change: Callable[[str | None], None],
    ) -> None:
        self._config = config
        self._folder = folder
        self._times = times
        self._before_flush = before_flush
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._writer = _open_writer(config, folder, self._on_state)
        self.end: End = self._writer.end
        self.head_before = self._writer.head_before
        self.seq = self.end.seq
        self._chain = self.end.head.chain
        self._unsealed_lines = self.end.unsealed_lines
        self._file_bytes = self.end.size_bytes
        self._files = self._writer.files
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._new_file_seq = 0
        self._removals: list[Path] = []
        self._reserved_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._logged_head = Head()
        self._fault: str | None = None
        self._is_troubled = False
        self._losses = 0
        self._first_loss_ns = 0
        self._is_closed = False
        self._closing: asyncio.Future[int] | None = None
        self.lines = 0
        self.lost_events = 0
        self._set_clock()
        if not self._files:
            self._begin_file()

    def change(self, config: AuditConfig) -> None:
        """Follow other settings from now on.

        Parameters:
            config: the settings; the files are those of the start.
        """
        self._config = config
        self._writer.change(config.sync_s)
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = self._loop.call_later(config.head_s, self._tell_head)
        self._watch()

    # --- lines ------------------------------------------------------------------------------------------------

    def append(self, line: bytes) -> bool:
        """Add a line, or count it as lost if no more may wait.

        Parameters:
            line: the line without its beginning: ``{"seq":N,``.

        Returns:
            Whether it was added.
        """
        if not self._has_room(len(line)):
            self.count_loss()
            return False
        self._add_in_any_case(line)
        if self._timer is None:
            self.flush_soon()
        return True

    def reserve(self, size_bytes: int) -> bool:
        """Reserve room for a line that is made before the next flush. A quarter of all room may be reserved.

        Returns:
            Whether there is so much room.
        """
        if self._reserved_bytes + size_bytes > self._config.buffer_bytes // 4 or not self._has_room(size_bytes):
            return False
        self._reserved_bytes += size_bytes
        if self._timer is None:
            self.flush_soon()
        return True

    def append_reserved(self, line: bytes, size_bytes: int) -> None:
        """Add a line for which so much room was reserved."""
        self.release(size_bytes)
        self._add_in_any_case(line)

    def release(self, size_bytes: int) -> None:
        """Give room back that was reserved."""
        self._reserved_bytes -= size_bytes

    def add(self, event: str, **fields: str | float | Raw | None) -> None:
        """Add a line about something that is no call.

        Parameters:
            event: what has happened.
            fields: further fields; those that are ``None`` are left out.
        """
        try:
            line = self._write(event, **fields)
        except Exception as exc:
            line = self.write_fault(event, exc)
        self.append(line)

    def write_fault(self, event: str, exc: Exception, **fields: str | float | Raw | None) -> bytes:
        """Write a line that stands for one that could not be made, so that nothing is missing without a word.

        Parameters:
            event: the event of the line that could not be made.
            exc: why it could not.
            fields: what else is known; it is left out if it cannot be written either.
        """
        logger.error("a line of the audit log (%s) cannot be made", event, exc_info=exc)
        error = type(exc).__name__
        try:
            return self._write("fault", of=event, error=error, **fields)
        except Exception:
            return self._write("fault", of=event, error=error)

    def _write(self, event: str, **fields: str | float | Raw | None) -> bytes:
        return write_line(self._times.write(time.monotonic_ns()), event, **fields)

    def _add_in_any_case(self, line: bytes) -> None:
        self._pending.append(line)
        self._pending_bytes += len(line)

    def _has_room(self, size_bytes: int) -> bool:
        return not self._is_closed and self._waiting_bytes + size_bytes <= self._config.buffer_bytes

    def count_loss(self, count: int = 1) -> None:
        """Count events that have no line, because no more may wait."""
        if not self._losses:
            self._first_loss_ns = time.monotonic_ns()
        self._losses += count
        self.lost_events += count

    @property
    def next_seq(self) -> int:
        """The number that the next line gets."""
        return self.seq + len(self._pending) + 1

    @property
    def _waiting_bytes(self) -> int:
        """The size of the lines that are not written, about."""
        return self._pending_bytes + self._reserved_bytes + self._writer.backlog_bytes

    def _set_clock(self) -> None:
        self._times.set(time.monotonic_ns(), time.time_ns())

    def flush_soon(self) -> None:
        """Have the lines written soon."""
        if self._timer is None and not self._is_closed:
            self._set_clock()
            self._timer = self._loop.call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Hand the lines to the writer."""
        self._before_flush()
        if self._losses and self._waiting_bytes <= self._config.buffer_bytes // 2:
            self._tell_loss()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            self._put_all()
            if self._file_bytes >= self._config.file_bytes:
                self._begin_file()
        except Exception:  # Such as a lack of memory.
            logger.exception("lines of the audit log wait, since no block was made of them")
            self.flush_soon()
        self._watch()

    def _put_all(self) -> None:
        while self._pending:
            self._put()

    def _tell_loss(self) -> None:
        count, self._losses = self._losses, 0
        self._add_in_any_case(self._write("lost", count=count, since=self._times.write(self._first_loss_ns)))

    def _put(self) -> None:
        """Make a block of the lines that wait, and hand it to the writer. If that fails, they go on waiting."""
        pending = self._pending[:BLOCK_LINES]
        lines = [b'{"seq":%d,%b' % (seq, line) for seq, line in enumerate(pending, self.seq + 1)]
        block, chain = seal(self._chain, [*self._unsealed_lines, *lines])
        if self._unsealed_lines:
            # They are in the file already: only their sums and the chain over them follow.
            block = block[sum(len(line) + 1 for line in self._unsealed_lines) :]
        at = self._times.write(time.monotonic_ns())
        head = Head(self.seq + len(pending), chain)
        self._writer.put(Block(block, head, at, self._new_file_seq, tuple(self._removals)))
        self.seq, self._chain = head.seq, chain
        self.lines += len(pending)
        self._unsealed_lines, self._new_file_seq, self._removals = (), 0, []
        del self._pending[:BLOCK_LINES]
        self._pending_bytes -= sum(map(len, pending))
        self._file_bytes += len(block)
        if self._head_timer is None and not self._is_closed:
            self._head_timer = self._loop.call_later(self._config.head_s, self._tell_head)

    def _begin_file(self) -> None:
        """Begin the next file. Remove the oldest ones if there are too many, and say so in a line."""
        first_seq = self._new_file_seq = self.seq + 1
        name = name_file(first_seq)
        self._add_in_any_case(self._write("file", file=name, after=self._chain))
        self._files.append((first_seq, self._folder / name))
        self._file_bytes = 0
        while len(self._files) > self._config.files:
            first, path = self._files.pop(0)
            self._add_in_any_case(self._write("removed", file=path.name, first=first, last=self._files[0][0] - 1))
            self._removals.append(path)
        self._put()

    # --- the head ---------------------------------------------------------------------------------------------

    @property
    def head(self) -> Head:
        """The last line that was written."""
        return self._writer.head

    @property
    def backlog_bytes(self) -> int:
        """The size of the blocks that are not written yet."""
        return self._writer.backlog_bytes

    @property
    def is_failing(self) -> bool:
        """Whether the log cannot be written."""
        return self._fault is not None

    def _tell_head(self) -> None:
        self._head_timer = None
        head = self._writer.head
        if head != self._logged_head:
            self._logged_head = head
            logger.info("audit log: line %s", head)

    # --- a full or slow disk ------------------------------------------------------------------------------------

    def _on_state(self, fault: str | None) -> None:
        """Take the state of the writer from its thread."""
        with contextlib.suppress(RuntimeError):  # The loop has ended.
            self._loop.call_soon_threadsafe(self._note_state, fault)

    def _note_state(self, fault: str | None) -> None:
        self._fault = fault
        if fault is not None:
            logger.error("the audit log cannot be written: %s: free space in %s", fault, self._folder)
        else:
            logger.warning("the audit log is written again; %d lines are lost since the start", self.lost_events)
        self._watch()

    def _watch(self) -> None:
        """Notice that the disk is too slow, or no longer."""
        if self._is_closed:
            return
        most_bytes = self._config.buffer_bytes // (4 if self._is_troubled else 2)
        reason = self._fault
        if reason is None and self._waiting_bytes > most_bytes:
            reason = "the disk is too slow"
        if self._is_troubled != (reason is not None):
            self._is_troubled = reason is not None
            if self._fault is None and reason is not None:
                logger.error("the audit log cannot be written fast enough: %d bytes wait", self._waiting_bytes)
            self._on_change(reason)
        if self._losses or self._is_troubled:
            self.flush_soon()  # It must look again even if nothing else happens.

    # --- the end ----------------------------------------------------------------------------------------------

    async def close(self, patience_s: float) -> None:
        """Write what waits, and close the files.

        Parameters:
            patience_s: how long to wait for the disk, in seconds.
        """
        if self._closing is None:
            self._set_clock()
            self.flush()
            if self._losses:
                self._tell_loss()
            self._add_in_any_case(self._write("stop"))
            try:
                self._put_all()
            except Exception:
                logger.exception("the last lines of the audit log were not made")
            self._is_closed = True
            for timer in (self._timer, self._head_timer):
                if timer is not None:
                    timer.cancel()
            self._closing = self._loop.create_future()
            # A thread of its own: those of the loop may all wait for something else, such as names of machines.
            threading.Thread(target=self._close_writer, args=(patience_s,), name="rpc-audit-end", daemon=True).start()
        unwritten_bytes = await asyncio.shield(self._closing)
        if unwritten_bytes:
            logger.error("%d bytes of the audit log could not be written", unwritten_bytes)
        logger.info("audit log: it ends with line %s", self._writer.head)

    def _close_writer(self, patience_s: float) -> None:
        unwritten_bytes = self._writer.close(patience_s)
        assert self._closing is not None
        with contextlib.suppress(RuntimeError):  # The loop has ended.
            self._loop.call_soon_threadsafe(self._closing.set_result, unwritten_bytes)


def _open_writer(config: AuditConfig, folder: Path, on_state: Callable[[str | None], None]) -> Writer:
    head_file = Path(config.head_file) if config.head_file else None
    try:
        return Writer(folder, config.sync_s, head_file, on_state)
    except (UntrustedFile, BrokenLog, LogInUse) as exc:
        raise ConfigError(f"audit: {exc}") from None
    except OSError as exc:
        place = exc.filename or folder
        raise ConfigError(f"audit: {place}: {exc.strerror}: name another place, or set audit.enabled = false") from exc
