"""Services publish events, and clients follow them: at a real server, on both loops, in both forms of the wire."""

from __future__ import annotations

import asyncio
import sys
import threading
from datetime import UTC, datetime
from decimal import Decimal
from types import FrameType, ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

from rpcclient import AsyncClient, Client
from rpcclient.errors import MethodNotFound, PermissionDenied, SlowConsumer, Unavailable
from rpcserver import Context, Event, Service, ServiceConfig, event, method
from rpcserver.events.board import Board, Origin
from rpcserver.events.teller import WISH_S, Teller
from rpcserver.plugins.openrpc import document
from rpcserver.plugins.stubgen import generate
from rpcwire.context import Principal
from tests.server.conftest import TOKEN

LIMIT_S = 30


class Disk(BaseModel):
    """A disk."""

    mount: str
    free: Decimal
    serial: bytes
    at: datetime


def disk(mount: str) -> Disk:
    return Disk(mount=mount, free=Decimal("0.5"), serial=b"\xff\x00", at=datetime(2026, 1, 2, tzinfo=UTC))


class Disks(Service):
    """Watches disks."""

    permissions = {"disks.watch": "follow disks"}  # noqa: RUF012 - as services write it

    def __init__(self, config: ServiceConfig | None = None) -> None:
        super().__init__(config)
        self.interest: list[bool] = []

    async def start(self) -> None:
        self.runtime.events.on_interest("full", self.interest.append)

    @event(permission="disks.watch")
    def disk_full(self, disk: Disk) -> None:
        """A disk is full.

        It has less than 5 % left.
        """

    @event(name="full")
    def is_full(self, percent: int) -> None:
        """All disks are full."""

    @method()
    async def fill(self, mount: str) -> None:
        """Publish from the event loop."""
        self.disk_full(disk(mount))

    @method()
    def fill_in_thread(self, mount: str, count: int) -> None:
        """Publish from a thread."""
        for _ in range(count):
            self.disk_full(disk(mount))


def client_of(server: Any, **more: Any) -> AsyncClient:
    return AsyncClient(server.addresses[0], token=TOKEN, proxy=None, **more)


@pytest.mark.parametrize("subprotocol", ["rpc.v1.json", "rpc.v1.msgpack"])
def test_stubs_give_each_event_with_its_types(tools: Any, subprotocol: Any) -> None:
    module = sys.modules.setdefault("stub_of_disks", ModuleType("stub_of_disks"))
    namespace = vars(module)
    exec(compile(generate(Disks), "stub", "exec"), namespace)

    def follow(url: str) -> None:
        with Client(url, token=tools.TOKEN, proxy=None, subprotocol=subprotocol) as client:
            disks = namespace["Disks"](client)
            with disks.disk_full() as events:
                disks.fill("/a")
                disks.fill_in_thread("/b", 2)
                one, two, three = (next(events) for _ in range(3))
            assert isinstance(one, Event) and isinstance(one.value, namespace["Disk"])
            assert one.value.model_dump() == disk("/a").model_dump()
            assert [(each.seq, each.lost, each.value.mount) for each in (one, two, three)] == [
                (1, 0, "/a"), (2, 0, "/b"), (3, 0, "/b"),
            ]  # fmt: skip
            assert (one.epoch, one.id, one.node) == (two.epoch, two.id, two.node)

    async def use() -> None:
        async with tools.serve(Disks()) as server:
            await asyncio.wait_for(asyncio.to_thread(follow, server.addresses[0]), LIMIT_S)
            async with client_of(server, subprotocol=subprotocol) as client:
                disks = namespace["AsyncDisks"](client)
                async with asyncio.timeout(LIMIT_S), disks.disk_full(policy="latest") as events:
                    await disks.fill("/c")
                    got = await anext(events)
                    assert (got.seq, got.lost, got.value.mount) == (4, 0, "/c")
                    (node,) = await client.nodes()
                    assert (got.node, got.id, got.epoch) == (node.name, node.id, node.epoch)
                await tools.until(lambda: not server.group.board.feeds["disks.disk_full"].queues)

    tools.run(use())


@pytest.mark.parametrize("subprotocol", ["rpc.v1.json", "rpc.v1.msgpack"])
def test_clients_without_stubs_follow_by_name(tools: Any, subprotocol: Any) -> None:
    def follow(url: str) -> None:
        with Client(url, token=tools.TOKEN, proxy=None, subprotocol=subprotocol) as client:
            with client.service("disks").disk_full() as events:
                client.call("disks.fill", ["/a"])
                assert next(events)["value"]["mount"] == "/a"
            with client.subscribe() as news:
                assert next(news).kind == "following"
                client.call("disks.fill", ["/b"])
                got = next(news)
                assert (got.kind, got.event, got.seq, got.value["mount"]) == ("event", "disks.disk_full", 2, "/b")
            with client.everyone().subscribe("disks.disk_full") as news:  # A group of one.
                assert next(news).kind == "following"
                client.call("disks.fill", ["/c"])
                assert next(news).value["mount"] == "/c"

    async def use() -> None:
        async with tools.serve(Disks()) as server:
            await asyncio.wait_for(asyncio.to_thread(follow, server.addresses[0]), LIMIT_S)

    tools.run(use())


