"""The head file: the number and the chain of the last line of an audit log, somewhere else."""

from __future__ import annotations

import json

from .chain import Head, read_head
from .files import BrokenLog

HEAD_BYTES = 160
"""The size of the file: it is written in place, as a whole."""


def format_head(head: Head, at: str) -> bytes:
    """Write the content of the file: one line of always the same size.

    Parameters:
        head: the last line.
        at: its time.
    """
    return f'{{"head":"{head}","at":"{at}"}}'.ljust(HEAD_BYTES - 1).encode("ascii") + b"\n"


def parse_head(data: bytes) -> Head | None:
    """Read the content of the file; ``None`` if it is empty.

    Raises:
        BrokenLog: it is malformed.
    """
    if not data.strip():
        return None
    try:
        return read_head(json.loads(data)["head"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BrokenLog("audit.head_file: it is no head file of an audit log: name another file") from None
