"""Uses the client in TypeScript from Python: a program in node, in a page or in a worker connects to a bridge, and does
what it is told by messages in JSON. `web/client/tests/bridge.ts` is the other side."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
import json
import logging
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from rpcserver.plugins.typescript import generate_typescript
from rpcwire import errors
from rpcwire.service import Service
from rpcwire.values.tagged import from_tagged, to_tagged
from web.building import NODE, WEB, install, make_environment

CLIENT = WEB / "client"
ESBUILD = WEB / "node_modules" / ".bin" / "esbuild"  # a script or a program, as npm has found it
LIMIT_S = 30
logger = logging.getLogger(__name__)


class ClientError(Exception):
    """The client has thrown something that is none of its own errors; its argument is the text."""


def bundle(folder: Path, services: list[type[Service[Any]]], place: str) -> Path:
    """Bundle the other side of the bridge with the stubs of services, and return the file.

    Parameters:
        folder: for what is generated.
        services: the services.
        place: where it is to run: `node` or `browser`.
    """
    install()
    for service in services:
        text = generate_typescript(service, str(CLIENT / "src" / "index.ts"))
        (folder / f"{service.name}.ts").write_text(text, encoding="utf-8")
    lines = [f'import {{ {service.name} }} from "./{service.name}.ts";' for service in services]
    names = ", ".join(service.name for service in services)
    lines += [f'import {{ run }} from "{CLIENT}/tests/bridge_{place}.ts";', f"await run({{ {names} }});", ""]
    main = folder / "main.ts"
    main.write_text("\n".join(lines), encoding="utf-8")
    target = folder / "main.mjs"
    options = ["--bundle", "--format=esm", f"--platform={place}", "--target=es2022", "--log-level=warning"]
    subprocess.run([str(ESBUILD), str(main), *options, f"--outfile={target}"], env=make_environment(), check=True)
    return target


class Bridge:
    """The way to one program.

    Parameters:
        known: the errors that the stubs declare, by their names.
    """

    def __init__(self, known: Mapping[str, type[errors.ServiceError]]) -> None:
        self.known = known
        self._reports: dict[int, Callable[..., object]] = {}
        self.happened: dict[str, Callable[[str], object]] = {}
        """Called with what happens at what a client offers, by the client's name."""
        self._sources: dict[int, Any] = {}
        self._numbers = itertools.count(1)
        self._waiting: dict[int, concurrent.futures.Future[Any]] = {}
        self._connected: concurrent.futures.Future[ServerConnection] = concurrent.futures.Future()
        self._place = threading.local()
        self._server = serve(self._receive, "127.0.0.1", 0, compression=None, max_size=None)
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """End the program's connection, and wait until nothing is left of the bridge."""
        if self._connected.done():
            self._connected.result().close()
        self._server.shutdown()
        self._thread.join(LIMIT_S)

    def wish(self, act: str, *, report: Callable[..., object] | None = None, **members: Any) -> int:
        """Ask the program for something, and return the number of the wish.

        Parameters:
            act: what it is to do.
            report: called with the progress.
            members: what it needs to know.
        """
        number = next(self._numbers)
        self._waiting[number] = concurrent.futures.Future()
        if report is not None:
            self._reports[number] = report
        signal = getattr(self._place, "signal", None)
        self._send({"id": number, "act": act, "signal": signal, "wantsProgress": report is not None, **members})
        return number

    def wait(self, number: int) -> Any:
        """Return what has come of a wish.

        Raises:
            RpcError: the client has thrown it.
            ClientError: the client has thrown something else.
        """
        try:
            return self._waiting[number].result(LIMIT_S)
        finally:
            del self._waiting[number]
            self._reports.pop(number, None)

    def tell(self, act: str, **members: Any) -> None:
        """Ask the program for something of which nothing comes here."""
        self._send({"id": next(self._numbers), "act": act, **members})

    def ask(self, act: str, **members: Any) -> Any:
        """Ask the program for something, and wait for what comes of it."""
        return self.wait(self.wish(act, **members))

    def lend(self, items: Any) -> int:
        """Let the program take items from here, and return the number of their source."""
        number = next(self._numbers)
        self._sources[number] = step(items) if hasattr(items, "__anext__") else iter(items)
        return number

    def abort(self, signal: str) -> None:
        """Abort a signal of the program."""
        self.tell("abort", signal=signal)

    @contextmanager
    def under(self, signal: str) -> Iterator[None]:
        """Have all that this thread wishes for obey a signal."""
        self._place.signal = signal
        try:
            yield
        finally:
            del self._place.signal

    def _send(self, message: dict[str, Any]) -> None:
        self._connected.result(LIMIT_S).send(json.dumps({k: v for k, v in message.items() if v is not None}))

    def _receive(self, connection: ServerConnection) -> None:
        self._connected.set_result(connection)
        try:
            for text in connection:
                self._handle(json.loads(text))
        except ConnectionClosed:
            pass
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(ClientError("the program has ended"))

    def _handle(self, message: dict[str, Any]) -> None:
        if "id" in message:
            future = self._waiting.get(message["id"])
            if future is None:
                return
            if "error" in message:
                future.set_exception(self.make_error(message))
            else:
                future.set_result(from_tagged(message["result"]))
        elif "progress" in message:
            report = message["report"]
            self._reports[message["progress"]](report["done"], report.get("total"), report.get("message"))
        elif "question" in message:
            self._send({"answer": message["question"], **self._give(message["source"], message["what"])})
        elif "event" in message:
            self.happened[message["client"]](message["event"])
        else:
            logger.warning("the client says: %s", message["log"])

    def _give(self, number: int, what: str) -> dict[str, Any]:
        source = self._sources[number]
        if what == "close":
            del self._sources[number]
            getattr(source, "close", lambda: None)()
            return {"items": []}
        try:
            return {"items": [dump(item) for item in itertools.islice(source, 1)]}
        except Exception as exc:
            return {"failure": str(exc)}

    def make_error(self, told: Mapping[str, Any]) -> Exception:
        """Make the error here of what the client has thrown, of the class that it had there.

        Parameters:
            told: the error, and its class.
        """
        wire, name = told["error"], told["class"]
        if wire["code"] == 0:
            return ClientError(wire["message"])
        error = errors.from_wire(wire["code"], wire["message"], wire["data"], self.known if name in self.known else {})
        own = getattr(errors, name, None)
        if own is not None and not issubclass(own, errors.ServiceError) and type(error) is not own:
            facts = ("executed", "retryable", "retry_after_ms", "errors", "details", "code")
            error = own(error.message, **{fact: getattr(error, fact) for fact in facts}, remote_type=error.type)
        return error


