"""A connection of sqlite3, offered by RPyC: what the benchmark of the database is compared with. Prints its port."""

from __future__ import annotations

import sqlite3
from importlib import import_module
from typing import Any


def connect(service: Any, file: str) -> sqlite3.Connection:
    """What a client calls first."""
    del service
    return sqlite3.connect(file, check_same_thread=False)


def main() -> None:
    rpyc: Any = import_module("rpyc")
    servers: Any = import_module("rpyc.utils.server")
    cursors = type("Cursors", (rpyc.Service,), {"exposed_connect": connect})
    config = {"allow_public_attrs": True, "sync_request_timeout": 120}
    server = servers.ThreadedServer(cursors, hostname="127.0.0.1", port=0, protocol_config=config)
    print(server.port, flush=True)
    server.start()


if __name__ == "__main__":
    main()
