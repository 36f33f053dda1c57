"""Logging that an operator can read: one line per event on standard error, whatever the event's text contains."""

from __future__ import annotations

import logging
import sys
import time

_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160)) if code != 10}


class LineFormatter(logging.Formatter):
    """``2026-11-23T07:47:32.123Z INFO rpcserver.connection: text``. Control characters are escaped, so that nothing a
    client sends can forge a line or talk to the terminal. Lines of a traceback are indented."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    @staticmethod
    def converter(timestamp: float | None) -> time.struct_time:
        """UTC, so that logs of several machines can be laid side by side."""
        return time.gmtime(timestamp)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """One event as text."""
        return super().format(record).translate(_ESCAPES).replace("\n", "\n    ")


def set_up(level: str) -> None:
    """Send what the server logs to standard error.

    Parameters:
        level: the least that is logged.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("rpcserver", "rpcwire"):
        logging.getLogger(name).setLevel(level)
    logging.getLogger("rpcwire.websocket").setLevel(logging.WARNING)
