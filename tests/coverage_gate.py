"""Runs the tests with line coverage and fails where one of the three packages is below 95 %. Where tests bring no new lines,
they run without the tracer, which would make them almost twice as slow (:mod:`tests.measured`).

Most tests wait most of their time, so several pieces of the suite run side by side. What failed is printed last, so that
the end of a log is enough.

Arguments go to each pytest, as ``--durations=25`` for the slowest tests of each piece."""

from __future__ import annotations

import collections
import io
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

import coverage

from tests import measured

PACKAGES = ("rpcwire", "rpcclient", "rpcserver")
AT_LEAST = 95.0

TESTS = Path("tests")
FIRST = (
    "server",
    "server/group",
    "client_cli",
    "services/database",
    "client",
    "services/programs",
    "services/hardware",
    "services/hardware/second",
    "docs",
    "client_dbapi",
    "dialects",
)
"""The pieces that take longest. They begin first, so that no long piece runs alone at the end."""
CUT = ("services",)
"""Folders whose folders are pieces of their own."""
APART = ("server/group",)
"""Folders that are pieces of their own, and not in that of the folder in which they are."""
UNMEASURED = ("docs", "fuzz", "other_tools", "services/hardware")
"""Pieces that run without the tracer: the tests of others run the same lines of the packages."""
SECOND_PIECES = {
    "services/hardware": (
        "test_cli.py", "test_devices.py", "test_hardware.py", "test_hidden.py", "test_links.py", "test_many.py", "test_serial.py",
        "test_serial_elsewhere.py", "test_serial_pyserial.py",
    ),
}  # fmt: skip
"""Files of such folders that are measured, in a piece of their own: what they run of the client nobody else does."""
FEWEST, MOST = 3, 6
"""How many pieces run side by side: one more than there are processors, within these limits."""

FAILURE_LINES, ALL_FAILURE_LINES, UNEXPLAINED_LINES = 30, 150, 60
"""How many lines of one failure are printed, how many of all together, and how many of a piece that left no report."""
SLOWEST = 25
NO_TESTS = 5
"""The status of a pytest that has left out all tests, as in a folder of long proofs."""


@dataclass(frozen=True)
class Failure:
    """A test that failed, or could not be set up, taken down or collected."""

    name: str
    message: str
    text: str


@dataclass
class Piece:
    """Tests that one pytest runs one after the other, without those of the folders ``apart``. No piece knows of another:
    each has its own servers. ``processor_s`` is the time of processors of this pytest, and of all processes that it or
    its children have waited for."""

    name: str
    paths: list[str]
    apart: list[str] = field(default_factory=list)
    is_measured: bool = True
    status: int = 0
    took_s: float = 0.0
    processor_s: float = 0.0
    lines: collections.deque[str] = field(default_factory=lambda: collections.deque(maxlen=UNEXPLAINED_LINES))
    failures: list[Failure] = field(default_factory=list)
    slowest: list[tuple[float, str]] = field(default_factory=list)

    def run(self, folder: Path, arguments: list[str]) -> None:
        """Run the tests, and print what pytest says, each line with the piece's name."""
        report = folder / f"{self.name.replace('/', '-')}.xml"
        command = [sys.executable, *(["-m", "coverage", "run"] if self.is_measured else []), "-m", "pytest"]
        command += ["-p", "no:cacheprovider", "-p", measured.__name__]
        command += [f"--junitxml={report}", "-o", "junit_family=xunit1", *self.paths]
        command += [*(f"--ignore={path}" for path in self.apart), *arguments]
        begun = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as tests:
            assert tests.stdout is not None
            for line in tests.stdout:
                print(f"{self.name}| {line}", end="", flush=True)
                self.lines.append(line.rstrip())
            _, status, usage = os.wait4(tests.pid, 0)
            tests.returncode = os.waitstatus_to_exitcode(status)
        self.processor_s = usage.ru_utime + usage.ru_stime
        self.took_s = time.monotonic() - begun
        self.status = 0 if tests.returncode == NO_TESTS else tests.returncode
        if report.exists():
            self.failures, self.slowest = read_report(report)
        if self.status and not self.failures:
            self.failures = [Failure(self.name, f"pytest ended with {self.status}", "\n".join(self.lines))]


