"""What Chromium does to a connection, and what the client in TypeScript makes of it. While they are hidden, pages have
timers that may be late by minutes: where a test takes them away, nothing but an event brings the client back."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.conftest import TOKEN, Running, make_server
from web.building import install, make_environment

from .bridge import CLIENT, ESBUILD
from .browser import Browser, Page, PageServer
from .way import Way

pytestmark = pytest.mark.timeout(300)

WITHOUT_TIMERS = "globalThis.setTimeout = () => 0"


@pytest.fixture(scope="module")
def script(pages: PageServer) -> Path:
    """The file with the client, in the form that pages take from anywhere."""
    install()
    target = pages.folder / "page.js"
    options = ["--bundle", "--format=iife", "--target=es2022", "--log-level=warning", f"--outfile={target}"]
    subprocess.run([str(ESBUILD), f"{CLIENT}/tests/page.ts", *options], env=make_environment(), check=True)
    return target


@pytest.fixture
def make_running(
    modules: Any, pages: PageServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Running]]:
    """Starts servers that pages may reach: from those origins, or from the server of pages."""
    made: list[Running] = []

    def make(*origins: str) -> Running:
        listen = {"port": 0, "unix": "none", "allowed_origins": origins or [pages.origin]}
        folder = str(tmp_path_factory.mktemp("server"))
        made.append(Running(lambda: make_server(modules, state_dir=folder, listen=listen)))
        return made[-1]

    yield make
    for running in made:
        running.stop()


def port_of(running: Running) -> int:
    return int(running.server.addresses[0].rpartition(":")[2])


@pytest.fixture
def way(open_server: Running) -> Iterator[Way]:
    way = Way(port_of(open_server))
    open_server.run(way.open())
    yield way
    open_server.run(way.close())


@pytest.fixture
def page(browser: Callable[[], Browser], pages: PageServer, script: Path, way: Way) -> Iterator[Page]:
    """A page whose client is connected over the way. It notes each state of the connection."""
    pages.write("page.html", script.name)
    page = browser().open(f"{pages.origin}/page.html")
    connect(page, f"ws://127.0.0.1:{way.port}")
    assert page.evaluate("client.connect().then(() => states)") == [["connecting", ""], ["connected", ""]]
    yield page
    page.evaluate("client.close({ timeoutMs: 100 })")
    page.close()


def connect(page: Page, url: str) -> None:
    """Make the client of a page."""
    page.evaluate(f"""
        globalThis.Noted = class extends WebSocket {{
          constructor(...places) {{
            super(...places);
            globalThis.socket = this;
          }}
        }}
        globalThis.states = [];
        globalThis.client = new rpc.Client("{url}", {{ token: "{TOKEN}", WebSocket: Noted }});
        client.watch((state, error) => states.push([state, error?.message ?? ""]));
        globalThis.reach = (wanted) => new Promise((resolve) => {{
          const look = () => wanted(states) && resolve();
          client.watch(look);
          look();
        }});
        globalThis.outcome = (call) => call.then((value) => [value], (error) => [error.type, error.executed]);
        0
    """)


def begin_a_call(page: Page, name: str) -> None:
    """Have a page make a call that goes on, as `begun`."""
    page.evaluate(f"globalThis.begun = outcome(client.call('contract.until_cancelled', ['{name}'])); 0")
    page.evaluate(f"client.call('contract.wait_for', ['{name} began'])")


def set_network(page: Page, *, is_offline: bool) -> None:
    page.send(
        "Network.emulateNetworkConditions",
        offline=is_offline, latency=0, downloadThroughput=-1, uploadThroughput=-1,
    )  # fmt: skip


def test_a_page_that_was_frozen_finds_its_connection_closed_and_comes_back(page: Page, way: Way) -> None:
    begin_a_call(page, "frozen")
    page.evaluate(WITHOUT_TIMERS)
    page.send("Page.setWebLifecycleState", state="frozen")
    page.send("Page.setWebLifecycleState", state="active")
    assert page.evaluate("begun") == ["ConnectionLost", "unknown"]
    page.evaluate("reach(() => states.length >= 5)")
    states = page.evaluate("states.slice(2)")
    assert [state for state, _ in states] == ["lost", "connecting", "connected"]
    assert "1006" in states[0][1]
    assert page.evaluate("client.call('contract.add', [1, 2])") == 3
    assert way.count == 2


def test_a_page_that_is_online_again_connects_at_once(page: Page, open_server: Running, way: Way) -> None:
    page.send("Network.enable")
    set_network(page, is_offline=True)
    page.evaluate(WITHOUT_TIMERS)
    open_server.run(way.cut())  # Chromium refuses new connections then, and leaves those that there are.
    page.evaluate("reach(() => states.at(-1)[1].includes('could be made'))")
    waiting = "globalThis.waiting = outcome(client.call('contract.add', [1, 2])); navigator.onLine"
    assert page.evaluate(waiting) is False
    set_network(page, is_offline=False)
    assert page.evaluate("waiting") == [3]
    assert way.count == 2


def test_a_page_that_is_seen_again_connects_at_once(
    page: Page, browser: Callable[[], Browser], open_server: Running, way: Way
) -> None:
    other = browser().open("about:blank")
    assert page.evaluate("document.visibilityState") == "hidden"
    page.evaluate(WITHOUT_TIMERS)
    open_server.run(way.close())
    page.evaluate("reach(() => states.at(-1)[1].includes('could be made'))")
    open_server.run(way.open())
    page.evaluate("globalThis.waiting = outcome(client.call('contract.add', [1, 2])); 0")
    page.send("Page.bringToFront")
    assert page.evaluate("waiting") == [3]
    assert page.evaluate("document.visibilityState") == "visible"
    other.close()


def test_over_a_restart_calls_that_were_never_sent_go(
    page: Page, open_server: Running, way: Way, make_running: Callable[..., Running]
) -> None:
    begin_a_call(page, "restarted")
    open_server.run(way.close())
    assert page.evaluate("begun") == ["ConnectionLost", "unknown"]
    page.evaluate("globalThis.waiting = Promise.all([1, 2, 3].map((a) => client.call('contract.add', [a, 0]))); 0")
    again = make_running()
    way.target = port_of(again)
    open_server.run(way.open())
    assert page.evaluate("waiting") == [1, 2, 3]
    assert again.server.connections


def test_a_server_that_does_not_read_bounds_what_waits_and_holds_up_no_close(
    page: Page, open_server: Running, way: Way
) -> None:
    open_server.run(way.stop_reading())
    counts = page.evaluate("""(async () => {
        globalThis.given = 0;
        function* blobs() { for (;;) { given++; yield new Uint8Array(65536); } }
        globalThis.uploads = Array.from({ length: 60 }, () =>
          outcome(client.upload('contract.total', { items: blobs() }, ['items'])));
        for (let quiet = 0, before = -1; quiet < 50; ) {
          await new Promise((resolve) => setTimeout(resolve, 5));
          quiet = given === before && socket.bufferedAmount > 0 ? quiet + 1 : 0;
          before = given;
        }
        return [socket.bufferedAmount, given];
    })()""")
    assert 2**20 <= counts[0] < 2 * 2**20
    assert counts[1] < 60 * 16  # That is what the credit allows.
    page.evaluate("client.close({ timeoutMs: 20 })")
    assert page.evaluate("client.state") == "closed"
    assert page.evaluate("socket.readyState") == 2  # Chromium itself goes on closing for a minute.
    assert page.evaluate("Promise.all(uploads)") == [["ConnectionLost", "unknown"]] * 60


def test_pages_from_files_have_the_origin_null(
    browser: Callable[[], Browser],
    script: Path,
    open_server: Running,
    make_running: Callable[..., Running],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (script.parent / "file.html").write_text(f'<!doctype html><script src="{script.name}"></script>', encoding="utf-8")
    page = browser().open(f"file://{script.parent}/file.html")
    assert page.evaluate("origin") == "null"
    with caplog.at_level(logging.INFO):
        connect(page, open_server.server.addresses[0])
        assert page.evaluate("outcome(client.connect())") == ["ConnectFailed", "no"]
    assert "null" in caplog.text
    assert "allowed_origins" in caplog.text
    connect(page, make_running("null").server.addresses[0])
    assert page.evaluate("client.call('contract.add', [1, 2])") == 3
    page.evaluate("client.close()")
    page.close()
