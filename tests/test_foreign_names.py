"""What comes from afar never becomes code: no unpickling, no evaluation, no shell, no look-up of an attribute by a name
that a caller has written."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ("rpcwire", "rpcserver", "rpcclient", "services")
FILES = sorted(path for package in PACKAGES for path in Path(package).rglob("*.py"))

MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml", "code", "codeop", "runpy"}
"""Modules that make code or any object of data."""

FUNCTIONS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput"}

LAUNCHER = "the server and its own launcher speak by a pipe that nobody else has"
ALLOWED = {
    ("services/rpcservices/programs/running/launch.py", "marshal"): LAUNCHER,
    ("services/rpcservices/programs/running/spawning.py", "marshal"): LAUNCHER,
    ("services/rpcservices/programs/running/launch.py", "__import__"): "constant names, where no module may be loaded",
}

WAY_OF_A_CALL = (
    "rpcwire/session.py",
    "rpcwire/dispatch.py",
    "rpcwire/registry.py",
    "rpcwire/contracts.py",
    "rpcwire/boundary.py",
    "rpcwire/streamtable.py",
    "rpcwire/aio/handlers.py",
    "rpcwire/aio/peer.py",
    "rpcwire/threads/handlers.py",
    "rpcserver/connections.py",
    "rpcserver/system.py",
    "rpcserver/security/gate.py",
    "rpcserver/security/roles.py",
    "rpcserver/door/pages.py",
)
LOOK_UPS = {"rpcwire/registry.py": ["getattr(service, offer.spec.attribute)", "getattr(service, spec.attribute)"]}
"""Look-ups of attributes by names that are no constants: the registry makes them before the first call, and when it
gets a new object of a service."""


def uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield what could make code of data, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield node.lineno, node.module or ""
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in FUNCTIONS:
                yield node.lineno, name
            if any(keyword.arg == "shell" for keyword in node.keywords):
                yield node.lineno, "shell="


def look_ups(tree: ast.AST) -> Iterator[str]:
    """Yield the look-ups of attributes by names that are no constants."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            if not isinstance(node.args[1], ast.Constant):
                yield ast.unparse(node)
        elif isinstance(node, ast.Attribute) and node.attr in ("__getattribute__", "__dict__"):
            yield ast.unparse(node)


def test_no_data_becomes_code() -> None:
    seen = [(str(path), name, line) for path in FILES for line, name in uses(ast.parse(path.read_text()))]
    assert {(path, name) for path, name, _ in seen} == set(ALLOWED), seen


@pytest.mark.parametrize("path", WAY_OF_A_CALL)
def test_no_attribute_is_looked_up_by_a_name_from_afar(path: str) -> None:
    assert list(look_ups(ast.parse(Path(path).read_text()))) == LOOK_UPS.get(path, [])


def test_the_search_finds_each_kind() -> None:
    text = "import pickle\nfrom yaml import load\neval('1')\nos.system('x')\nrun('x', shell=True)\ngetattr(a, b)\na.__dict__"
    tree = ast.parse(text)
    assert [name for _, name in uses(tree)] == ["pickle", "yaml", "eval", "os.system", "shell="]
    assert sorted(look_ups(tree)) == ["a.__dict__", "getattr(a, b)"]
