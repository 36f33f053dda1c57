"""A call of ours that has no answer yet, and how a thread waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from rpcwire.events import ProgressHook

from .interrupts import acquire

if TYPE_CHECKING:
    from .outbox import Outbox

logger = logging.getLogger("rpcclient")


class Mailbox:
    """Wakes one thread, and keeps reports of progress until that thread reads them. It uses a plain lock, because that
    wakes a thread with the least delay. The thread finds out itself what has happened.

    Parameters:
        progress: called with each report, in the thread that waits.
    """

    __slots__ = ("_lock", "_progress", "_reports")

    def __init__(self, progress: ProgressHook | None = None) -> None:
        self._progress = progress
        self._reports: deque[tuple[float, float | None, str | None]] | None = None if progress is None else deque()
        self._lock = threading.Lock()
        self._lock.acquire()

    def wake(self) -> None:
        """Wake the thread that waits. If none waits, the next wait ends at once."""
        try:
            self._lock.release()
        except RuntimeError:
            pass  # It was woken already.

    def wait(self, timeout_s: float) -> bool:
        """Wait until another thread calls :meth:`wake`, and pass on the reports that have come.

        Parameters:
            timeout_s: the longest wait, in seconds.

        Returns:
            Whether :meth:`wake` was called.
        """
        is_woken = acquire(self._lock, timeout_s)
        if self._reports:
            self.pass_on()
        return is_woken

    def report(self, done: float, total: float | None, message: str | None) -> None:
        """Keep a report of a call's progress, and wake the thread."""
        if self._reports is not None:
            self._reports.append((done, total, message))
            self.wake()

    def pass_on(self) -> None:
        """Call the hook with the reports that have come."""
        while self._reports:
            report = self._reports.popleft()
            assert self._progress is not None
            try:
                self._progress(*report)
            except Exception:
                logger.exception("the progress hook failed")


class Pending:
    """A call of ours. The connection's thread sets its answer; one thread waits for it.

    Parameters:
        mailbox: wakes the thread that waits; several calls may share it.
        is_stream: whether the answer is a stream.
        window: the number of items that the producer of that stream may send ahead; ``None`` for the session's own.
        latest: whether the reader wants only the newest item of that stream.

    Attributes:
        id: the call's id; 0 until it is queued.
        value: the encoded result, or the inbox of a stream; set if ``done`` is true and ``error`` is ``None``.
        uploads: the outboxes of the streams among the call's parameters.
        is_abandoned: whether nobody waits for the call any more.
    """

    __slots__ = ("done", "error", "id", "is_abandoned", "is_stream", "latest", "mailbox", "uploads", "value", "window")

    def __init__(
        self, mailbox: Mailbox, *, is_stream: bool = False, window: int | None = None, latest: bool = False
    ) -> None:
        self.id = 0
        self.mailbox = mailbox
        self.is_stream = is_stream
        self.window = window
        self.latest = latest
        self.value: Any = None
        self.error: BaseException | None = None
        self.done = False
        self.is_abandoned = False
        self.uploads: tuple[Outbox, ...] = ()

    def abandon(self) -> None:
        """Note that nobody waits any more, and let the mailbox become garbage."""
        self.is_abandoned = True
        self.mailbox = Mailbox()

    def settle(self, value: Any, error: BaseException | None) -> None:
        """Set the outcome, unless there is one."""
        if not self.done:
            self.value, self.error = value, error
            self.done = True
            self.mailbox.wake()

    def wait(self, until: float) -> bool:
        """Wait for the outcome. An interruption ends the wait at once.

        Parameters:
            until: the end of the wait, on the clock of :func:`time.monotonic`.

        Returns:
            Whether there is an outcome.
        """
        while not self.done and self.mailbox.wait(until - time.monotonic()):
            pass
        self.mailbox.pass_on()
        return self.done
