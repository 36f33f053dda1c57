"""Imports point one way, and each part brings in no more than it needs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
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
    "rpcwire/framing.py": frozenset({"websockets.speedups", "websockets.utils"}),  # The function that masks bytes.
    "rpcwire/gauge.py": frozenset({"socket"}),  # It asks the kernel about sockets that it is given, and opens none.
    "rpcwire/transports.py": frozenset({"socket"}),  # It names the type of what plugins make.
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


def test_the_core_of_rpcwire_reads_no_clock() -> None:
    """But for the deadlines of calls and their durations: whatever else depends on the time is told it."""
    readers = {
        str(path.relative_to(ROOT))
        for package, path in modules()
        if package == "rpcwire" and "aio" not in path.parts and "threads" not in path.parts
        for name, _ in imports(path, package)
        if name.partition(".")[0] == "time"
    }
    assert readers == {"rpcwire/context.py", "rpcwire/dispatch.py"}


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
        ("import rpcserver", {"rpcclient", "rpcservices", "sqlalchemy", "psutil", "pydantic_settings"}),
        ("import rpcserver.server", {"rpcclient", "rpcservices", "sqlalchemy", "psutil"}),
    ],
)
def test_what_an_import_brings_in(statement: str, absent: set[str]) -> None:
    assert not absent & loaded_by(statement)


# Of each colour: what only the other one has. In memory, the blocking client reaches a server with an event loop.
OTHER_COLOUR = {
    "sync": ("asyncio", "rpcclient.aio", "rpcwire.aio"),
    "aio": ("rpcclient.sync", "rpcwire.threads"),
}


@pytest.mark.parametrize(
    ("colour", "statement"),
    [
        ("sync", "from rpcclient import Client"),
        ("aio", "from rpcclient import AsyncClient"),
        ("sync", "from rpcclient import Client, DatabaseTransaction, Program, Stream, RpcError, Service, method"),
        ("aio", "from rpcclient import AsyncClient, AsyncDatabaseTransaction, AsyncProgram, AsyncStream, Context"),
        ("sync", "import {modules}"),
        ("aio", "import {modules}"),
    ],
)
def test_a_client_loads_nothing_of_the_other_colour(colour: str, statement: str) -> None:
    """A fresh interpreter tells: neither by the client's name, nor by any of its modules."""
    room = PACKAGES["rpcclient"] / colour
    modules = [
        ".".join(("rpcclient", *path.relative_to(room.parent).with_suffix("").parts)).removesuffix(".__init__")
        for path in sorted(room.rglob("*.py"))
        if path.name != "memory.py"
    ]
    loaded = loaded_by(statement.format(modules=", ".join(modules)))
    others = OTHER_COLOUR[colour]
    assert not [name for name in loaded if name.startswith(tuple(f"{other}." for other in others)) or name in others]
    assert f"rpcclient.{colour}.client" in loaded


def test_no_package_is_called_services() -> None:
    assert not (ROOT / "services" / "__init__.py").exists()


def import_graph(package: str) -> dict[str, dict[str, int]]:
    """For each module of a package: the modules of the same package that it imports, with the line.

    Imports for type checking and imports within functions count like any other.
    """
    start = PACKAGES[package].parent
    files = {
        ".".join(path.relative_to(start).with_suffix("").parts).removesuffix(".__init__"): path
        for owner, path in modules()
        if owner == package
    }
    graph: dict[str, dict[str, int]] = {}
    for module, path in files.items():
        named = list(imports(path, package))
        graph[module] = {
            name: line
            for name, line in named
            # ``from package import module`` imports the module: what a package defines itself is not asked for.
            if name in files and name != module and not takes_modules_only(name, line, named, files)
        }
    return graph


