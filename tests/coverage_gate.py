"""Runs the tests with line coverage and fails where one of the three packages is below 95 %.

Most tests wait most of their time, so three parts of them run side by side."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from pathlib import Path

import coverage

PACKAGES = ("rpcwire", "rpcclient", "rpcserver")
AT_LEAST = 95.0

TESTS = Path("tests")
PARTS = (
    ("services", "dialects", "other_tools"),
    ("server", "client_cli", "docs"),
    (),  # All others.
)
"""Folders of tests that run one after the other. No part knows of another: each has its own servers."""


def list_parts() -> list[list[str]]:
    """The paths of all tests, by parts; each test is in one of them."""
    named = {name for part in PARTS for name in part}
    others = [path.name for path in sorted(TESTS.iterdir()) if holds_tests(path) and path.name not in named]
    return [[str(TESTS / name) for name in part or others] for part in PARTS]


def holds_tests(path: Path) -> bool:
    """Whether pytest finds tests there."""
    return any(path.rglob("test_*.py")) if path.is_dir() else path.match("test_*.py")


def run_part(number: int, paths: list[str], failed: list[int], summaries: list[str]) -> None:
    """Run one part, and print what it says line by line with its number. Its last line is the summary."""
    line = ""
    command = [sys.executable, "-m", "coverage", "run", "-m", "pytest", "-p", "no:cacheprovider", *paths]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as tests:
        assert tests.stdout is not None
        for line in tests.stdout:
            print(f"{number}| {line}", end="", flush=True)
    summaries.append(line.strip())
    if tests.returncode:
        failed.append(number)


def main() -> int:
    """Run, combine, report; returns the exit status."""
    run = [sys.executable, "-m", "coverage"]
    subprocess.run([*run, "erase"], check=True)
    failed_parts: list[int] = []
    summaries: list[str] = []
    parts = [[*paths, *sys.argv[1:]] for paths in list_parts()]
    threads = [
        threading.Thread(target=run_part, args=(n, part, failed_parts, summaries)) for n, part in enumerate(parts, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("", *summaries, sep="\n")
    if failed_parts:
        print(f"Tests failed in part {', '.join(map(str, sorted(failed_parts)))}: the coverage is not judged.")
        return 1
    subprocess.run([*run, "combine", "--quiet"], check=True)
    subprocess.run([*run, "report", "--skip-covered"], check=True)
    measured = coverage.Coverage()
    measured.load()
    failed = False
    for package in PACKAGES:
        percent = measured.report(include=[f"{package}/*"], file=io.StringIO())
        enough = percent >= AT_LEAST
        failed = failed or not enough
        print(f"{package}: {percent:.1f} % of lines{'' if enough else f', and at least {AT_LEAST:g} % are wanted'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
