"""Standard input, output and errors, where whoever began this process has closed them."""

from __future__ import annotations

import os
import sys

NAMES = ("standard input", "standard output", "standard error")


def open_standard() -> None:
    """Put /dev/null where one of them is closed: the next socket would take its number, and what is written would go
    to the server."""
    for descriptor in range(len(NAMES)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # The lowest number that is free.
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, "r", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


def named(exc: OSError, descriptor: int) -> OSError:
    """The same error, which says of which of them it is."""
    return OSError(exc.errno, exc.strerror, NAMES[descriptor])


def silence() -> None:
    """Let what is still to be written go nowhere: Python would complain once more when it closes the output."""
    for descriptor in (1, 2):
        try:
            (sys.stdout, sys.stderr)[descriptor - 1].flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
