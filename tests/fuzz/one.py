"""Fuzzes one target with atheris, guided by coverage: ``python -m tests.fuzz.one NAME [OPTIONS OF LIBFUZZER]``."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["rpcwire", "rpcserver", "rpcservices"]):
    from tests.fuzz.targets import TARGETS, count_if_slow

_TRACERS = tuple(each for name, each in vars(atheris.native).items() if name.startswith("_trace"))
"""What atheris has put into the instrumented code."""


def main() -> None:
    name, *options = sys.argv[1:]
    target = TARGETS[name]
    atheris.Setup([sys.argv[0], *options], count_if_slow(target.run, _TRACERS))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
