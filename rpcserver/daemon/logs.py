"""Logs for an operator: one line for each event on standard error, whatever the event's text contains."""

from __future__ import annotations

import logging
import sys
import time

_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160)) if code != 10}


class LineFormatter(logging.Formatter):
    """``2026-11-23T07:47:32.123Z INFO rpcserver.connection: text``. It escapes control characters, so that no text of a
    client can forge a line or control the terminal. It indents the lines of a traceback."""

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
        return super().format(record).translate(_ESCAPES).replace("\n", "\n    ")


def set_up(level: str) -> None:
    """Send the server's logs to standard error.

    Parameters:
        level: the lowest level to log.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("rpcserver", "rpcwire"):
        logging.getLogger(name).setLevel(level)
    logging.getLogger("rpcwire.websocket").setLevel(logging.WARNING)
