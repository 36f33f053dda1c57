"""Debian's Chromium without a screen, driven by its DevTools protocol; and a server of the pages that it opens."""

from __future__ import annotations

import functools
import json
import subprocess
import threading
import time
import urllib.request
from contextlib import ExitStack
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from websockets.sync.client import connect

LIMIT_S = 60
CHROMIUM = Path("/usr/bin/chromium")
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-dev-shm-usage", "--js-flags=--expose-gc",
    "--remote-debugging-port=0",
)  # fmt: skip


class _Quiet(SimpleHTTPRequestHandler):
    extensions_map: ClassVar = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class PageServer:
    """Serves the files of a folder over HTTP."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def write(self, name: str, script: str) -> None:
        """Write a page that runs a script, under rules as strict as a page can have: the client needs no more.

        Parameters:
            name: of the page's file.
            script: the name of the script's file.
        """
        rules = "default-src 'none'; img-src data:; script-src 'self'; worker-src 'self'; connect-src ws://127.0.0.1:*"
        policy = f'<meta http-equiv="Content-Security-Policy" content="{rules}">'
        head = f'<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">{policy}'
        page = f'{head}<script type="module" src="{script}"></script>'
        (self.folder / name).write_text(page, encoding="utf-8")

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join(LIMIT_S)
        self._server.server_close()


class Page:
    """A page. Everything that it writes to its console as a warning or an error is kept in `complaints`.

    Parameters:
        devtools: where DevTools speaks with it.
        address: what it is to show.
    """

    def __init__(self, devtools: str, address: str) -> None:
        self.complaints: list[Any] = []
        self._last = 0
        self._stack = ExitStack()
        opened = connect(devtools, compression=None, max_size=None)
        self._connection = self._stack.enter_context(opened)
        for domain in ("Runtime", "Log", "Page"):
            self.send(f"{domain}.enable")
        self.send("Page.navigate", url=address)
        while self._receive().get("method") != "Page.loadEventFired":
            pass

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._connection.recv(LIMIT_S))
        params = message.get("params", {})
        is_call = message.get("method") == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning")
        if is_call or message.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
            self.complaints.append(params)
        return message

    def send(self, method: str, **params: Any) -> Any:
        """Call a method of DevTools, and return its result."""
        self._last += 1
        self._connection.send(json.dumps({"id": self._last, "method": method, "params": params}))
        while (message := self._receive()).get("id") != self._last:
            pass
        assert "error" not in message, message
        return message["result"]

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript. A promise is waited for."""
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def all_complaints(self) -> list[Any]:
        """Return all that the page has complained of until now."""
        self.evaluate("1")
        return self.complaints

    def close(self) -> None:
        """Close it."""
        self.send("Page.close")
        self._stack.close()


class Browser:
    """A browser with a profile of its own.

    Parameters:
        folder: an empty folder for the profile.
        options: more options of the command.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self._process = subprocess.Popen(
            [str(CHROMIUM), *_OPTIONS, *options, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        file = folder / "DevToolsActivePort"
        end = time.monotonic() + LIMIT_S
        while not file.is_file() or "/devtools/" not in file.read_text(encoding="ascii"):
            assert self._process.poll() is None, "Chromium has ended"
            assert time.monotonic() < end, "Chromium does not start"
            threading.Event().wait(0.02)  # Nothing tells of a file.
        port, self._path = file.read_text(encoding="ascii").splitlines()
        self._devtools = f"127.0.0.1:{port}"

    def open(self, address: str) -> Page:
        """Open a page, and wait until it is loaded."""
        request = urllib.request.Request(f"http://{self._devtools}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return Page(json.load(answer)["webSocketDebuggerUrl"], address)

    def open_window(self, address: str, width: int, height: int) -> Page:
        """Open a page in a window that shares nothing with others and is seen beside them, and wait until it is loaded."""
        with connect(f"ws://{self._devtools}{self._path}", compression=None, max_size=None) as connection:

            def ask(method: str, **params: Any) -> Any:
                connection.send(json.dumps({"id": 1, "method": method, "params": params}))
                while (message := json.loads(connection.recv(LIMIT_S))).get("id") != 1:
                    pass
                return message["result"]

            context = ask("Target.createBrowserContext", disposeOnDetach=False)["browserContextId"]
            place = {"newWindow": True, "width": width, "height": height, "browserContextId": context}
            target = ask("Target.createTarget", url="about:blank", **place)["targetId"]
        return Page(f"ws://{self._devtools}/devtools/page/{target}", address)

    def close(self) -> None:
        """End it, with all its processes."""
        self._process.terminate()
        self._process.wait(LIMIT_S)
