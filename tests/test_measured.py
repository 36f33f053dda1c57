"""What the measure of coverage is spared, and that nothing else changes."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import coverage
import pytest

from tests.coverage_gate import Piece
from tests.measured import rest

MODULE = """\
def of_first():
    return 1
def of_second():
    return 2
def of_alone():
    return 3
def of_example(number):
    if number < 25:
        return 4
    return 5
def of_thread():
    return 6
def of_process():
    return 7
def of_both():
    return 8
def of_loop():
    return 9
"""
SOME = """
import subprocess, sys, threading
import pytest
from hypothesis import given, settings, strategies
import module

@pytest.mark.parametrize("second", [False, True], ids=["-", "second"])
@pytest.mark.parametrize("first", [False, True], ids=["-", "first"])
def test_variants(first, second):
    if first and second:
        module.of_both()
    elif first:
        module.of_first()
    elif second:
        module.of_second()

@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_in_other_places(loop):
    if loop == "uvloop":
        module.of_loop()
        thread = threading.Thread(target=module.of_thread)
        thread.start()
        thread.join()
        subprocess.run([sys.executable, "-c", "import module; module.of_process()"], check=True)

count = 0

@settings(max_examples=30, database=None)
@given(strategies.integers())
def test_property(number):
    global count
    module.of_example(count)
    count += 1

def test_alone():
    module.of_alone()
    assert count >= 30
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "module.py").write_text(MODULE)
    (tmp_path / "test_some.py").write_text(SOME)
    (tmp_path / "coveragerc").write_text("[run]\nparallel = true\npatch = subprocess\nsource = module\n")
    monkeypatch.setenv("COVERAGE_RCFILE", str(tmp_path / "coveragerc"))
    monkeypatch.setenv("COVERAGE_FILE", str(tmp_path / "data"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(folder: Path, *, is_measured: bool) -> Piece:
    piece = Piece("some", [str(folder / "test_some.py")], is_measured=is_measured)
    piece.run(folder, ["-c", "/dev/null", "--rootdir", str(folder)])
    assert not piece.status, piece.failures
    return piece


def test_new_values_and_the_first_examples_are_measured(folder: Path) -> None:
    assert "8 passed" in run(folder, is_measured=True).lines[-1]
    measured = coverage.Coverage(data_file=str(folder / "data"), config_file=str(folder / "coveragerc"))
    measured.combine([str(folder)])
    lines = set(measured.get_data().lines(str(folder / "module.py")) or ())
    source = MODULE.splitlines()
    run_lines = {source[line - 1].strip() for line in lines}
    assert {"return 1", "return 2", "return 3", "return 4"} <= run_lines
    assert not {"return 5", "return 6", "return 7", "return 8", "return 9"} & run_lines


def test_a_piece_that_is_not_measured_leaves_no_data(folder: Path) -> None:
    piece = run(folder, is_measured=False)
    assert "8 passed" in piece.lines[-1]
    assert not list(folder.glob("data*"))
    assert piece.processor_s > 0


def test_the_tracers_come_back() -> None:
    def trace(*args: object) -> None: ...

    before = sys.gettrace(), threading.gettrace()
    sys.settrace(trace)
    threading.settrace(trace)
    try:
        with pytest.raises(LookupError), rest():
            assert sys.gettrace() is threading.gettrace() is None
            raise LookupError
        assert sys.gettrace() is threading.gettrace() is trace
    finally:
        threading.settrace(before[1])
        sys.settrace(before[0])
