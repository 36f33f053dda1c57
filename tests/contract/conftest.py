"""One suite, many legs: memory, WebSocket over TCP and over a Unix socket; Client and AsyncClient; the three forms of
the wire. A test talks to a `Side`, which looks the same whatever is behind it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib.util
import itertools
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest

from rpcclient import AsyncClient, AsyncStream, Client
from rpcserver.config import ServerConfig
from rpcserver.plugins.stubgen import generate
from rpcserver.server import Server
from rpcwire.codec import SUBPROTOCOLS

HERE = Path(__file__).parent
TOKEN = "contract-suite-" + "0" * 32
LIMIT_S = 20.0


def load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class Running:
    """A server whose loop runs in a thread."""

    def __init__(self, server: Callable[[], Server]) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="contract-server")
        self.thread.start()

        async def start() -> Server:
            made = server()
            await made.start()
            return made

        self.server = self.run(start())

    def run(self, awaitable: Awaitable[Any]) -> Any:
        return self.start(awaitable).result(LIMIT_S)

    def start(self, awaitable: Awaitable[Any]) -> concurrent.futures.Future[Any]:
        async def wait() -> Any:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(wait(), self.loop)

    def stop(self) -> None:
        self.run(self.server.stop(grace_s=1))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(LIMIT_S)
        assert asyncio.all_tasks(self.loop) == set()
        self.loop.close()


class Interrupted(Exception):
    """What the test's signal handler raises, as Ctrl-C raises KeyboardInterrupt."""


class SyncSide:
    """`Client`, as it is."""

    flavour = "sync"

    def __init__(self, running: Running, client: Client, modules: dict[str, ModuleType]) -> None:
        self.running = running
        self.client = client
        self.modules = modules
        self.contract = modules["contract_stub"].Contract(client)
        self.kinds = modules["kinds_stub"].Kinds(client)

    def using(self, **options: Any) -> SyncSide:
        return SyncSide(self.running, self.client.options(**options), self.modules)

    def wait(self, value: Any) -> Any:
        return value

    def start(self, act: Callable[..., Any], *args: Any) -> concurrent.futures.Future[Any]:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def run() -> None:
            try:
                future.set_result(act(*args))
            except BaseException as exc:
                future.set_exception(exc)

        threading.Thread(target=run, daemon=True).start()
        return future

    def interrupt(self, act: Callable[..., Any], *args: Any, after: Callable[[], object]) -> None:
        """Interrupt a call once `after` has returned, as Ctrl-C does."""

        def handler(_: int, __: FrameType | None) -> None:
            raise Interrupted

        def later() -> None:
            after()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

        before = signal.signal(signal.SIGUSR1, handler)
        thread = threading.Thread(target=later)
        try:
            thread.start()
            with pytest.raises(Interrupted):
                act(*args)
        finally:
            thread.join(LIMIT_S)
            signal.signal(signal.SIGUSR1, before)

    def event(self, name: str) -> None:
        """Wait for an event of the service."""
        self.running.run(asyncio.wait_for(self.service.event(name).wait(), LIMIT_S))

    @property
    def service(self) -> Any:
        return next(s for s in self.running.server.services if s.name == "contract")


class AsyncSide(SyncSide):
    """`AsyncClient`, each of whose calls is waited for."""

    flavour = "async"

    def __init__(self, running: Running, client: AsyncClient, modules: dict[str, ModuleType]) -> None:
        self.running = running
        self.client = Waiting(self, client)
        self.bare = client
        self.modules = modules
        self.contract = Waiting(self, modules["contract_stub"].AsyncContract(client))
        self.kinds = Waiting(self, modules["kinds_stub"].AsyncKinds(client))

    def using(self, **options: Any) -> AsyncSide:
        return AsyncSide(self.running, self.bare.options(**options), self.modules)

    def wait(self, value: Any) -> Any:
        if isinstance(value, AsyncStream):
            return WaitingStream(self, value)
        if asyncio.iscoroutine(value):
            return self.wait(self.running.run(value))
        return Waiting(self, value) if hasattr(value, "__aenter__") or "Proxy" in type(value).__name__ else value

    def method(self, act: Any) -> WaitingMethod:
        return WaitingMethod(self, act)

    def start(self, act: Any, *args: Any) -> concurrent.futures.Future[Any]:
        return self.running.start(act.act(*args))

    def interrupt(self, act: Any, *args: Any, after: Callable[[], object]) -> None:
        future = self.start(act, *args)
        after()
        future.cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            future.result(LIMIT_S)


