"""Who may do what, over HTTP, by calls, notifications and streams, is what the file says that a person has read."""

from __future__ import annotations

import asyncio
import difflib
from pathlib import Path

import pytest

from .matrix import FILE, ask


@pytest.mark.timeout(300)
def test_who_may_do_what(tmp_path: Path) -> None:
    """If something has changed on purpose: ``python -m tests.server.matrix``, and read the difference."""
    wanted, found = FILE.read_text(encoding="utf-8"), asyncio.run(ask(tmp_path))
    difference = "\n".join(
        difflib.unified_diff(wanted.splitlines(), found.splitlines(), FILE.name, "now", lineterm="", n=0)
    )
    assert not difference, f"\n{difference}\n`python -m tests.server.matrix` renews {FILE.name}"
