"""Every import of ours that the README, the guides and the examples show works in a fresh interpreter."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documented import python_blocks

ROOT = Path(__file__).parents[2]
OURS = frozenset({"rpcclient", "rpcserver", "rpcwire", "rpcservices"})
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.py")])
# Modules that the guides name in their text, such as `rpcclient.stubs.programs.ProgramNotFound`.
NAMED = re.compile(r"`((?:rpcclient|rpcserver|rpcwire|rpcservices)(?:\.\w+)+)`")
# In the same form the guides name groups of entry points, units of systemd and a file, which no interpreter can import.
OTHERS = frozenset({
    "rpcserver.services", "rpcserver.ways", "rpcwire.transports", "rpcserver.service", "rpcserver.socket",
    "rpcserver.rules.yml",
})  # fmt: skip


def statements(source: str) -> set[str]:
    """Each import of ours in a piece of Python, one name to a statement."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {f"import {alias.name}" for alias in node.names if alias.name.partition(".")[0] in OURS}
        elif isinstance(node, ast.ImportFrom) and not node.level and str(node.module).partition(".")[0] in OURS:
            found |= {f"from {node.module} import {alias.name}" for alias in node.names}
    return found


def shown_imports() -> list[str]:
    """The imports that the documents show, and those of the names that their text mentions."""
    found: set[str] = set()
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for source in [text] if path.suffix == ".py" else python_blocks(text):
            found |= statements(source)
        if path.suffix == ".md":
            for module, _, name in (name.rpartition(".") for name in NAMED.findall(text) if name not in OTHERS):
                found.add(f"from {module} import {name}")
    return sorted(found)


def test_the_imports_are_found() -> None:
    found = shown_imports()
    assert {
        "from rpcclient import Client",
        "from rpcclient.stubs.programs import ProgramNotFound",
        "from rpcserver import Service",
        "import rpcclient.pyserial",
    } <= set(found)


@pytest.mark.parametrize("statement", shown_imports())
def test_a_documented_import_works(statement: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", statement], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