def takes_modules_only(package: str, line: int, named: list[tuple[str, int]], files: Mapping[str, Path]) -> bool:
    """Whether the statement in a line takes modules out of a package and nothing else."""
    members = [name for name, where in named if where == line and name.rpartition(".")[0] == package]
    return bool(members) and all(name in files for name in members)


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The modules that import each other, directly or through others."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        below: set[str] = set()
        waiting = list(graph[start])
        while waiting:
            if (name := waiting.pop()) not in below:
                below.add(name)
                waiting.extend(graph[name])
        reached[start] = below
    rings = {tuple(sorted(b for b in reached[a] if a in reached[b])) for a in reached if a in reached[a]}
    return [list(ring) for ring in sorted(rings)]


def test_the_search_for_circles_finds_them() -> None:
    graph = {"a": ["b"], "b": ["c"], "c": ["b"], "d": ["d"], "e": []}
    assert circles(graph) == [["b", "c"], ["d"]]


@pytest.mark.parametrize(
    ("package", "module", "imported"),
    [
        ("rpcwire", "rpcwire.aio.handlers", "rpcwire.dispatch"),
        ("rpcclient", "rpcclient.aio.calling", "rpcclient.aio.connector"),
        ("rpcservices", "rpcservices.programs.models", "rpcservices.programs.terms"),
        ("rpcserver", "rpcserver.door.link", "rpcserver.door.entrance"),
    ],
)
def test_no_module_imports_itself_through_others(package: str, module: str, imported: str) -> None:
    """One import of each package that is known to be there shows that the search saw the package's imports."""
    graph = import_graph(package)
    assert not circles(graph)
    assert imported in graph[module]


# What each inner folder of the services may import of them, besides itself: a folder or one module. The modules in the
# folder of a service itself (its methods and its core) may import all of that service, and what follows "".
ROOMS_OF_SERVICES: dict[str, frozenset[str]] = {
    "": frozenset({"signals"}),
    "database/backends": frozenset(
        {
            "database/apart",
            "database/config",
            "database/errors",
            "database/failures",
            "database/models",
            "database/placeholders",
        }
    ),
    "database/backends/mysql": frozenset(
        {
            "database/apart",
            "database/backends",
            "database/config",
            "database/errors",
            "database/failures",
            "database/hints",
            "database/models",
            "database/placeholders",
        }
    ),
    "database/backends/postgresql": frozenset(
        {
            "database/apart",
            "database/backends",
            "database/config",
            "database/errors",
            "database/failures",
            "database/hints",
            "database/models",
            "database/placeholders",
        }
    ),
    "database/backends/sqlite": frozenset(
        {
            "database/apart",
            "database/backends",
            "database/config",
            "database/errors",
            "database/models",
            "database/placeholders",
        }
    ),
    "hardware/models": frozenset(),
    "hardware/readers": frozenset({"hardware/models", "hardware/rates"}),
    "hardware/inventory": frozenset(
        {"hardware/errors", "hardware/models", "hardware/readers", "hardware/sampling/worker"}
    ),
    "hardware/sampling": frozenset({"hardware/control", "hardware/errors", "hardware/models", "hardware/readers"}),
    "hardware/serial": frozenset(
        {
            "hardware/config",
            "hardware/errors",
            "hardware/inventory/inventory",
            "hardware/models",
            "hardware/sampling/worker",
        }
    ),
    "programs/permission": frozenset({"programs/errors", "programs/models", "programs/terms"}),
    "programs/running": frozenset({"programs/errors", "programs/models", "programs/terms", "signals"}),
    "programs/keeping": frozenset({"programs/models", "programs/running", "programs/terms"}),
}


