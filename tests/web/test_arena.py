"""The example of a game, `examples/arena`: its room, its bytes over real sockets, and its page in Debian's Chromium."""

from __future__ import annotations

import asyncio
import math
import os
import random
import re
import struct
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rpcclient import AsyncClient
from rpcclient.errors import ServiceError
from rpcserver.config import ServerConfig
from rpcserver.plugins.finding import create_services, services_in
from rpcserver.server import Server
from tests.contract.conftest import TOKEN, Running
from tests.docs.conftest import serve as serve

from .browser import CHROMIUM
from .conftest import CONSOLE, LIMIT_S, RunNode
from .test_client import VITEST, count_passed
from .test_console import Control

ARENA = Path(__file__).parents[2] / "examples" / "arena"
pytestmark = pytest.mark.timeout(LIMIT_S + 60)


@pytest.fixture(scope="module")
def plugin() -> Any:
    """The module of the plugin, as the server has loaded it."""
    (arena,) = services_in(ARENA / "arena.py")
    return sys.modules[arena.__module__]


class Served:
    """A server with the arena, and with the console.

    Parameters:
        plugin: the module of the plugin.
        folder: for the server's state.
        console: the built console, which has the client for pages.
    """

    def __init__(self, plugin: Any, folder: Path, console: Path | None = None) -> None:
        self._plugin = plugin
        self._folder = folder
        self._console = console
        self._port = 0
        self._running: Running | None = None
        self.start()

    @property
    def origin(self) -> str:
        """The address of the server."""
        return f"http://127.0.0.1:{self._port}"

    def _make(self) -> Server:
        listen = {"port": self._port, "unix": "none"}
        config = ServerConfig.model_validate({"state_dir": str(self._folder), "listen": listen})
        more = {} if self._console is None else {"console": self._console}
        return Server(config, create_services([self._plugin.Arena], {}), token=TOKEN, **more)

    def start(self) -> None:
        """Start the server, at the port that it had before."""
        self._running = Running(self._make)
        self._port = int(self._running.server.addresses[0].rpartition(":")[2].strip("/"))

    def stop(self) -> None:
        """Stop it, unless a journey has."""
        running, self._running = self._running, None
        if running is not None:
            running.stop()

    def connect(self) -> AsyncClient:
        """Make a client."""
        return AsyncClient(f"ws://127.0.0.1:{self._port}", token=TOKEN)


