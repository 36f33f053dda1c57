"""Logs for an operator: one line for each event on standard error, whatever the event's text contains, and no more
lines than a person can use, whoever causes them."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, TextIO

from rpcwire.logs import escape
from rpcwire.secret import hide

from .events import BY_TEMPLATE
from .journal import SOCKET, Journal, encode_entry, goes_to_journal
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

FIELD_CHARACTERS = 2000
"""The most characters of a field of an event."""

LEFT_OUT = "%d more lines like this one were left out in %.0f s: %s"
"""What :meth:`LimitedHandler.report` writes."""

_PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
"""The levels of syslog(3)."""

_FOREIGN = ("asyncio", "rpcwire.websocket")
"""The loggers of libraries that log what any client does."""


class SafeFormatter(logging.Formatter):
    """Makes text of an event: the message, and behind it the traceback. It escapes what is not printable, so that no
    text of a client can forge a line, control the terminal or turn the direction of writing. Secrets of the
    configuration it hides, whatever has put them into a text.

    Attributes:
        secrets: the secrets, the longest first.
    """

    def __init__(self, form: str = "%(message)s") -> None:
        super().__init__(form)
        self.secrets: tuple[str, ...] = ()

    def format(self, record: logging.LogRecord) -> str:
        """Format one event."""
        text = hide(super().format(record), self.secrets)
        if len(text) > RECORD_CHARACTERS:
            half = RECORD_CHARACTERS // 2
            text = f"{text[:half]}… ({len(text) - 2 * half} characters left out) …{text[-half:]}"
        return escape(text, "\n")

    def fields(self, record: logging.LogRecord) -> Iterator[tuple[str, str]]:
        """Yield what an event is about, besides its text: names, as of fields of the journal, and values."""
        event = BY_TEMPLATE.get(record.msg) if isinstance(record.msg, str) else None
        values: dict[str, Any] = {}
        if event is not None:
            values |= {"EVENT": event.name, "MESSAGE_ID": event.message_id}
            if isinstance(record.args, tuple):
                values |= zip(event.fields, record.args, strict=False)
        for name in ("client", "connection", "principal"):
            values.setdefault(name.upper(), getattr(record, name, None))
        for name, value in values.items():
            if value is not None and value != "":
                text = f"{value:.0f}" if isinstance(value, float) else str(value)
                yield name, escape(hide(text, self.secrets)[:FIELD_CHARACTERS])


class JournalFormatter(SafeFormatter):
    """An entry of the journal, which itself writes down the time."""


class JsonFormatter(SafeFormatter):
    """An object of JSON in a line, for what collects logs: ``time``, ``level``, ``logger``, ``message`` and what
    :meth:`~SafeFormatter.fields` says, with small letters."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one event."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": super().format(record),
        }
        return json.dumps(fields | {name.lower(): value for name, value in self.fields(record)})


class LineFormatter(SafeFormatter):
    """``2026-11-23T07:47:32.123Z INFO rpcserver.connection: text``. It indents the lines of a traceback."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    @staticmethod
    def converter(timestamp: float | None) -> time.struct_time:
        """Return the time in UTC, so that logs of several machines can be compared."""
        return time.gmtime(timestamp)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Format one event."""
        return super().format(record).replace("\n", "\n    ")


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Writes lines, and leaves out those that repeat too often. It counts them, and :meth:`report` says how many.

    A line about a client carries whom it is about (:func:`rpcwire.logs.about`). All clients that have not authenticated
    share one budget; each address of those that have gets its own. Other lines are not limited, but for tracebacks.

    Parameters:
        stream: gets the lines.
        clock: tells the time, in seconds; it must not jump.
        formatter: makes the lines.
    """

    def __init__(
        self,
        stream: TextIO,
        clock: Callable[[], float] = time.monotonic,
        formatter: SafeFormatter | None = None,
    ) -> None:
        super().__init__(stream)
        self._clock = clock
        self._repeats = Repeats()
        self._bytes = Budget(STRANGERS_BYTES, clock())
        self._reported_at = clock()
        self._formatter = LineFormatter() if formatter is None else formatter
        self.setFormatter(self._formatter)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, unless it is one too many."""
        try:
            now = self._clock()
            key, allowance = _kind(record)
            if allowance is not None and not self._repeats.admit(key, allowance, now):
                self._repeats.leave_out(key, self._example(record) if self._repeats.is_first(key) else "")
                return
            line = self.format(record)
            if allowance is STRANGERS and not self._bytes.take(len(line.encode(errors="replace")), now):
                self._repeats.leave_out(key, self._example(record))
                return
            self._write(record, line)
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
                values = (count, period_s, example)
                record = logging.LogRecord("rpcserver.log", logging.WARNING, __file__, 0, LEFT_OUT, values, None)
                self._write(record, self.format(record))
        finally:
            self.release()

    def _write(self, record: logging.LogRecord, line: str) -> None:  # noqa: ARG002 - the journal takes its fields
        self.stream.write(line + self.terminator)
        self.flush()

    @staticmethod
    def _example(record: logging.LogRecord) -> str:
        text = f"{record.levelname} {record.name}: {record.getMessage()}"
        return text[:500]


class JournalHandler(LimitedHandler):
    """Sends entries with fields to the journal of systemd. While it does not listen, lines go to the stream.

    Parameters:
        stream: gets the lines that the journal cannot take.
        journal: the journal.
    """

    def __init__(self, stream: TextIO, journal: Journal) -> None:
        super().__init__(stream, formatter=JournalFormatter())
        self._journal = journal

    def _write(self, record: logging.LogRecord, line: str) -> None:
        fields = [
            ("MESSAGE", line),
            ("PRIORITY", str(_PRIORITIES.get(record.levelno, 6))),
            ("SYSLOG_IDENTIFIER", "rpcserver"),
            ("LOGGER", record.name),
            ("CODE_FILE", record.pathname),
            ("CODE_LINE", str(record.lineno)),
            ("CODE_FUNC", record.funcName or ""),
            *self._formatter.fields(record),
        ]
        try:
            self._journal.send(encode_entry(fields))
        except OSError:
            super()._write(record, line)

    def close(self) -> None:
        """Close the socket."""
        self._journal.close()
        super().close()


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


def set_up(level: str, form: str = "auto", journal_socket: str = SOCKET) -> LimitedHandler:
    """Send the server's logs to standard error, or to the journal of systemd.

    Parameters:
        level: the lowest level to log.
        form: ``text``, ``json``, or ``auto``: entries of the journal if standard error goes there, else text.
        journal_socket: where the journal listens.

    Returns:
        What writes the lines. Call its :meth:`~LimitedHandler.report` from time to time.
    """
    handler: LimitedHandler
    if form == "auto" and goes_to_journal(os.environ, sys.stderr):
        handler = JournalHandler(sys.stderr, Journal(journal_socket))
    else:
        handler = LimitedHandler(sys.stderr, formatter=JsonFormatter() if form == "json" else None)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    set_level(level)
    logging.getLogger("rpcwire.websocket").setLevel(logging.WARNING)
    return handler


def set_level(level: str) -> None:
    """Log from this level on.

    Parameters:
        level: the lowest level to log.
    """
    for name in ("rpcserver", "rpcwire"):
        logging.getLogger(name).setLevel(level)