def test_each_room_of_the_services_imports_only_what_it_may() -> None:
    """So no backend imports another one, no reader imports a method, and permission knows nothing of running."""
    home = PACKAGES["rpcservices"]
    unused = {(room, target) for room, targets in ROOMS_OF_SERVICES.items() for target in targets}
    wrong = []
    for module, imported in import_graph("rpcservices").items():
        folder, place = place_of(module, home)
        service = folder.partition("/")[0]
        allowed = ROOMS_OF_SERVICES["" if folder == service else folder]
        for name, line in imported.items():
            target_folder, target = place_of(name, home)
            if target_folder == folder or (folder == service and target.startswith(f"{service}/")):
                continue
            if target in allowed or target_folder in allowed:
                unused -= {(folder if folder != service else "", each) for each in (target, target_folder)}
            else:
                wrong.append(f"{place}:{line} imports {target}")
    assert not wrong
    assert not unused


# What each folder of the server, and each module beside the folders, may import of the server: a folder or one module.
ROOMS_OF_SERVER: dict[str, frozenset[str]] = {
    "": frozenset({"fence", "security/way"}),  # The package itself, which plugins import.
    "__main__": frozenset({"daemon/cli", "daemon/early_reload"}),
    "fence": frozenset(),
    "credentials": frozenset(),
    "config": frozenset(),
    "layers": frozenset({"config", "credentials", "plugins/toml"}),
    "health": frozenset(),
    "stalls": frozenset(),
    "telemetry": frozenset({"connections", "health", "stalls"}),
    "state": frozenset({"config"}),
    "backup": frozenset({"config", "state"}),
    "hardening": frozenset(),
    "security": frozenset({"config"}),
    "audit": frozenset({"config"}),
    "group": frozenset({"config", "memory"}),
    "events": frozenset({"group", "security/gate", "security/roles"}),
    "discovery": frozenset({"config"}),
    "plugins": frozenset({"config", "health"}),
    "memory": frozenset({"config"}),
    "quotas": frozenset({"config"}),
    "trimming": frozenset(),
    "connections": frozenset(
        {
            "config",
            "memory",
            "quotas",
            "security/authentication",
            "security/gate",
            "security/roles",
            "security/sessions",
        }
    ),
    "sessions": frozenset({"connections", "security/sessions"}),
    "activity": frozenset({"connections", "security/roles"}),
    "reload": frozenset({"config", "connections", "door", "plugins/finding", "plugins/upkeep", "security"}),
    "group_side": frozenset(
        {"config", "connections", "events", "group", "plugins/finding", "security/authentication", "security/roles"}
    ),
    "system": frozenset(
        {"activity", "config", "connections", "health", "reload/report", "security/authentication", "security/roles"}
        | {"events", "group", "group_side", "sessions", "stalls"}
    ),
    "door": frozenset(
        {"config", "connections", "health", "memory"}
        | {f"security/{name}" for name in ("authentication", "certificates", "expiry", "gate", "revocation", "roles")}
    ),
    "server": frozenset(
        {"audit", "config", "connections", "door", "plugins", "reload", "security", "stalls", "state", "system"}
        | {"discovery", "group_side", "telemetry", "trimming"}
    ),
    "installing": frozenset({"config"}),
    "daemon": frozenset(
        {
            "audit",
            "backup",
            "config",
            "door/activation",
            "hardening",
            "health",
            "installing",
            "layers",
            "plugins",
            "reload",
            "security/explanation",
            "security/named_tokens",
            "security/roles",
            "security/token_file",
            "security/tokens",
            "security/ways",
            "server",
            "system",
        }
    ),
}


def test_each_room_of_the_server_imports_only_what_it_may() -> None:
    """So no part knows the server that it serves, and only the command knows that life."""
    home = PACKAGES["rpcserver"]
    unused = {(room, target) for room, targets in ROOMS_OF_SERVER.items() for target in targets}
    wrong = []
    for module, imported in import_graph("rpcserver").items():
        folder, place = place_of(module, home)
        room = folder or place
        for name, line in imported.items():
            target_folder, target = place_of(name, home)
            if folder and target_folder == folder:
                continue
            if {target, target_folder} & ROOMS_OF_SERVER[room]:
                unused -= {(room, target), (room, target_folder)}
            else:
                wrong.append(f"{place}:{line} imports {target}")
    assert not wrong
    assert not unused


