"""Imports point one way, and each part brings in no more than it needs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "rpcwire": ROOT / "rpcwire",
    "rpcclient": ROOT / "rpcclient",
    "rpcserver": ROOT / "rpcserver",
    "rpcservices": ROOT / "services" / "rpcservices",
}
OURS = frozenset(PACKAGES)
# What each package may import of ours, besides itself.
ALLOWED = {
    "rpcwire": frozenset[str](),
    "rpcclient": frozenset({"rpcwire"}),
    "rpcserver": frozenset({"rpcwire"}),
    "rpcservices": frozenset({"rpcwire", "rpcserver"}),
}
IO = frozenset(
    {"asyncio", "threading", "socket", "selectors", "ssl", "websockets", "concurrent", "subprocess", "multiprocessing"}
)
# Outside of these, rpcwire is the protocol without I/O.
IO_ROOMS = {
    "rpcwire/aio": IO,
    "rpcwire/threads": IO,
    "rpcwire/assembly.py": frozenset({"websockets.frames"}),
    "rpcwire/gauge.py": frozenset({"socket"}),  # It asks the kernel about sockets that it is given, and opens none.
    "rpcwire/forking.py": frozenset({"socket", "threading"}),  # Both drivers' sockets and locks, in children.
    "rpcwire/pool.py": frozenset({"threading", "concurrent"}),  # The threads of plain handlers, on either side.
}
SERVER_ONLY = frozenset({"sqlalchemy", "psutil", "pydantic_settings", "aiosqlite", "asyncmy", "psycopg", "uvloop"})


def modules() -> list[tuple[str, Path]]:
    return [(name, path) for name, folder in PACKAGES.items() for path in sorted(folder.rglob("*.py"))]


def imports(path: Path, package: str) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, anywhere in it, with the line. Relative imports come with their full names."""
    parts = path.relative_to(PACKAGES[package].parent).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = parts[: len(parts) - node.level] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module, node.lineno
            for alias in node.names:
                yield f"{module}.{alias.name}", node.lineno


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for owner, path in modules()
        if owner == package
        for name, line in imports(path, package)
        if (top := name.partition(".")[0]) in OURS and top != package and top not in ALLOWED[package]
    ]
    assert not wrong
    assert any(owner == package for owner, _ in modules())


def test_the_core_of_rpcwire_does_no_io() -> None:
    wrong = []
    for package, path in modules():
        if package != "rpcwire":
            continue
        place = str(path.relative_to(ROOT))
        room = next((allowed for start, allowed in IO_ROOMS.items() if place.startswith(start)), frozenset[str]())
        for name, line in imports(path, package):
            top = name.partition(".")[0]
            if top in IO and top not in room and not any(name.startswith(allowed) for allowed in room):
                wrong.append(f"{place}:{line} imports {name}")
    assert not wrong


def test_the_blocking_client_uses_no_event_loop() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for package, path in modules()
        # Over a connection in memory, frames are handed to the loop of a server in the same process.
        if package == "rpcclient" and "sync" in path.parts and path.name != "memory.py"
        for name, line in imports(path, package)
        if name.partition(".")[0] == "asyncio" or name.startswith("rpcclient.aio")
    ]
    assert not wrong


def test_the_blocking_client_has_nothing_of_the_driver_with_asyncio() -> None:
    """What both drivers need is in rpcwire itself."""
    shared = PACKAGES["rpcclient"]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for package, path in modules()
        # In memory the other end is a server on its loop.
        if (package == "rpcclient" and (path.parent == shared or "sync" in path.parts) and path.name != "memory.py")
        or path.parent == PACKAGES["rpcwire"] / "threads"
        for name, line in imports(path, package)
        if name.startswith("rpcwire.aio") or name.partition(".")[0] == "asyncio"
    ]
    assert not wrong


def test_the_client_needs_nothing_of_the_server() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for package, path in modules()
        if package in ("rpcclient", "rpcwire")
        for name, line in imports(path, package)
        if name.partition(".")[0] in SERVER_ONLY and not (name.startswith("sqlalchemy") and "dialects" in path.parts)
    ]
    assert not wrong


def test_the_server_names_no_service() -> None:
    wrong = []
    for package, path in modules():
        if package not in ("rpcserver", "rpcwire"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "rpcservices" in node.value:
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
            if isinstance(node, ast.Attribute) and node.attr in ("Programs", "Database", "Hardware"):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not wrong


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after a statement."""
    code = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import rpcclient", {"sqlalchemy", "psutil", "rpcserver", "rpcservices", "pydantic_settings", "uvloop"}),
        ("from rpcclient import AsyncClient", {"sqlalchemy", "psutil", "rpcserver", "rpcservices"}),
        ("import rpcwire.session", {"asyncio", "websockets", "rpcclient", "rpcserver"}),
        ("import rpcserver", {"rpcclient", "rpcservices", "sqlalchemy", "psutil"}),
        ("import rpcserver.server", {"rpcclient", "rpcservices", "sqlalchemy", "psutil"}),
    ],
)
def test_what_an_import_brings_in(statement: str, absent: set[str]) -> None:
    assert not absent & loaded_by(statement)


def test_no_package_is_called_services() -> None:
    assert not (ROOT / "services" / "__init__.py").exists()
