"""How long a move in examples/arena takes from a key to the screens of seven others, beside the same room and page over
a bare WebSocket with the `broadcast` of websockets, in the same run.

Each player is a window of one Chromium without a screen, with a context and a process of its own. DevTools presses the
keys. A move counts from the moment at which the browser has taken the key until another page has drawn the first state
with it, on the clock that all pages share. Both contenders wait for the next of 60 ticks a second, and for the next
frame of the screen. Build the client first: make web.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from rpcclient import Client
from tests.web.browser import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
WIDTH, HEIGHT = 280, 360
"""Of each window, in pixels. All are drawn without a graphics processor: larger ones are the limit themselves."""
KEYS = (("ArrowRight", 39), ("ArrowLeft", 37), ("ArrowDown", 40), ("ArrowUp", 38))
WATCH = """
    globalThis.moves = [];
    globalThis.seen = [];
    globalThis.states = 0;
    const last = new Map();
    for (const kind of ["keydown", "keyup"]) {
      addEventListener(kind, (event) => moves.push(performance.timeOrigin + event.timeStamp), true);
    }
    document.querySelector("canvas").addEventListener("drawn", ({ detail: { discs } }) => {
      const now = performance.timeOrigin + performance.now();
      states++;
      for (const { number, move } of discs) {
        if (last.get(number) !== move) seen.push([number, move, now]);
        last.set(number, move);
      }
    });
    0
"""


ENTER = """
    new Promise((resolve) => {
      document.querySelector("canvas").addEventListener("drawn", () => {
        if (document.querySelectorAll("li")[NUMBER]?.className === "own") resolve(0);
      });
    })
"""
"""Waits until a page plays with the disc of that number."""


@contextlib.contextmanager
def ours(folder: Path) -> Iterator[tuple[psutil.Process, str, list[str]]]:
    """The server with the plugin; its process, the page, and a ticket for each player."""
    environment = {**os.environ, "RPCSERVER_STATE_DIR": str(folder)}
    command = [sys.executable, "-m", "rpcserver", "serve", "--port", "0", "--unix", "none"]
    plugin = ["--plugin", str(ROOT / "examples" / "arena" / "arena.py")]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [*command, *plugin], stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        ) as process,
    ):
        assert process.stdout is not None
        try:
            url = process.stdout.readline().split()[-1]
            with Client(url, token_file=folder / "token") as client:
                tickets = [client.call("rpc.create_ticket")["ticket"] for _ in range(8)]
            yield psutil.Process(process.pid), f"{url.replace('ws', 'http', 1)}/services/arena/", tickets
        finally:
            process.terminate()


@contextlib.contextmanager
def raw(_: Path) -> Iterator[tuple[psutil.Process, str, list[str]]]:
    """The same of the server of websockets alone."""
    command = [sys.executable, str(ROOT / "benchmarks" / "arena_raw.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = process.stdout.readline().strip()
            yield psutil.Process(process.pid), f"http://127.0.0.1:{port}/services/arena/", ["none"] * 8
        finally:
            process.terminate()


def press(pages: list[Page], seconds: float) -> None:
    """Press and release keys, each for a while, in one page after another."""
    chance = random.Random(1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        page = chance.choice(pages)
        name, code = chance.choice(KEYS)
        key = {"key": name, "code": name, "windowsVirtualKeyCode": code}
        for kind in ("keyDown", "keyUp"):
            page.send("Input.dispatchKeyEvent", type=kind, **key)
            time.sleep(chance.uniform(0.02, 0.06))


def measure(
    browser: Browser, process: psutil.Process, address: str, tickets: list[str], seconds: float
) -> tuple[list[float], float, float]:
    """Return the times from a key to another screen in ms, the states that a page has drawn a second, and the part of a
    processor that the server has taken."""
    pages = []
    try:
        for number, ticket in enumerate(tickets):
            page = browser.open_window(f"{address}#ticket={ticket}", WIDTH, HEIGHT)
            page.send("Emulation.setFocusEmulationEnabled", enabled=True)
            page.evaluate(ENTER.replace("NUMBER", str(number)))
            pages.append(page)
        for page in pages:
            page.evaluate(WATCH)
        busy, begin = sum(process.cpu_times()[:2]), time.monotonic()
        press(pages, seconds)
        busy, lasted_s = sum(process.cpu_times()[:2]) - busy, time.monotonic() - begin
        moves = [page.evaluate("moves") for page in pages]
        time.sleep(0.5)  # For the last moves to arrive.
        seen = [page.evaluate("seen") for page in pages]
        states = [page.evaluate("states") for page in pages]
    finally:
        for page in pages:
            page.close()
    times = []
    for mover, made in enumerate(moves):
        for watcher, screen in enumerate(seen):
            if watcher == mover:
                continue
            shown = [(move, at) for number, move, at in screen if number == mover and move > 0]
            for number, at in enumerate(made, 1):
                assert number < 256, "the numbers of moves have come round: measure for a shorter time"
                times.append(next(when for move, when in shown if move >= number) - at)
    return times, statistics.mean(states) / (lasted_s + 0.5), busy / lasted_s


def find_p99(times: list[float]) -> float:
    """Return the time that one in a hundred exceeds."""
    return statistics.quantiles(times, n=100)[98]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=12, help="how long to press keys each time")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    if not (ROOT / "rpcserver" / "console_files" / "client.js").exists():
        sys.exit("there is no client for pages: make web")
    visible = ("--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows")
    rows: dict[str, list[tuple[list[float], float, float]]] = {"rpcserver": [], "websockets": []}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # Chromium's processes end after it.
        profile = Path(folder) / "profile"
        profile.mkdir()
        browser = Browser(profile, *visible)
        try:
            for turn in range(options.rounds):
                for name, contender in (("rpcserver", ours), ("websockets", raw)):
                    place = Path(folder) / f"{name}{turn}"
                    place.mkdir(mode=0o700)
                    with contender(place) as (process, address, tickets):
                        rows[name].append(measure(browser, process, address, tickets, options.seconds))
        finally:
            browser.close()
    print(f"{'key to 7 other screens':24} {'moves':>6} {'median':>8} {'p99':>8} {'states/s':>9} {'server':>7}")
    for name, rounds in rows.items():
        for times, rate, busy in rounds:
            middle, worst = statistics.median(times), find_p99(times)
            print(f"{name:24} {len(times) // 7:6} {middle:5.1f} ms {worst:5.1f} ms {rate:9.1f} {busy:7.1%}")
    own, other = (find_p99([each for times, *_ in rounds for each in times]) for rounds in rows.values())
    print(f"p99 of all rounds: {own:.1f} ms beside {other:.1f} ms: {own / other:.2f} times")


if __name__ == "__main__":
    main()