# What each folder of the client, and the modules beside the folders ("*"), may import of the client: a folder, one
# module, or any module beside the folders ("*"). "" is the package itself.
ROOMS_OF_CLIENT: dict[str, frozenset[str]] = {
    "": frozenset(
        {
            f"{colour}/{name}"
            for colour in ("aio", "sync")
            for name in ("client", "group", "lease", "outcomes", "program", "stream", "transaction")
        }
        | {"aio/discovery", "group/events", "group/failures", "nearby", "programs/results", "sync/discovery"}
    ),
    "__main__": frozenset({"cli"}),
    "*": frozenset({"stubs"}),
    "stubs": frozenset(),
    "programs": frozenset({"backoff", "stubs"}),
    "group": frozenset({"methods"}),
    "aio": frozenset({"*", "aio/stubs", "group", "programs", "stubs"}),
    "aio/stubs": frozenset({"aio/group_stub", "aio/outcomes", "aio/stream", "aio/stub", "methods", "stubs"}),
    "sync": frozenset({"*", "group", "programs", "stubs", "sync/serial", "sync/stubs"}),
    "sync/stubs": frozenset({"methods", "stubs", "sync/group_stub", "sync/outcomes", "sync/stream", "sync/stub"}),
    "sync/serial": frozenset({"serial_settings", "stubs", "sync/stream", "sync/stubs"}),
    "dbapi": frozenset(
        {"aio/client", "aio/life", "aio/stream", "portions", "stubs", "sync/client", "sync/stream", "targets"}
    ),
    "dialects": frozenset({"dbapi", "headers", "stubs", "targets"}),
    "pyserial": frozenset({"headers", "serial_settings", "sync/client", "sync/serial", "targets"}),
    "cli": frozenset(
        {"", "backoff", "describe", "errors", "headers", "models", "programs/results", "proxies", "stubs", "targets"}
        | {"cli/many"}
    ),
    "cli/many": frozenset({"", "cli", "errors", "models", "stubs"}),
}


def test_each_room_of_the_client_imports_only_what_it_may() -> None:
    """So neither colour knows the other, models know no client, and the command uses what everybody may."""
    home = PACKAGES["rpcclient"]
    unused = {(room, target) for room, targets in ROOMS_OF_CLIENT.items() for target in targets}
    wrong = []
    for module, imported in import_graph("rpcclient").items():
        folder, place = place_of(module, home)
        room = folder or (place if place in ROOMS_OF_CLIENT else "*")
        for name, line in imported.items():
            target_folder, target = place_of(name, home)
            if target_folder == folder and (folder or room == "*"):
                continue
            names = {target, target_folder or "*"} if target else {""}
            if names & ROOMS_OF_CLIENT[room]:
                unused -= {(room, each) for each in names}
            else:
                wrong.append(f"{place}:{line} imports {target}")
    assert not wrong
    assert not unused


def test_only_a_client_makes_itself_of_its_parts() -> None:
    """Its views are given what makes their calls (`calling`), and know neither the client nor its connector."""
    for colour in ("aio", "sync"):
        who: dict[str, set[str]] = {"client": set(), "connector": set()}
        for module, imported in import_graph("rpcclient").items():
            for part, importers in who.items():
                if f"rpcclient.{colour}.{part}" in imported and module.startswith(f"rpcclient.{colour}."):
                    importers.add(module.rpartition(".")[2])
        # To greet is to connect to somebody of whom nobody may be told anything: no client would do.
        assert who == {"client": set(), "connector": {"calling", "client", "greeting"}}


def place_of(module: str, home: Path) -> tuple[str, str]:
    """The folder of a module, and the module itself, both from the package on."""
    parts = module.split(".")[1:]
    path = "/".join(parts)
    return (path, path) if home.joinpath(*parts).is_dir() else ("/".join(parts[:-1]), path)
