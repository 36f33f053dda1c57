"""Fuzzes the targets, one after the other: ``python -m tests.fuzz [--seconds S] [NAME ...]``.

Seconds are for all targets together. What was learned stays in ``.fuzz/`` for the next run. An input that breaks a promise
is written to ``tests/fuzz/cases/NAME/``, where ``make test`` tries it from then on; the exit status is 1 then.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.targets import TARGETS, Target

ROOT = Path(__file__).resolve().parents[2]
CASES = Path(__file__).parent / "cases"
LEARNED = ROOT / ".fuzz"
INPUT_TIMEOUT_S = 60
"""How long one input may take, in seconds of any clock: C code that goes on for ever is counted nowhere else, and other
programs may need the processor meanwhile."""
MEMORY_MIB = 2048


def is_broken_by(name: str, case: Path) -> bool:
    """Whether an input breaks a promise. The fuzzer's clock is the wall's, and it also calls an input slow, or ends with
    it, where other programs had the processor for long. Such an input is tried again, and its work is counted."""
    if not case.name.startswith(("slow-", "timeout-")):
        return True
    return subprocess.run([sys.executable, "-m", "tests.fuzz.again", name, str(case)], cwd=ROOT).returncode != 0


def fuzz(name: str, target: Target, seconds: int) -> bool:
    """Fuzz one target in processes of its own. Return whether it kept its promises."""
    learned, seeds, found = LEARNED / name, LEARNED / f"{name}.seeds", LEARNED / f"{name}.found"
    for folder in (learned, seeds, found):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds:
        (seeds / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    print(f"{name}: {seconds} s", flush=True)
    end_s = time.monotonic() + seconds
    while (left_s := round(end_s - time.monotonic())) > 0:
        command = [
            sys.executable, "-m", "tests.fuzz.one", name, f"-max_total_time={left_s}", f"-max_len={target.most_bytes}",
            f"-timeout={INPUT_TIMEOUT_S}", f"-rss_limit_mb={MEMORY_MIB}", f"-artifact_prefix={found}/", "-verbosity=0",
            "-print_final_stats=1", "-entropic_scale_per_exec_time=1", str(learned), str(seeds),
        ]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT)
        cases = sorted(found.iterdir())
        broken = [keep(name, case) for case in cases if is_broken_by(name, case)]
        for case in found.iterdir():
            print(f"{name}: slow by the clock alone, not by its work: {case.read_bytes()!r}", flush=True)
            case.unlink()
        if broken or (done.returncode and not cases):
            return False
    return True


def keep(name: str, case: Path) -> Path:
    """Move an input that breaks a promise to the cases that each test run tries."""
    folder = CASES / name
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{case.name.partition('-')[0]}-{hashlib.sha256(case.read_bytes()).hexdigest()[:12]}"
    case.rename(kept)
    print(f"{name}: a promise is broken by {kept.relative_to(ROOT)}", flush=True)
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz decoders and checks.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"what to fuzz: {', '.join(TARGETS)}; all if not given"
    )
    parser.add_argument("--seconds", type=int, default=120, help="the time for all targets together (default: 120)")
    options = parser.parse_args()
    names = options.names or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris is missing: run make fuzz, which installs it")
    kept = [fuzz(name, TARGETS[name], max(options.seconds // len(names), 1)) for name in names]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
