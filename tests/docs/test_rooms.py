"""CONTRIBUTING is true: the rooms that it names exist and import what it says, and its trips go the way that it tells."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from rpcclient import Client, dbapi
from rpcserver import Context, Service, method
from rpcserver.config import ServerConfig
from rpcserver.plugins import finding
from rpcserver.plugins.finding import create_services
from rpcserver.security import way, ways
from rpcserver.server import Server
from rpcservices.database import Database
from rpcservices.programs import Programs
from rpcwire import codec, transports
from rpcwire.outcomes import Outcome
from tests.test_architecture import OURS, ROOMS_OF_CLIENT, ROOMS_OF_SERVER, ROOMS_OF_SERVICES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`([^`]+)`")
TOKEN = "a-token-for-the-trips-of-CONTRIBUTING"
LIMIT_S = 60.0
"""How long a trip may take, in seconds."""


def section(heading: str) -> str:
    """The text below a heading, up to the next one of its level or a higher one."""
    mark = heading.split()[0]
    body = TEXT.partition(f"\n{heading}\n")[2]
    assert body, heading
    return re.split(rf"^#{{1,{len(mark)}}} ", body, maxsplit=1, flags=re.MULTILINE)[0]


def table(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, row by row, without its head."""
    lines = [line for line in section(heading).partition("\n### ")[0].splitlines() if line.startswith("|")]
    assert len(lines) > 2, heading
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


# --- the map ----------------------------------------------------------------------------------------------------


def is_path(name: str) -> bool:
    """Whether a name is a path from the root; ``NAME`` in it stands for any name."""
    return bool(re.fullmatch(r"[\w/]+/|[\w/]+/\w+\.\w+", name)) and "NAME" not in name


def test_the_folders_and_files_exist() -> None:
    """Everything in CONTRIBUTING that looks like a path from the root; rooms of the server and services by their own."""
    homes = {
        "### Rooms of the client": "rpcclient",
        "### Rooms of the server": "rpcserver",
        "### Rooms of the services": "services/rpcservices",
    }
    rest, paths = TEXT, set[str]()
    for heading, home in homes.items():
        rest = rest.replace(section(heading), "")
        paths |= {f"{home}/{name}" for row in table(heading) for name in NAMED.findall(row[0] + row[2])}
    paths |= {name for name in NAMED.findall(rest) if is_path(name)}
    assert {"rpcwire/", "rpcwire/pool.py", "rpcserver/door/", "services/rpcservices/programs/keeping/"} <= paths
    assert not [path for path in sorted(paths) if not any(ROOT.glob(path))]


