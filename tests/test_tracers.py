"""The judge of tests that leave a tracer behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests import conftest, tracers

TESTS = """
import sys
import threading

import pytest

def note(frame, event, argument): ...

@pytest.fixture
def careless():
    sys.settrace(note)

def test_quiet(): assert sys.gettrace() is FOUND
def test_for_good(): sys.settrace(note)
def test_in_threads(): threading.settrace(note)
def test_by_its_fixture(careless): ...
def test_polite():
    before = sys.gettrace()
    sys.settrace(note)
    sys.settrace(before)
def test_last(): assert sys.gettrace() is FOUND and threading.gettrace() is FOUND_IN_THREADS

FOUND, FOUND_IN_THREADS = sys.gettrace(), threading.gettrace()
"""


@pytest.mark.parametrize("measured", [False, True], ids=["alone", "measured"])
def test_each_test_that_leaves_a_tracer_fails_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: bool
) -> None:
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    file, report = tmp_path / "test_some.py", tmp_path / "report.xml"
    file.write_text(TESTS)
    command = [
        sys.executable,
        "-m",
        *(["coverage", "run", f"--data-file={tmp_path}/coverage", "-m"] if measured else []),
    ]
    command += ["pytest", "-c", "/dev/null", "--rootdir", str(tmp_path), "-p", tracers.__name__]
    done = subprocess.run([*command, f"--junitxml={report}", str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stdout + done.stderr
    said = {case.get("name"): _messages(case) for case in ET.parse(report).iter("testcase")}
    assert list(said) == [
        "test_quiet", "test_for_good", "test_in_threads", "test_by_its_fixture", "test_polite", "test_last",
    ]  # fmt: skip
    bad = {name: messages for name, messages in said.items() if messages}
    assert list(bad) == ["test_for_good", "test_in_threads", "test_by_its_fixture"]
    for name, messages in bad.items():
        assert f"test_some.py::{name} leaves another tracer behind" in messages
        assert ("threading.gettrace()" if name == "test_in_threads" else "sys.gettrace()") in messages


def _messages(case: ET.Element) -> str:
    return " ".join(child.get("message") or "" for child in case if child.tag in ("failure", "error"))


def test_the_judge_sits_in_all_tests(request: pytest.FixtureRequest) -> None:
    hooks: Any = request.config.hook
    judges = {method.function for method in hooks.pytest_runtest_teardown.get_hookimpls()}
    assert tracers.pytest_runtest_teardown in judges
    assert conftest.pytest_runtest_setup is tracers.pytest_runtest_setup
