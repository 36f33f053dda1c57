"""Runs the tests with line coverage and fails where one of the three packages is below 95 %."""

from __future__ import annotations

import io
import subprocess
import sys

import coverage

PACKAGES = ("rpcwire", "rpcclient", "rpcserver")
AT_LEAST = 95.0


def main() -> int:
    """Run, combine, report; returns the exit status."""
    run = [sys.executable, "-m", "coverage"]
    subprocess.run([*run, "erase"], check=True)
    tests = subprocess.run([*run, "run", "-m", "pytest", *sys.argv[1:]], check=False).returncode
    if tests:
        print("The coverage is not judged, since the tests failed.")
        return tests
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