def test_who_may_follow_is_said_by_the_role(tools: Any) -> None:
    async def use() -> None:
        roles = {"owner": {"permissions": ["disks.full", "disks.fill", "rpc.follow"]}}
        async with tools.serve(Disks(), roles=roles) as server, client_of(server) as client:
            remedy = r'have the operator add "disks\.watch" to roles\.owner\.permissions'
            for stream in (client.stream("disks.disk_full", {}), client.subscribe("disks.disk_full")):
                with pytest.raises(PermissionDenied, match=remedy):
                    await anext(stream)
            news = client.subscribe("disks.nothing")
            got = await anext(news)
            assert (got.kind, got.event, got.reason) == (
                "refused", "disks.nothing", "there is no event disks.nothing at this node",
            )  # fmt: skip
            await news.aclose()
            async with client.subscribe() as news:
                assert (await anext(news)).kind == "following"
                server.services[0].is_full(3)
                assert (await anext(news)).event == "disks.full"
            with pytest.raises(MethodNotFound):
                await client.call("disks.is_full")

    tools.run(use())


@pytest.mark.parametrize("policy", ["drop_oldest", "latest", "close"])
def test_a_slow_client_keeps_nobody_waiting_and_learns_of_its_loss(tools: Any, policy: str) -> None:
    count = 3000

    async def use() -> None:
        disks = Disks()
        async with tools.serve(disks) as server, client_of(server) as client:
            params = {"policy": policy, "buffer_items": 10}
            async with asyncio.timeout(LIMIT_S), client.stream("disks.full", params) as events:
                # One thread publishes while the loop runs, and the client reads nothing.
                await asyncio.to_thread(lambda: [disks.is_full(1) for _ in range(count)])
                seen = lost = 0
                if policy == "close":
                    with pytest.raises(SlowConsumer, match=r"more than 10 events of disks\.full wait"):
                        async for got in events:
                            seen += 1
                            assert (got["seq"], got["lost"]) == (seen, 0)
                    assert seen < count
                    return
                async for got in events:
                    seen, lost = seen + 1, lost + got["lost"]
                    assert got["seq"] == seen + lost
                    if got["seq"] == count:
                        break
                assert lost > 0
                told = await figures(server)
                assert told['rpcserver_events_published_total{event="disks.full"}'] == count
                assert told['rpcserver_event_followers{event="disks.full",of="node"}'] == 1
                assert told['rpcserver_events_lost_total{reason="slow"}'] == lost
            await tools.until(lambda: not server.group.board.feeds["disks.full"].queues)
            assert (await figures(server))['rpcserver_event_followers{event="disks.full",of="node"}'] == 0

    tools.run(use())


async def figures(server: Any) -> dict[str, float]:
    """What the metrics tell of events."""
    lines = (line.rpartition(" ") for line in (await server.metrics.render()).splitlines())
    return {name: float(number) for name, _, number in lines if name.startswith("rpcserver_event")}


def test_publishing_looks_at_the_wishes_for_this_event_only(tools: Any) -> None:
    """Clients of other nodes that follow another event cost nothing, and nothing is left of those that have gone."""

    async def use() -> None:
        async with tools.serve(Disks()) as server:
            told: list[tuple[int, list[int]]] = []
            owner = Principal("owner", "token")
            teller = Teller(
                server.group.board,
                server.registry,
                server.roles,
                lambda: 1,
                lambda node, news: told.append((node, news.numbers)),
            )

            def follow(number: int, name: str) -> None:
                mark = teller.follow(number % 7, number, [name], owner, 0.0, is_packed=False)
                assert set(mark.seqs) == {name}

            def publish() -> int:
                """Publish, and return how many lines of the teller have run."""
                lines = 0

                def count(frame: FrameType, what: str, _: object) -> Any:
                    nonlocal lines
                    lines += what == "line"
                    return count if frame.f_code.co_filename == Teller.tell.__code__.co_filename else None

                server.group.board.publish(server.group.board.feeds["disks.full"], 1)
                before = sys.gettrace()  # That of the measure of coverage.
                sys.settrace(count)
                try:
                    teller.tell("disks.full")
                finally:
                    sys.settrace(before)
                return lines

            follow(1, "disks.full")
            publish()  # The first one finds out how to encode values.
            alone = publish()
            for number in range(2, 500):
                follow(number, "disks.disk_full")
            assert publish() == alone and told == [(1, [1])] * 3
            assert (teller.count_of("disks.full"), teller.count_of("disks.disk_full"), len(teller)) == (1, 498, 499)
            follow(1, "disks.disk_full")  # The same client follows something else now.
            publish()
            assert len(told) == 3 and not teller.tells("disks.full")
            teller.unfollow(2, 2)
            teller.expire(WISH_S, lambda source, principal: True)
            assert not (
                len(teller) or teller._wishes_of or teller._counts or server.group.board.feeds["disks.full"].queues
            )

    tools.run(use())


