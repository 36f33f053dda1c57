"""What a server loads before it takes calls, in a fresh interpreter: as little as it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPT = """
import asyncio, json, sys
from rpcserver.config import ServerConfig
from rpcserver.plugins.finding import create_services, find_services
from rpcserver.server import Server
from rpcwire.aio.peer import Peer

FOLDER, DATABASES = sys.argv[1], json.loads(sys.argv[2])
states = {}

def note(name):
    states[name] = sorted(sys.modules)

async def main():
    config = ServerConfig.model_validate({"state_dir": FOLDER, "listen": {"port": 0, "unix": "none"}})
    sections = {"database": {"databases": DATABASES}} if DATABASES else {}
    server = Server(config, create_services(find_services(config.plugins), sections), token="t" * 32)
    await server.start()
    note("ready")
    states["described"] = server._openrpc is not None
    await server.upkeep.warm_up()
    note("warm")
    await server._describe_methods()
    states["methods"] = len(server.openrpc["methods"])
    await server.stop(0)

asyncio.run(main())
print(json.dumps(states))
"""


def start(tmp_path: Path, databases: dict[str, object]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), json.dumps(databases)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    states: dict[str, Any] = json.loads(done.stdout)
    return states


def test_a_server_loads_what_calls_need_when_it_takes_them(tmp_path: Path) -> None:
    states = start(tmp_path, {})
    late = {"sqlalchemy", "sqlalchemy.orm", "aiosqlite", "psycopg", "asyncmy", "rpcserver.plugins.stubgen"}
    assert not late & set(states["ready"])
    assert {"sqlalchemy", "aiosqlite", "rpcservices.database.inspection"} <= set(states["warm"])
    assert states["described"] is False and states["methods"] > 50


def test_drivers_that_nobody_has_configured_are_never_loaded(tmp_path: Path) -> None:
    states = start(tmp_path, {"shop": {"url": f"sqlite:///{tmp_path}/shop.db"}})
    assert "sqlalchemy" in states["ready"], "it checks the URL"
    assert not {"psycopg", "asyncmy"} & set(states["warm"])
