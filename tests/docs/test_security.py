"""The page on security names tests that exist, and a rule for each threat."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PAGE = Path("docs/security.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[f"{path}::{name}" for path, name in NAMED])
def test_each_named_test_exists(path: str, name: str) -> None:
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    assert functions
    assert not name or name in functions


def test_each_rule_has_a_test() -> None:
    rules = PAGE.partition("## The rules")[2].partition("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in rules.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 20
    assert all(len(row) == 3 and "`tests/" in row[2] for row in rows), [row for row in rows if len(row) != 3]
