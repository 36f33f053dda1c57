"""Logs for an operator: one line for each event on standard error, whatever the event's text contains, and no more
lines than a person can use, whoever causes them."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Hashable, Iterable
from typing import TextIO

from rpcwire.logs import escape
from rpcwire.secret import hide

from .repeats import Allowance, Budget, Repeats

REPORT_S = 60.0
"""How often the log says what was left out, in seconds."""

STRANGERS = Allowance(at_once=20, per_s=1)
"""The lines of one kind about clients that have not authenticated, all of them together."""

STRANGERS_BYTES = Allowance(at_once=300_000, per_s=5_000)
"""The bytes of all lines about clients that have not authenticated: at most 600 kB in the first minute."""

CLIENTS = Allowance(at_once=200, per_s=5)
"""The lines of one kind about clients at one address that have authenticated."""

TRACEBACKS = Allowance(at_once=50, per_s=1)
"""The lines of one kind with the traceback of one kind of exception."""

RECORD_CHARACTERS = 64 * 1024
"""The most characters of one event, traceback included."""

_FOREIGN = ("asyncio", "rpcwire.websocket")
"""The loggers of libraries that log what any client does."""


class LineFormatter(logging.Formatter):
    """``2026-11-23T07:47:32.123Z INFO rpcserver.connection: text``. It escapes what is not printable, so that no text
    of a client can forge a line, control the terminal or turn the direction of writing. It indents the lines of a
    traceback. Secrets of the configuration it hides, whatever has put them into a text.

    Attributes:
        secrets: the secrets, the longest first.
    """

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    @staticmethod
    def converter(timestamp: float | None) -> time.struct_time:
        """Return the time in UTC, so that logs of several machines can be compared."""
        return time.gmtime(timestamp)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self.secrets: tuple[str, ...] = ()

    def format(self, record: logging.LogRecord) -> str:
        """Format one event."""
        text = hide(super().format(record), self.secrets)
        if len(text) > RECORD_CHARACTERS:
            half = RECORD_CHARACTERS // 2
            text = f"{text[:half]}… ({len(text) - 2 * half} characters left out) …{text[-half:]}"
        return escape(text, "\n").replace("\n", "\n    ")


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Writes lines, and leaves out those that repeat too often. It counts them, and :meth:`report` says how many.

    A line about a client carries whom it is about (:func:`rpcwire.logs.about`). All clients that have not authenticated
    share one budget; each address of those that have gets its own. Other lines are not limited, but for tracebacks.

    Parameters:
        stream: gets the lines.
        clock: tells the time, in seconds; it must not jump.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._repeats = Repeats()
        self._bytes = Budget(STRANGERS_BYTES, clock())
        self._reported_at = clock()
        self._formatter = LineFormatter()
        self.setFormatter(self._formatter)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, unless it is one too many."""
        try:
            now = self._clock()
            key, allowance = _kind(record)
            if allowance is not None and not self._repeats.admit(key, allowance, now):
                self._repeats.leave_out(key, self._example(record) if self._repeats.is_first(key) else "")
                return
            line = self.format(record) + self.terminator
            if allowance is STRANGERS and not self._bytes.take(len(line.encode(errors="replace")), now):
                self._repeats.leave_out(key, self._example(record))
                return
            self._write(line)
        except Exception:
            self.handleError(record)

    def hide(self, secrets: Iterable[str]) -> None:
        """Hide these secrets, too, in all lines from now on."""
        self._formatter.secrets = tuple(sorted({*self._formatter.secrets, *secrets}, key=len, reverse=True))

    def report(self) -> None:
        """Write how many lines of each kind were left out since the last report."""
        self.acquire()
        try:
            now = self._clock()
            period_s, self._reported_at = now - self._reported_at, now
            for count, example in self._repeats.report():
                text = f"{count} more lines like this one were left out in {period_s:.0f} s: {example}"
                record = logging.LogRecord("rpcserver.log", logging.WARNING, __file__, 0, text, (), None)
                self._write(self.format(record) + self.terminator)
        finally:
            self.release()

    def _write(self, line: str) -> None:
        self.stream.write(line)
        self.flush()

    @staticmethod
    def _example(record: logging.LogRecord) -> str:
        text = f"{record.levelname} {record.name}: {record.getMessage()}"
        return text[:500]


def _kind(record: logging.LogRecord) -> tuple[Hashable, Allowance | None]:
    """Return the kind of a line, and how many such lines may be written; ``None`` for any number."""
    kind = (record.name, record.msg if isinstance(record.msg, str) else type(record.msg))
    client = getattr(record, "client", None)
    if record.name in _FOREIGN or (isinstance(client, str) and not getattr(record, "is_known", False)):
        return kind, STRANGERS
    if isinstance(client, str):
        return (*kind, client.rpartition(":")[0] or client), CLIENTS
    if record.exc_info and record.exc_info[0] is not None:
        return (*kind, record.exc_info[0]), TRACEBACKS
    return kind, None


def set_up(level: str) -> LimitedHandler:
    """Send the server's logs to standard error.

    Parameters:
        level: the lowest level to log.

    Returns:
        What writes the lines. Call its :meth:`~LimitedHandler.report` from time to time.
    """
    handler = LimitedHandler(sys.stderr)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("rpcserver", "rpcwire"):
        logging.getLogger(name).setLevel(level)
    logging.getLogger("rpcwire.websocket").setLevel(logging.WARNING)
    return handler
