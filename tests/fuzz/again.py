"""Tries one input once more, with all of its work counted: ``python -m tests.fuzz.again NAME FILE``. The exit status is 0 if
it keeps its promises."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from tests.fuzz.targets import TARGETS

PROCESSOR_S = 60
"""How long it may take, in seconds of the processor: C code that goes on for ever is counted nowhere else."""


def main() -> None:
    name, file = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S, PROCESSOR_S))
    TARGETS[name].run(Path(file).read_bytes())


if __name__ == "__main__":
    main()
