"""What the coverage gate runs, and what it says at last."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.coverage_gate import TESTS, Failure, Piece, explain, list_pieces

FAILING = """
import pytest

@pytest.fixture
def broken():
    raise LookupError("no such thing")

def test_good(): ...
def test_bad(): assert "\\x1b[31m" == "b"
def test_without_its_fixture(broken): ...
"""


def test_each_test_is_in_one_piece() -> None:
    found = [
        file
        for piece in list_pieces()
        for path in map(Path, piece.paths)
        for file in ([path] if path.is_file() else path.rglob("test_*.py"))
        if not any(file.is_relative_to(folder) for folder in piece.apart)
    ]
    assert sorted(found) == sorted(TESTS.rglob("test_*.py"))


def test_the_failed_tests_are_named_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVERAGE_FILE", str(tmp_path / "coverage"))
    file = tmp_path / "test_some.py"
    file.write_text(FAILING)
    piece = Piece("some", [str(file)])
    piece.run(tmp_path, ["-c", "/dev/null", "--rootdir", str(tmp_path)])
    lines = "\n".join(explain([Piece("good", []), piece])).splitlines()
    assert lines[-2].startswith("FAILED test_some.py::test_bad: AssertionError: assert ")
    assert lines[-1].startswith("FAILED test_some.py::test_without_its_fixture: ")
    assert any("E       LookupError: no such thing" in line for line in lines)
    assert [line for line in lines if "test_good" in line], "it is among the slowest"


def test_a_piece_that_ends_without_a_report_shows_its_last_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho the end is near\nexit 7\n")
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))
    piece = Piece("some", [])
    piece.run(tmp_path, [])
    *others, last = explain([piece])
    assert last == "FAILED some: pytest ended with 7"
    assert "the end is near" in "\n".join(others)


def test_many_failures_stay_short() -> None:
    text = "\n".join(map(str, range(100)))
    piece = Piece("some", [], status=1, failures=[Failure(f"test_{number}", "no", text) for number in range(50)])
    assert len("\n".join(explain([piece])).splitlines()) < 350