@pytest.fixture(scope="module")
def served(plugin: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(plugin, tmp_path_factory.mktemp("arena"))
    yield made
    made.stop()


def read(state: bytes) -> tuple[int, dict[int, tuple[int, ...]]]:
    """Return the tick of a state, and of each disc by its number the last move, the place and the score."""
    tick, sparks, discs = struct.unpack_from("<IBB", state)
    start = 6 + 4 * sparks
    assert len(state) == start + 8 * discs
    return tick, {each[0]: each[1:] for each in struct.iter_unpack("<BBHHH", state[start:])}


def test_what_one_does_all_see(served: Served) -> None:
    async def play() -> None:
        async with served.connect() as one, served.connect() as other:
            seen, own = (client.stream("arena.play", items=bytes) for client in (other, one))
            async with seen, own:
                await anext(seen)
                (number,) = await anext(own)
                first = await anext(own)
                left = read(first)[1][number][1] > 32768
                await one.notify("arena.steer", [struct.pack("<Bbb", 7, -127 if left else 127, 0)])
                begin = None
                async for state in seen:
                    move, x, *_ = read(state)[1].get(number, (0, 0))
                    if move == 7:
                        begin = x if begin is None else begin
                        if (begin - x if left else x - begin) > 10_000:
                            break
            async with other.stream("arena.play", items=bytes) as states:
                async for state in states:
                    if len(state) > 1 and number not in read(state)[1]:
                        break  # Whoever does not read any more has no disc.

    asyncio.run(play())


def test_one_who_does_not_read_harms_nobody_and_then_gets_the_newest(served: Served) -> None:
    async def play() -> None:
        async with served.connect() as slow, served.connect() as quick:
            unread, read_states = (client.stream("arena.play", items=bytes) for client in (slow, quick))
            async with unread, read_states:
                await anext(unread)
                window = 0
                ticks: list[int] = []
                async for state in read_states:
                    if len(state) > 1:
                        ticks.append(read(state)[0])
                        # The server may be ahead of a reader by the client's window, and sends no more.
                        if len(ticks) == 400:
                            break
                assert ticks[-1] - ticks[0] < 2 * len(ticks)
                async for state in unread:
                    tick = read(state)[0]
                    if tick >= ticks[-1]:
                        break
                    window += 1
                assert window < 300

    asyncio.run(play())


def test_a_connection_has_one_disc_and_a_full_room_has_no_place(served: Served, plugin: Any) -> None:
    async def play() -> None:
        async with served.connect() as client, client.stream("arena.play", items=bytes) as states:
            await anext(states)
            with pytest.raises(ServiceError) as caught:
                await anext(client.stream("arena.play", items=bytes))
            assert caught.value.type == "NoPlace"
            for wrong in (b"", b"12", b"1234"):
                await client.notify("arena.steer", [wrong])  # It changes nothing.
            assert (await anext(states))[5] == 1

    asyncio.run(play())
    room = plugin.Room()
    discs = [room.enter(number) for number in range(plugin.MAX_DISCS)]
    assert [disc.number for disc in discs] == list(range(plugin.MAX_DISCS))
    assert room.enter("one more") is None
    del room.discs[3]
    assert room.enter("one more").number == 3


def test_discs_stay_in_the_room_keep_the_momentum_and_collect_sparks(plugin: Any) -> None:
    chance = random.Random(1)
    room = plugin.Room()
    for number in range(plugin.MAX_DISCS):
        room.enter(number)
    for _ in range(1000):
        disc = room.discs[chance.randrange(plugin.MAX_DISCS)]
        disc.steer(struct.pack("<Bbb", chance.randrange(256), chance.randrange(-128, 128), chance.randrange(-128, 128)))
        tick, discs = read(room.step())
        assert len(discs) == plugin.MAX_DISCS
        for _, x, y, _ in discs.values():
            assert all(plugin.DISC <= part <= plugin.WIDTH - plugin.DISC for part in (x, y))
    assert tick == 1000
    assert sum(disc.score for disc in room.discs.values()) > 10
    one, other = plugin.Disc(0, place=0j, speed=3 + 1j), plugin.Disc(1, place=1000 + 0j, speed=-1 + 2j)
    one.collide(other)
    assert (one.speed, other.speed) == (-1 + 1j, 3 + 2j)
    one.collide(other)  # They part by now.
    assert math.isclose(abs(one.speed - (-1 + 1j)), 0)


def test_the_readme_is_what_to_type(serve: Callable[..., Any], built: Path) -> None:
    """But for the build, which the fixture has made, and the port."""
    text = (ARENA / "README.md").read_text(encoding="utf-8")
    build, start, sign_in = re.findall(r"^\$ (.*?)(?: +#.*)?$", text, re.MULTILINE)[:3]
    assert build == "make web"
    assert (built / "client.js").is_file() and (built / "client.js.br").is_file()
    words = start.split()
    assert words[:3] == [".venv/bin/rpcserver", "serve", "--plugin"]
    running = serve({}, words[2], str(ARENA.parents[1] / words[3]))
    page = sign_in.split()[-1]
    assert page == "http://127.0.0.1:8765/services/arena/"
    page = page.replace("127.0.0.1:8765", running.url.removeprefix("ws://").strip("/"))
    command = [sys.executable, "-m", *sign_in.removeprefix(".venv/bin/").split()[:-1], page]
    done = subprocess.run(
        command, env=running.environment, capture_output=True, text=True, timeout=60, cwd=ARENA, check=True
    )
    assert done.stdout.startswith(f"{page}#ticket=rpcticket_")
    with urllib.request.urlopen(page, timeout=60) as answer:
        assert b'src="arena.js"' in answer.read()
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


def test_journey(
    run_node: RunNode, plugin: Any, built: Path, tmp_path: Path, missing: Callable[[str], NoReturn]
) -> None:
    """Pictures of the page are left in the folder that the variable CONSOLE_PICTURES names."""
    if not CHROMIUM.exists():
        missing("Chromium is not installed")
    (tmp_path / "state").mkdir(mode=0o700)
    served = Served(plugin, tmp_path / "state", built)
    control = Control({"/stop": lambda _: served.stop(), "/start": lambda _: served.start()})
    variables = {
        "TEST_CONSOLE_URL": served.origin,
        "TEST_CONTROL_URL": control.address,
        "TEST_SERVER_TOKEN": TOKEN,
        "TEST_VISITOR_TOKEN": "",
        "TEST_PICTURES": os.environ.get("CONSOLE_PICTURES", str(tmp_path)),
    }
    try:
        passed = run_node(VITEST, "run", "tests/examples/arena.test.ts", folder=CONSOLE, variables=variables)
        assert count_passed(passed) > 3
    finally:
        control.close()
        served.stop()