def list_pieces() -> list[Piece]:
    """All tests, in pieces; each test is in one of them. Those that take longest are first."""
    folders = [path for path in sorted(TESTS.iterdir()) if path.is_dir()]
    folders = [part for path in folders for part in (sorted(path.iterdir()) if path.name in CUT else [path])]
    folders += [TESTS / name for name in APART]
    pieces = [_make_piece(path) for path in folders if any(path.rglob("test_*.py"))]
    for folder, names in SECOND_PIECES.items():
        pieces.append(Piece(f"{folder}/second", [str(TESTS / folder / name) for name in names]))
    pieces.append(Piece("tests", [str(path) for path in sorted(TESTS.glob("test_*.py"))]))
    return sorted(pieces, key=lambda piece: FIRST.index(piece.name) if piece.name in FIRST else len(FIRST))


def _make_piece(path: Path) -> Piece:
    name = str(path.relative_to(TESTS))
    apart = [TESTS / other for other in APART if path in (TESTS / other).parents]
    apart += [path / file for file in SECOND_PIECES.get(name, ())]
    return Piece(name, [str(path)], list(map(str, apart)), is_measured=name not in UNMEASURED)


def count_side_by_side() -> int:
    """How many pieces run at the same time on this machine."""
    return max(FEWEST, min(MOST, len(os.sched_getaffinity(0)) + 1))


def run_pieces(pieces: list[Piece], arguments: list[str]) -> None:
    """Run all pieces, some of them side by side."""
    waiting = collections.deque(pieces)

    def work() -> None:
        while True:
            try:
                piece = waiting.popleft()
            except IndexError:
                return
            piece.run(Path(folder), arguments)

    with tempfile.TemporaryDirectory() as folder:
        threads = [threading.Thread(target=work) for _ in range(count_side_by_side())]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def read_report(report: Path) -> tuple[list[Failure], list[tuple[float, str]]]:
    """Read pytest's report: the failures, and the slowest tests with their seconds."""
    failures: list[Failure] = []
    times: list[tuple[float, str]] = []
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('file') or case.get('classname')}::{case.get('name')}"
        times.append((float(case.get("time") or 0), name))
        failures += [
            Failure(name, (child.get("message") or "").partition("\n")[0][:200], child.text or "")
            for child in case
            if child.tag in ("failure", "error")
        ]
    return failures, sorted(times, reverse=True)[:SLOWEST]


def explain(pieces: list[Piece]) -> Iterator[str]:
    """Yield lines about the pieces that failed: their slowest tests, the end of each failure, and at last all names."""
    failed = [piece for piece in pieces if piece.status]
    for piece in failed:
        yield f"\nThe slowest tests of {piece.name}:"
        yield from (f"{seconds:7.1f} s  {name}" for seconds, name in piece.slowest)
    failures = [failure for piece in failed for failure in piece.failures]
    most = max(3, min(FAILURE_LINES, ALL_FAILURE_LINES // max(len(failures), 1)))
    for failure in failures:
        yield f"\n____ {failure.name}"
        yield from failure.text.rstrip().splitlines()[-most:]
    yield ""
    yield "    took  processors"
    for piece in pieces:
        times = f"{piece.took_s:6.0f} s  {piece.processor_s:8.0f} s"
        yield f"{times}  {piece.name}: {piece.lines[-1] if piece.lines else ''}"
    if failures:
        yield f"\n{len(failures)} failed: the coverage is not judged."
        yield from (f"FAILED {failure.name}: {failure.message}" for failure in failures)


def judge() -> bool:
    """Print how much of the packages the tests have run, and return whether it is enough."""
    run = [sys.executable, "-m", "coverage"]
    subprocess.run([*run, "combine", "--quiet"], check=True)
    subprocess.run([*run, "report", "--skip-covered"], check=True)
    measured = coverage.Coverage()
    measured.load()
    all_enough = True
    for package in PACKAGES:
        percent = measured.report(include=[f"{package}/*"], file=io.StringIO())
        enough = percent >= AT_LEAST
        all_enough = all_enough and enough
        print(f"{package}: {percent:.1f} % of lines{'' if enough else f', and at least {AT_LEAST:g} % are wanted'}")
    return all_enough


def main() -> int:
    """Run, report, judge; returns the exit status."""
    subprocess.run([sys.executable, "-m", "coverage", "erase"], check=True)
    pieces = list_pieces()
    run_pieces(pieces, sys.argv[1:])
    print(*explain(pieces), sep="\n", flush=True)
    if any(piece.status for piece in pieces):
        return 1
    return 0 if judge() else 1


if __name__ == "__main__":
    sys.exit(main())
