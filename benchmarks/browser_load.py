"""The first load of the console, at a quarter of the processor's speed."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.web.browser import Browser

from .browser_figures import Options, spread
from .browser_peers import make_address, run_our_server

SLOWER = 4
_WATCH = """(() => {
  const found = (globalThis.seen = {});
  const look = () => {
    const now = performance.now();
    if (document.querySelector("form input, form textarea")) found.sign_in ??= now;
    if (document.querySelector("nav a")) found.frame ??= now;
    const heading = document.querySelector("h1")?.textContent;
    if (heading === "Overview" && document.querySelector("canvas")) found.overview ??= now;
    requestAnimationFrame(look);
  };
  look();
})()"""
"""Notes when something is first on the page, as its clock has it: it begins when the page is asked for."""


def _load(address: str, what: str) -> float:
    """Open an address in a browser that knows nothing yet; gives the milliseconds until something is on the page."""
    with ExitStack() as stack:
        browser = Browser(Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))))
        stack.callback(browser.close)
        page = browser.open("about:blank")
        page.send("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)
        page.send("Emulation.setCPUThrottlingRate", rate=SLOWER)
        page.send("Page.navigate", url=address)
        look = f"const look = () => globalThis.seen?.{what} ? done(seen.{what}) : setTimeout(look, 50);"
        return float(page.evaluate(f"new Promise((done) => {{ {look} look(); }})"))


def measure_load(options: Options) -> None:
    """Measure and print it: without a session, and with a ticket.

    Parameters:
        options: how many rounds.
    """
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url, token = stack.enter_context(run_our_server(state))
        origin = url.replace("ws://", "http://")
        figures: dict[str, list[float]] = {"sign_in": [], "frame": [], "overview": []}
        for _ in range(options.rounds):
            figures["sign_in"].append(_load(origin, "sign_in"))
            figures["frame"].append(_load(make_address(url, token), "frame"))
            figures["overview"].append(_load(make_address(url, token), "overview"))
        print(f"first load of the console, at 1/{SLOWER} of the processor's speed, in ms")
        print(f"  the form for signing in   {spread(figures['sign_in'])}")
        print(f"  with a ticket, its frame  {spread(figures['frame'])}")
        print(f"  with a ticket, charts     {spread(figures['overview'])}")