def step(items: AsyncIterator[Any]) -> Iterator[Any]:
    """Yield the items of an asynchronous iterator that waits for nothing."""
    while True:
        try:
            next(items.__anext__().__await__())
        except StopIteration as stop:
            yield stop.value
        except StopAsyncIteration:
            return


def dump(value: Any) -> Any:
    """Make plain data of a value."""
    return to_tagged(to_plain(value), binary=False)


def to_plain(value: Any) -> Any:
    """Make of models and members of enumerations what a program in JavaScript has in their place."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, BaseModel):
        return {name: to_plain(member) for name, member in value}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: to_plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, list):
        return [to_plain(each) for each in value]
    if isinstance(value, tuple):
        return tuple(to_plain(each) for each in value)
    if isinstance(value, dict):
        return {key: to_plain(each) for key, each in value.items()}
    return value


class NodeProgram:
    """A process of node that does what a bridge says. It ends with the bridge.

    Parameters:
        target: the bundle.
        bridge: the bridge.
        url, token: of the server.
    """

    def __init__(self, target: Path, bridge: Bridge, url: str, token: str) -> None:
        self._process = subprocess.Popen(
            [str(NODE), "--expose-gc", str(target)],
            env=make_environment({"TEST_BRIDGE_URL": bridge.url, "TEST_SERVER_URL": url, "TEST_SERVER_TOKEN": token}),
        )

    def close(self) -> None:
        """Wait for its end."""
        try:
            assert self._process.wait(LIMIT_S) == 0
        finally:
            self._process.kill()
            self._process.wait()
