"""No name is a bare participle: `taken` or `found` leaves open what was taken, and whether it is a value or a condition."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IRREGULAR = re.compile(
    "begun|broken|brought|built|came|caught|chosen|drawn|found|forgotten|gave|given|gone|got|grown|heard|held|hidden|kept"
    "|lost|made|meant|met|paid|ran|said|saw|seen|sent|shown|spent|stuck|taken|thrown|told|took|understood|won|written"
)
REGULAR = re.compile("(?!exceed|proceed|speed|succeed)[a-z]{3,}ed")

ALLOWED = {
    "of a file object, a socket or a lock, in Python's own classes": "closed",
    "of errors on the wire": "executed",
    "of asyncio's tasks and futures": "cancelled",
    "of what comes of a group call, which programs use": "failed",
    "of clients, connections and codecs, which programs and plugins use": "allowed connected packed unpacked",
    "of errors by PEP 249, as the dialects of SQLAlchemy ask": "disconnected",
    "of subprocess, which programs are run as": "completed",
    "of pyserial": "expected",
    "functions that are called when that has happened, as asyncio's connection_made": "answered ended started",
    "fields of answers, of settings and of files": (
        "attached changed controlled counted created disabled enabled generated lost made passed received refused revoked"
        " started truncated written"
    ),
    "counters of the states that the docstring names": "delayed",
    "the name of a hierarchy of cgroups": "unified",
}
"""The participles that are somebody's: a name on the wire, in a file, on a command line or in a public interface."""


def names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a module gives to something, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, node.lineno


def is_participle(name: str) -> bool:
    return IRREGULAR.fullmatch(name) is not None or REGULAR.fullmatch(name) is not None


def test_no_name_is_a_bare_participle() -> None:
    """Say what it is: a noun (`sockets`), a condition (`is_open`), or a verb for a function."""
    allowed = {word for words in ALLOWED.values() for word in words.split()}
    unused, wrong = set(allowed), []
    for folder in ("rpcwire", "rpcclient", "rpcserver", "services"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for name, line in names(ast.parse(path.read_text(encoding="utf-8"))):
                word = name.strip("_")
                if word in allowed:
                    unused.discard(word)
                elif is_participle(word):
                    wrong.append(f"{path.relative_to(ROOT)}:{line} {name}")
    assert not wrong
    assert not unused