class Waiting:
    """Anything asynchronous, whose methods wait for what they give."""

    def __init__(self, side: AsyncSide, bare: Any) -> None:
        self.side = side
        self.bare = bare

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.bare, name)
        return WaitingMethod(self.side, value) if callable(value) else value

    def __enter__(self) -> Any:
        return self.side.wait(self.bare.__aenter__())

    def __exit__(self, *exc: object) -> None:
        self.side.wait(self.bare.__aexit__(*exc))


class WaitingMethod:
    def __init__(self, side: AsyncSide, act: Callable[..., Any]) -> None:
        self.side = side
        self.act = act

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.side.wait(self.act(*args, **kwargs))


class WaitingStream(Waiting):
    def open(self) -> WaitingStream:
        return self.side.wait(self.bare.open())  # type: ignore[no-any-return]

    def __iter__(self) -> WaitingStream:
        return self

    def __next__(self) -> Any:
        async def following() -> tuple[bool, Any]:
            # A coroutine must not raise StopAsyncIteration into a future.
            try:
                return True, await self.bare.__anext__()
            except StopAsyncIteration:
                return False, None

        there, item = self.side.running.run(following())
        if not there:
            raise StopIteration
        return item

    def close(self) -> None:
        self.side.wait(self.bare.aclose())


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModuleType]:
    """The services, and the stubs generated from them."""
    folder = tmp_path_factory.mktemp("contract")
    found = {
        "kinds": load("contract_kinds", HERE / "kinds.py"),
        "contract_service": load("contract_service", HERE / "service.py"),
    }
    service = folder / "kinds_service.py"
    service.write_text(found["kinds"].source(found["kinds"].examples(found["contract_service"])))
    found["kinds_service"] = load("kinds_service", service)
    for name, offered in (
        ("contract_stub", found["contract_service"].Contract),
        ("kinds_stub", found["kinds_service"].Kinds),
    ):
        path = folder / f"{name}.py"
        path.write_text(generate(offered))
        found[name] = load(name, path)
    return found


@pytest.fixture(scope="session")
def running(modules: dict[str, ModuleType], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    config = ServerConfig(
        state_dir=str(folder), listen={"port": 0, "unix": str(folder / "s.sock")}, limits={"streams": 32}
    )
    services = [modules["contract_service"].Contract(), modules["kinds_service"].Kinds()]
    running = Running(lambda: Server(config, services, token=TOKEN))
    yield running
    running.stop()


LEGS = list(itertools.product(("memory", "tcp", "unix"), ("sync", "async"), SUBPROTOCOLS))


@pytest.fixture(scope="session")
def sides(running: Running, modules: dict[str, ModuleType]) -> Iterator[Callable[..., SyncSide]]:
    """Makes sides; those without options of their own once."""
    made: dict[Any, SyncSide] = {}
    tcp, unix = running.server.addresses

    def make(leg: tuple[str, str, Any], **options: Any) -> SyncSide:
        if not options and leg in made:
            return made[leg]
        transport, flavour, form = leg
        if transport == "memory":
            where: dict[str, Any] = {"memory": running.server.connect_memory}
        else:
            where = {"url": tcp if transport == "tcp" else unix, "token": TOKEN if transport == "tcp" else None}
        side = (
            SyncSide(running, Client(**where, subprotocol=form, **options), modules)
            if flavour == "sync"
            else AsyncSide(running, AsyncClient(**where, subprotocol=form, **options), modules)
        )
        made[leg if not options else len(made)] = side
        return side

    yield make
    for side in made.values():
        side.client.close()


@pytest.fixture(params=LEGS, ids="-".join)
def leg(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    found: tuple[str, str, str] = request.param
    return found


@pytest.fixture
def side(sides: Callable[..., SyncSide], leg: tuple[str, str, str]) -> SyncSide:
    return sides(leg)