def test_no_folder_is_left_out() -> None:
    """Each folder of Python in the packages has a row, or belongs to a folder that has one and no rows of its own."""
    named = {name for row in table("## The rooms") for name in NAMED.findall(row[0])}
    for package in ("client", "server"):
        named |= {
            f"rpc{package}/{name}" for row in table(f"### Rooms of the {package}") for name in NAMED.findall(row[0])
        }
    rooms = {name for row in table("### Rooms of the services") for name in NAMED.findall(row[0])}
    services = {f"services/rpcservices/{name.partition('/')[0]}/" for name in rooms}
    named |= services | {f"services/rpcservices/{name}" for name in rooms}
    found = {
        f"{path.parent.relative_to(ROOT)}/"
        for package in ("rpcwire", "rpcclient", "rpcserver", "services/rpcservices")
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert found - named == set()


def room(name: str) -> str:
    """A room as the tables of the tests spell it: ``door/`` is ``door``, ``server.py`` is ``server``."""
    return name.removesuffix("/").removesuffix(".py").removesuffix("__init__")


def imports_told(heading: str) -> dict[str, frozenset[str]]:
    """What each room imports, as CONTRIBUTING tells."""
    return {
        room((NAMED.findall(row[0]) or [""])[0]): frozenset(map(room, NAMED.findall(row[2]))) for row in table(heading)
    }


@pytest.mark.parametrize(
    ("heading", "rooms"),
    [
        ("### Rooms of the client", ROOMS_OF_CLIENT),
        ("### Rooms of the server", ROOMS_OF_SERVER),
        ("### Rooms of the services", ROOMS_OF_SERVICES),
    ],
)
def test_the_rooms_import_what_is_told(heading: str, rooms: Mapping[str, frozenset[str]]) -> None:
    assert imports_told(heading) == rooms


# --- changes ----------------------------------------------------------------------------------------------------


def test_where_changes_go() -> None:
    """The groups of entry points are those that the product looks in, and the classes are there."""
    told = {name for row in table("## Where a change goes") for name in NAMED.findall(row[2])}
    groups = {finding.GROUP, ways.GROUP, transports.GROUP}
    assert {name.strip('"') for name in told if name.startswith('"')} == groups
    bases = {
        name for row in table("## Where a change goes") for name in NAMED.findall(row[1]) if name.startswith("rpc")
    }
    assert {find(name) for name in bases if "/" not in name} == {
        Service, way.Way, transports.Transport, codec.Codec,
    }  # fmt: skip
    assert len(table("## Where a change goes")) == 5


# --- the trips --------------------------------------------------------------------------------------------------


def find(path: str) -> object:
    """The module, class or function that a dotted path names."""
    words = path.split(".")
    for length in range(len(words), 0, -1):
        try:
            there: object = import_module(".".join(words[:length]))
        except ModuleNotFoundError:
            continue
        for word in words[length:]:
            there = getattr(there, word)
        return there
    raise AssertionError(f"there is no {path}")


def test_everything_that_is_named_exists() -> None:
    dotted = {name for name in NAMED.findall(TEXT) if name.partition(".")[0] in OURS and re.fullmatch(r"[\w.]+", name)}
    assert len(dotted) > 50
    for path in sorted(dotted):
        find(path)


class Desk(Service):
    """A desk to call."""

    @method(kind="read")
    async def add(self, a: int, b: int, ctx: Context) -> int:
        """Add two numbers."""
        ctx.logger.debug("adding")
        return a + b


class Trip:
    """Notes which functions of ours are entered, in all threads that begin after it does, and in this one."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.observed: list[Outcome] = []
        self._on = False

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note what is entered within."""
        self._on = True
        try:
            yield
        finally:
            self._on = False

    def hook(self, frame: FrameType, event: str, _argument: object) -> None:
        """For :func:`sys.setprofile`."""
        if self._on and event == "call":
            module = str(frame.f_globals.get("__name__"))
            if module.partition(".")[0] in OURS or module == __name__:
                self.entered.append(f"{module}.{frame.f_code.co_qualname}")

    def until(self, ended: Callable[[Outcome], bool]) -> None:
        """Wait until an observer has been told this."""
        deadline = threading.Event()
        timer = threading.Timer(LIMIT_S, deadline.set)
        timer.start()
        while not any(map(ended, self.observed)):
            assert not deadline.wait(0.01)
        timer.cancel()


@pytest.fixture
def trip(tmp_path: Path) -> Iterator[tuple[Trip, Client]]:
    """A client of a server in another thread, both watched."""
    trip = Trip()
    config = ServerConfig.model_validate(
        {"state_dir": str(tmp_path), "listen": {"tcp": False, "unix": f"{tmp_path}/s"}}
    )
    services = create_services([Desk, Database, Programs], {})
    server = Server(config, services, token=TOKEN, observers=[trip.observed.append])
    loop = asyncio.new_event_loop()
    before = sys.getprofile(), threading.getprofile()
    sys.setprofile(trip.hook)
    threading.setprofile(trip.hook)
    thread = threading.Thread(target=loop.run_forever, name="trip-server")
    thread.start()

    def there(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(LIMIT_S)

    try:
        there(server.start())
        try:
            with Client(f"unix://{tmp_path}/s", token=TOKEN) as client:
                yield trip, client
        finally:
            there(server.stop(grace_s=1))
    finally:
        sys.setprofile(before[0])
        threading.setprofile(before[1])
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LIMIT_S)
        loop.close()


def check(heading: str, entered: list[str], service: str) -> None:
    """The functions of a table were entered in its order."""
    steps = [(NAMED.findall(row[0]) or [service])[0] for row in table(heading)]
    assert len(steps) > 10
    at = 0
    for number, step in enumerate(steps):
        assert step in entered, f"{step} was not entered at all"
        assert step in entered[at:], f"{step} was entered, but not after {steps[number - 1]}"
        at = entered.index(step, at) + 1


def test_how_a_call_travels(trip: tuple[Trip, Client]) -> None:
    log, client = trip
    with log.noting():
        assert client.call("desk.add", [1, 2], returns=int) == 3
    check("### How a call travels", log.entered, f"{__name__}.Desk.add")
    log.until(lambda outcome: outcome.method == "desk.add")
    assert [outcome.method for outcome in log.observed] == ["desk.add"]


def test_how_a_programs_output_travels(trip: tuple[Trip, Client]) -> None:
    """So much of it that the reader has to grant new credit."""
    log, client = trip
    line = b"x" * 999 + b"\n"
    with log.noting():
        with client.programs.start(["sh", "-c", 'yes "$0" | head -n 16000', "x" * 999]) as program:
            assert list(program.stdout.lines()) == [line] * 16_000
        log.until(lambda outcome: outcome.subject == "stream")
    check("### How a program's output travels", log.entered, "")


def test_how_a_row_travels(trip: tuple[Trip, Client]) -> None:
    log, client = trip
    with dbapi.connect(client=client, database="main") as remote, log.noting():
        cursor = remote.cursor()
        cursor.execute("SELECT 1 AS number, 'one' AS name")
        assert cursor.fetchall() == [(1, "one")]
    check("### How a row travels", log.entered, "")
