"""How many examples the tests of properties draw: all in `make soak`, a part of them in `make test`."""

from __future__ import annotations

import os

SOAK = bool(os.environ.get("SOAK"))
USUAL = 100
"""The examples of a test that does not say how many it wants."""
PART = 0.4
"""What `make test` draws of them. It draws others in each run, so that many runs find what one does not."""


def count_examples(wanted: int = USUAL) -> int:
    """How many of the wanted examples this run draws."""
    return wanted if SOAK else max(10, round(wanted * PART))
