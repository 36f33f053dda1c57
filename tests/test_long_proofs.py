"""What is longer or stricter in `make soak` is run by it."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
READERS = [path for path in sorted(TESTS.rglob("test_*.py")) if "import SOAK" in path.read_text()]
"""The modules that ask whether they are run by `make soak`."""


@pytest.mark.parametrize("path", READERS, ids=lambda path: str(path.relative_to(TESTS)))
def test_whoever_asks_for_soak_is_run_by_it(path: Path) -> None:
    """Otherwise a promise is checked never: in `make test` it is not asked for, and `make soak` leaves it out."""
    text = path.read_text()
    assert "mark.soak" in text or "mark.also_soak" in text