def test_a_service_learns_whether_anybody_follows(tools: Any) -> None:
    async def use() -> None:
        disks = Disks()
        async with tools.serve(disks) as server, client_of(server) as client:
            async with client.stream("disks.full", {}), client.stream("disks.full", {}):
                await tools.until(lambda: len(server.group.board.feeds["disks.full"].queues) == 2)
                assert disks.interest == [True]
            await tools.until(lambda: disks.interest == [True, False])

    tools.run(use())


def test_streams_of_events_outlive_the_object_of_a_service_and_end_with_the_server(tools: Any) -> None:
    async def use() -> None:
        async with tools.serve(Disks()) as server, client_of(server) as client:
            events, news = client.stream("disks.full", {}), client.subscribe("disks.full")
            async with asyncio.timeout(LIMIT_S), events, news:
                await anext(news)
                first = server.services[0]
                first.is_full(1)
                assert (await anext(events))["value"] == (await anext(news)).value == 1
                first.runtime.fail("it is tired")
                await tools.until(lambda: server.services[0] is not first)
                await tools.until(lambda: server.upkeep.running)
                server.services[0].is_full(2)
                assert [(each["seq"], each["value"]) for each in [await anext(events)]] == [(2, 2)]
                assert (await anext(news)).seq == 2
                stop = asyncio.ensure_future(server.stop())
                assert [each async for each in events] == []
                assert [each async for each in news] == []
                await stop

    tools.run(use())


def test_events_are_in_what_is_told_of_the_service(tools: Any) -> None:
    async def use() -> None:
        async with tools.serve(Disks()) as server, client_of(server) as client:
            (about,) = [each for each in document(server.registry.offers.values(), title="t", version="1")["methods"]
                        if each["name"] == "disks.disk_full"]  # fmt: skip
            assert about["x-event"] is True and about["x-permission"] == "disks.watch" and about["x-kind"] == "read"
            assert about["summary"] == "A disk is full."
            assert [each["name"] for each in about["params"]] == ["policy", "buffer_items"]
            service = next(each for each in await client.services() if each.name == "disks")
            assert {each.name for each in service.methods if each.is_event} == {"disks.disk_full", "disks.full"}

    tools.run(use())


def test_outside_a_server_nobody_hears(tools: Any) -> None:
    async def use() -> None:
        disks = Disks()
        disks.disk_full(disk("/"))

        class Asker(Service):
            """Asks its caller for events."""

            @method()
            async def ask(self, ctx: Context) -> None:
                """Follow an event of the caller."""
                await ctx.caller.call("disks.full")

        async with tools.serve(Asker()) as server, client_of(server) as client:
            client.offer(disks)
            disks.is_full(1)
            with pytest.raises(Unavailable, match="events, such as full, can be followed only at a server"):
                await client.call("asker.ask")

    tools.run(use())


@pytest.mark.parametrize(
    "declare",
    [lambda self: None, lambda self, a, b: None, lambda self, a: None],
    ids=["no value", "two values", "no type"],
)
def test_a_wrong_declaration_is_refused(declare: Any) -> None:
    declare.__name__ = "rang"
    wrong = type("Wrong", (Service,), {"rang": event()(declare)})
    with pytest.raises(TypeError, match="an event has one parameter, with a type"):
        _ = next(wrong.methods()).contract  # type: ignore[attr-defined]


def test_an_event_returns_nothing() -> None:
    class Wrong(Service):
        @event()  # type: ignore[arg-type]
        def rang(self, bell: str) -> int:
            """It rang."""
            return 1

    with pytest.raises(TypeError, match="an event returns nothing: write '-> None'"):
        _ = next(Wrong.methods()).contract


def test_publishing_to_nobody_makes_nothing_and_many_threads_lose_nothing() -> None:
    times: list[float] = []

    def clock() -> float:
        times.append(0.0)
        return 0.0

    board = Board(lambda: Origin("a", "00", "01"), clock)
    outlet = board.outlet("desk", ["rang"])
    outlet.publish("rang", 1)
    assert board.feeds["desk.rang"].seq == 1 and not times  # It was counted, and no event was made.

    async def use() -> None:
        board.start()
        following = outlet.follow("rang", "drop_oldest", 10_000)
        threads = [threading.Thread(target=lambda: [outlet.publish("rang", 1) for _ in range(500)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        async with asyncio.timeout(LIMIT_S):
            assert [(await anext(following)).seq for _ in range(2000)] == list(range(2, 2002))
        for thread in threads:
            thread.join()
        await following.aclose()
        assert not board.feeds["desk.rang"].queues

    asyncio.run(use())
