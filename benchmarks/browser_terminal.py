"""The console's terminal beside ttyd: output of `yes`, the answer to keys meanwhile, the memory of the tab after it."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from rpcclient import Client
from tests.web.browser import Browser, Page

from .browser_figures import Options, spread
from .browser_peers import make_address, run_our_server, run_ttyd

KEY_EVERY_MS = 200
LOOK_S = 20
"""How long one question to the page may take; the output may take longer."""
END = "that-is-all"
PROGRAM = ["env", "PS1=ready$ ", "bash", "--norc", "--noprofile"]

_SETUP = """(() => {
  globalThis.readRows = () => {
    const rows = document.querySelector(".xterm-rows");
    if (rows !== null) return rows.textContent;
    const { active } = term.buffer;
    const readRow = (_, row) => active.getLine(active.baseY + row)?.translateToString(true);
    return Array.from({ length: term.rows }, readRow).join("\\n");
  };
  globalThis.waitForText = (text, ms) => new Promise((resolve) => {
    const begun = performance.now();
    const look = () => {
      const now = performance.now();
      if (readRows().includes(text)) resolve(now);
      else if (now - begun > ms) resolve(0);
      else requestAnimationFrame(look);
    };
    look();
  });
  globalThis.keys = [];
  addEventListener("keydown", ({ timeStamp }) => {
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => { keys.push(performance.now() - timeStamp); };
      port2.postMessage(undefined);
    });
  }, true);
})()"""
"""Notes for each key how long after it the page has drawn its next frame."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run has shown: seconds, milliseconds for each key, and MB of the tab's process and of its heap."""

    output_s: float
    keys_ms: tuple[float, ...]
    growth_mb: float
    heap_growth_mb: float


def _press(page: Page, key: str, text: str = "") -> None:
    page.send("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
    page.send("Input.dispatchKeyEvent", type="keyUp", key=key)


def _type(page: Page, text: str) -> None:
    for sign in text:
        _press(page, sign, sign)


def _weigh(page: Page) -> tuple[float, float]:
    """The memory that the tab's process shares with nobody, and its heap of JavaScript, without garbage; in MB."""
    for _ in range(3):
        page.send("HeapProfiler.collectGarbage")
    page.send("Performance.enable")
    metrics = {each["name"]: each["value"] for each in page.send("Performance.getMetrics")["metrics"]}
    tabs: list[psutil.Process] = [
        each
        for each in psutil.Process().children(recursive=True)
        if "--type=renderer" in each.cmdline()
    ]  # fmt: skip
    return max(each.memory_full_info().uss for each in tabs) / 1e6, metrics["JSHeapUsedSize"] / 1e6


def _flood(page: Page) -> Figures:
    """Have the program in the terminal of a page write, and watch the page."""
    page.evaluate(_SETUP)
    ready = page.evaluate(f"waitForText('ready$', {LOOK_S * 1000})")
    assert ready, "no prompt in the terminal"
    _type(page, "sh flood.sh")
    before_mb, heap_before_mb = _weigh(page)
    begun_ms = page.evaluate("keys.length = 0; performance.now()")
    _press(page, "Enter", "\r")
    end_ms = 0.0
    while not end_ms:
        end_ms = page.evaluate(f"waitForText({END!r}, {KEY_EVERY_MS})")
        if not end_ms:
            _press(page, "Shift")
    keys = page.evaluate("keys")
    page.evaluate("new Promise((done) => { setTimeout(done, 1000); })")
    after_mb, heap_after_mb = _weigh(page)
    return Figures((end_ms - begun_ms) / 1000, tuple(keys), after_mb - before_mb, heap_after_mb - heap_before_mb)


@contextmanager
def _open_page(address: str) -> Iterator[Page]:
    with ExitStack() as stack:
        browser = Browser(Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))))
        stack.callback(browser.close)
        page = browser.open("about:blank")
        page.send("Page.bringToFront")
        page.send("Page.navigate", url=address)
        yield page


def _wait(page: Page, expression: str) -> Any:
    """Wait until an expression is true on a page."""
    look = f"const look = () => {{ const found = {expression}; found ? done(found) : setTimeout(look, 20); }}"
    return page.evaluate(f"new Promise((done) => {{ {look}; look(); }})")


def _kill(url: str, token: str, program_id: str) -> None:
    with Client(url, token=token) as client:
        client.call("programs.kill", {"id": program_id})


def measure_console(folder: Path) -> Figures:
    """Measure the console's terminal once."""
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url, token = stack.enter_context(run_our_server(state))
        with Client(url, token=token) as client:
            size = {"rows": 24, "columns": 80}
            wanted = {"argv": PROGRAM, "cwd": str(folder), "terminal": size, "stdin": True, "on_disconnect": "keep"}
            program = client.call("programs.start", wanted, returns=dict[str, Any])
        stack.callback(_kill, url, token, program["id"])  # It would outlive the server.
        page = stack.enter_context(_open_page(make_address(url, token)))
        _wait(page, "document.querySelector('nav a')")
        page.evaluate(f"location.hash = '#/programs/{program['id']}'")
        _wait(page, "document.querySelector('.xterm-rows')?.textContent.includes('ready$')")
        return _flood(page)


def measure_ttyd(folder: Path) -> Figures:
    """Measure ttyd once."""
    with run_ttyd(folder, PROGRAM) as address, _open_page(address) as page:
        first_line = "term.buffer.active.getLine(0)?.translateToString(true)"
        _wait(page, f"globalThis.term?.element && {first_line}.includes('ready$')")
        return _flood(page)


def measure_terminals(options: Options) -> None:
    """Measure and print both.

    Parameters:
        options: where ttyd is unpacked, if it is not installed; how many rounds, and how much output.
    """
    script = f"yes | head -c {options.megabytes * 1_000_000}; echo that-is'-'all\n"
    (options.folder / "flood.sh").write_text(script, encoding="utf-8")
    contenders: dict[str, Callable[[Path], Figures]] = {"console": measure_console, "ttyd": measure_ttyd}
    found: dict[str, list[Figures]] = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, measure in contenders.items():
            found[name].append(measure(options.folder))
    print(f"{options.megabytes} MB of yes in a terminal, up to the line after it")
    for name, figures in found.items():
        keys = sorted(key for each in figures for key in each.keys_ms) or [0.0]
        print(f"  {name}")
        print(f"    {spread([each.output_s for each in figures], '.1f')} s")
        late = f"p95 {keys[int(len(keys) * 0.95)]:.0f} ms, at most {keys[-1]:.0f} ms, of {len(keys)} keys"
        print(f"    the next frame after a key: median {statistics.median(keys):.0f} ms, {late}")
        grown = spread([each.growth_mb for each in figures], ".1f")
        heap = spread([each.heap_growth_mb for each in figures], ".1f")
        print(f"    the tab has grown by {grown} MB, its heap by {heap} MB")
    ratios = [other.output_s / one.output_s for one, other in zip(found["console"], found["ttyd"], strict=True)]
    print(f"  the console is {spread(ratios, '.2f')} times as fast")
