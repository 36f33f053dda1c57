"""A call under way, and how a thread waits for it."""

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
    """Wakes one thread, and keeps what it is to be told meanwhile. A plain lock wakes with the least delay; whoever
    wakes looks himself at what has happened.

    Parameters:
        progress: told how far the calls have come, in the thread that waits.
    """

    __slots__ = ("_bell", "_progress", "_reports")

    def __init__(self, progress: ProgressHook | None = None) -> None:
        self._progress = progress
        self._reports: deque[tuple[float, float | None, str | None]] | None = None if progress is None else deque()
        self._bell = threading.Lock()
        self._bell.acquire()

    def ring(self) -> None:
        """Wake the thread that waits, or the next that will."""
        try:
            self._bell.release()
        except RuntimeError:
            pass  # It rings already.

    def wait(self, timeout_s: float) -> bool:
        """Wait until it rings, and pass on the progress that has come.

        Parameters:
            timeout_s: how long at most, in seconds.

        Returns:
            Whether it rang.
        """
        rang = acquire(self._bell, timeout_s)
        if self._reports:
            self.pass_on()
        return rang

    def report(self, done: float, total: float | None, message: str | None) -> None:
        """Take note of a call's progress."""
        if self._reports is not None:
            self._reports.append((done, total, message))
            self.ring()

    def pass_on(self) -> None:
        """Tell the hook what has come for it."""
        while self._reports:
            report = self._reports.popleft()
            assert self._progress is not None
            try:
                self._progress(*report)
            except Exception:
                logger.exception("the progress hook failed")


class Pending:
    """A call of ours. Its answer is set by the reader; one thread waits for it.

    Parameters:
        mailbox: of the thread that waits; several calls may share it.
        is_stream: whether the answer is a stream.
        window: items to let that stream's producer send ahead; ``None`` for the session's own.
        latest: of that stream, only the newest item is wanted.

    Attributes:
        id: the call's id; 0 until it is queued.
        value: the encoded result, or for a stream its inbox, once ``done`` is set and ``error`` is not.
        uploads: what sends the call's own streams.
        is_abandoned: nobody waits any more.
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
        """Nobody waits any more; whatever waited may become garbage."""
        self.is_abandoned = True
        self.mailbox = Mailbox()

    def settle(self, value: Any, error: BaseException | None) -> None:
        """Set the outcome, if there is none."""
        if not self.done:
            self.value, self.error = value, error
            self.done = True
            self.mailbox.ring()

    def wait(self, until: float) -> bool:
        """Wait for the outcome. An interruption ends the wait at once.

        Parameters:
            until: how long, on the clock of :func:`time.monotonic`.

        Returns:
            Whether it is there.
        """
        while not self.done and self.mailbox.wait(until - time.monotonic()):
            pass
        self.mailbox.pass_on()
        return self.done
