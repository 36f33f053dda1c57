"""Runs SQLAlchemy's suite for dialects of third parties in a pytest of its own, and reads what came of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
_SETUP = """\
[tool:pytest]
addopts = --tb=native -p no:cacheprovider -p no:timeout -W ignore
junit_family = xunit2
python_files = test_*.py

[sqla_testing]
requirement_cls = tests.dialects.requirements:Requirements
profile_file = profiles.txt

[db]
default = sqlite://
"""
_DRIVER = re.compile(r"_(sqlite|postgresql)(\+\w+?)?(_\d+)+$")


def run_suite(folder: Path, url: str, *arguments: str, limit_s: float = 1800) -> dict[str, str]:
    """Run the suite.

    Parameters:
        folder: an empty one to run in.
        url: of the engine.
        arguments: more of pytest's.
        limit_s: how long it may take.

    Returns:
        For each test ``passed``, ``skipped``, ``failed`` or ``error``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in (HERE / "compliance").glob("*.py"):
        shutil.copy(file, folder)
    (folder / "setup.cfg").write_text(_SETUP)
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-c", "setup.cfg", "--rootdir", ".", "--dburi", url]
    done = subprocess.run(
        [*command, f"--junitxml={report}", *arguments, "test_suite.py"],
        cwd=folder, capture_output=True, text=True, timeout=limit_s, check=False,
    )  # fmt: skip
    (folder / "output.txt").write_text(done.stdout + done.stderr)
    if not report.exists():
        raise RuntimeError(f"the suite did not run:\n{(done.stdout + done.stderr)[-4000:]}")
    return outcomes(report)


def outcomes(report: Path) -> dict[str, str]:
    """What became of each test, by a name that does not tell the driver."""
    found: dict[str, str] = {}
    for case in ET.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = next((kind for kind in ("error", "failure", "skipped") if kind in kinds), "passed")
        name = _DRIVER.sub("", case.get("classname", "").rpartition(".")[2]) + "." + case.get("name", "")
        if found.get(name, "passed") == "passed":
            found[name] = outcome.replace("failure", "failed")
    return found
