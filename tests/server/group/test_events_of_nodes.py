"""Clients of one node follow the events of others, over the real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from pydantic import BaseModel

from rpcclient import AsyncClient, AsyncStream
from rpcclient.errors import InvalidParams
from rpcclient.models import EventNews
from rpcserver import Service, event, method
from rpcserver.config import ServerConfig
from rpcserver.events.messages import News, pack
from rpcserver.events.messages import read as read_message
from rpcserver.group.members import InvalidGroupMessage
from rpcserver.group.vouching import Gateways
from rpcserver.server import Server
from rpcwire.codec import Subprotocol
from tests.server.group.test_joining import LIMIT_S, TOKEN, names, needs_broker, open_broker, run, see

__all__ = ["needs_broker", "open_broker"]


class Disk(BaseModel):
    """A disk."""

    mount: str
    serial: bytes = b"\xff\x00"


class Disks(Service):
    """Watches disks."""

    @event()
    def disk_full(self, disk: Disk) -> None:
        """A disk is full."""

    @event(permission="disks.secret")
    def key_lost(self, text: str) -> None:
        """A key is lost."""

    permissions = {"disks.secret": "learn of keys"}  # noqa: RUF012 - as services write it

    @method()
    async def fill(self, count: int = 1) -> int:
        """Publish some events."""
        for number in range(count):
            self.disk_full(Disk(mount=f"/{number}"))
        return count


@asynccontextmanager
async def serve(folder: Path, url: str, name: str, *, role: str = "web") -> AsyncIterator[tuple[Server, Disks]]:
    config = ServerConfig.model_validate(
        {
            "state_dir": str(folder / name),
            "grace_s": 0,
            "listen": {"port": 0, "unix": "none"},
            "roles": {
                "guest": {"principals": ["* via a"], "permissions": ["disks.disk_full", "disks.fill"]},
                "reader": {"principals": ["rita"], "permissions": ["disks.fill", "rpc.follow", "rpc.nodes"]},
            },
            "group": {"url": url, "name": name, "labels": {"role": role}, "trust_gateway_names": True},
        }
    )
    disks = Disks()
    server = Server(config, [disks], token=TOKEN)
    await server.start()
    try:
        yield server, disks
    finally:
        await server.stop(grace_s=0)


def connect(server: Server, subprotocol: Subprotocol = "rpc.v1.msgpack") -> AsyncClient:
    return AsyncClient(memory=server.connect_memory, subprotocol=subprotocol)


async def read(news: AsyncStream[EventNews], *kinds: str, count: int = 1) -> list[EventNews]:
    """Read until so many of these kinds have come."""
    them: list[EventNews] = []
    async with asyncio.timeout(LIMIT_S):
        async for each in news:
            if each.kind in kinds:
                them.append(each)
                if len(them) == count:
                    break
    return them


def test_a_client_follows_all_nodes_also_those_that_come_later(tmp_path: Path, open_broker: str) -> None:
    async def use() -> None:
        async with AsyncExitStack() as stack:
            a, here = await stack.enter_async_context(serve(tmp_path, open_broker, "a"))
            b, there = await stack.enter_async_context(serve(tmp_path, open_broker, "b"))
            client = await stack.enter_async_context(connect(a))
            await see(client, lambda nodes: names(nodes) == ["a", "b"])
            news = await stack.enter_async_context(client.everyone().subscribe("disks.disk_full"))
            assert {each.node for each in await read(news, "following", count=2)} == {"a", "b"}
            there.disk_full(Disk(mount="/srv"))
            (one,) = await read(news, "event")
            assert (one.node, one.event, one.seq, one.lost) == ("b", "disks.disk_full", 1, 0)
            assert one.value == {"mount": "/srv", "serial": b"\xff\x00"}
            here.disk_full(Disk(mount="/home"))
            (one,) = await read(news, "event")
            assert (one.node, one.seq, one.value["mount"]) == ("a", 1, "/home")
            for server in (a, b):
                text = await server.metrics.render()
                assert 'rpcserver_event_followers{event="disks.disk_full",of="group"} 1\n' in text
                assert 'rpcserver_event_followers{event="disks.disk_full",of="node"} 0\n' in text
                assert 'rpcserver_events_published_total{event="disks.disk_full"} 1\n' in text
            async with serve(tmp_path, open_broker, "c") as (_, later):
                await read(news, "following")
                later.disk_full(Disk(mount="/late"))
                (one,) = await read(news, "event")
                assert (one.node, one.value["mount"]) == ("c", "/late")
            (one,) = await read(news, "gone")
            assert one.node == "c" and one.reason
            # It returns with a new life, whose numbers begin anew.
            async with serve(tmp_path, open_broker, "c") as (_, later):
                (begun,) = await read(news, "following")
                later.disk_full(Disk(mount="/again"))
                (again,) = await read(news, "event")
                assert (again.node, again.seq, again.id) == ("c", 1, one.id)
                assert again.epoch == begun.epoch > one.epoch

    run(use())


@pytest.mark.parametrize("subprotocol", ["rpc.v1.json", "rpc.v1.msgpack"])
def test_selectors_choose_the_nodes_and_each_node_decides(
    tmp_path: Path, open_broker: str, subprotocol: Subprotocol
) -> None:
    async def use() -> None:
        async with AsyncExitStack() as stack:
            a, here = await stack.enter_async_context(serve(tmp_path, open_broker, "a", role="db"))
            _, there = await stack.enter_async_context(serve(tmp_path, open_broker, "b"))
            client = await stack.enter_async_context(connect(a, subprotocol))
            await see(client, lambda nodes: names(nodes) == ["a", "b"])
            stream = client.group("role=web").subscribe("disks.disk_full", "disks.key_lost", "disks.nothing")
            news = await stack.enter_async_context(stream)
            refusals = {each.event: each.reason for each in await read(news, "refused", count=2)}
            assert refusals["disks.nothing"] == "there is no event disks.nothing at this node"
            assert 'have the operator add "disks.secret" to roles.guest.permissions' in refusals["disks.key_lost"]
            await read(news, "following")
            here.disk_full(Disk(mount="/unasked"))
            there.key_lost("unseen")
            there.disk_full(Disk(mount="/srv", serial=b"abc"))
            (one,) = await read(news, "event")
            assert (one.node, one.value["mount"]) == ("b", "/srv")
            assert one.value["serial"] == (b"abc" if subprotocol == "rpc.v1.msgpack" else "YWJj")
            # All that this client may follow, by a list of names.
            everything = await stack.enter_async_context(client.group(["b", "a"]).subscribe())
            await read(everything, "following", count=2)
            here.key_lost("mine")
            there.key_lost("unseen")
            there.disk_full(Disk(mount="/two"))
            events = await read(everything, "event", count=2)
            assert {(each.node, each.event) for each in events} == {("a", "disks.key_lost"), ("b", "disks.disk_full")}
            with pytest.raises(InvalidParams, match="exactly one of selector, names and everyone"):
                await anext(client.stream("rpc.follow", {"target": {}}))
            with pytest.raises(InvalidParams, match="target"):
                await anext(client.group("role in").subscribe())

    run(use())


def test_a_slow_client_learns_how_many_events_it_has_lost(tmp_path: Path, open_broker: str) -> None:
    published = 3000

    async def use() -> None:
        async with AsyncExitStack() as stack:
            a, _ = await stack.enter_async_context(serve(tmp_path, open_broker, "a"))
            b, there = await stack.enter_async_context(serve(tmp_path, open_broker, "b"))
            client = await stack.enter_async_context(connect(a))
            await see(client, lambda nodes: names(nodes) == ["a", "b"])
            slow = await stack.enter_async_context(client.group("name=b").subscribe("disks.disk_full", buffer_items=20))
            latest = await stack.enter_async_context(
                client.group("name=b").subscribe("disks.disk_full", policy="latest")
            )
            fast = await stack.enter_async_context(
                client.group("name=b").subscribe("disks.disk_full", buffer_items=10_000)
            )
            for news in (slow, latest, fast):
                await read(news, "following")
            reading = asyncio.ensure_future(read(fast, "event", count=published))
            # From a thread, as fast as it can.
            await asyncio.to_thread(lambda: [there.disk_full(Disk(mount="/")) for _ in range(published)])
            everything = await reading
            assert [each.seq for each in everything] == list(range(1, published + 1))
            assert sum(each.lost for each in everything) == 0
            for news in (slow, latest):
                seen = lost = last = 0
                async with asyncio.timeout(LIMIT_S):
                    async for each in news:
                        seen += each.kind == "event"
                        lost, last = lost + each.lost, each.seq
                        if seen + lost == published:
                            break
                assert last == published
                assert 0 < lost < published
            del b

    run(use())


def test_what_is_lost_while_there_is_no_broker_is_told(tmp_path: Path, open_broker: str) -> None:
    async def use() -> None:
        async with AsyncExitStack() as stack:
            a, _ = await stack.enter_async_context(serve(tmp_path, open_broker, "a"))
            b, there = await stack.enter_async_context(serve(tmp_path, open_broker, "b"))
            client = await stack.enter_async_context(connect(a))
            await see(client, lambda nodes: names(nodes) == ["a", "b"])
            news = await stack.enter_async_context(client.group("name=b").subscribe("disks.disk_full"))
            await read(news, "following")
            there.disk_full(Disk(mount="/1"))
            await read(news, "event")
            for loser in (b, a):
                link = loser.group.membership.node.link
                assert link is not None
                link.become(link.own)  # It connects anew.
                async with asyncio.timeout(LIMIT_S):
                    while link.is_up:
                        await asyncio.sleep(0)
                for _ in range(3):
                    there.disk_full(Disk(mount="/lost"))
                    await asyncio.sleep(0)
                (loss,) = await read(news, "lost")
                assert (loss.node, loss.lost) == ("b", 3)
                there.disk_full(Disk(mount="/next"))
                (one,) = await read(news, "event")
                assert (one.lost, one.value["mount"], one.seq) == (0, "/next", loss.seq + 1)

    run(use())


def test_a_wish_ends_with_its_client_and_rights_with_their_role(tmp_path: Path, open_broker: str) -> None:
    async def use() -> None:
        async with AsyncExitStack() as stack:
            a, _ = await stack.enter_async_context(serve(tmp_path, open_broker, "a"))
            b, there = await stack.enter_async_context(serve(tmp_path, open_broker, "b"))
            client = await stack.enter_async_context(connect(a))
            await see(client, lambda nodes: names(nodes) == ["a", "b"])
            feed = b.group.board.feeds["disks.disk_full"]
            async with client.group("name=b").subscribe("disks.disk_full") as news:
                await read(news, "following")
                assert len(feed.queues) == 1
            async with asyncio.timeout(LIMIT_S):
                while feed.queues:
                    await asyncio.sleep(0.01)
            there.disk_full(Disk(mount="/"))
            assert feed.seq == 1

    run(use())


def test_a_wish_ends_when_its_node_may_not_vouch_any_more(tmp_path: Path, open_broker: str) -> None:
    async def use() -> None:
        async with AsyncExitStack() as stack:
            a, _ = await stack.enter_async_context(serve(tmp_path, open_broker, "a"))
            b, _ = await stack.enter_async_context(serve(tmp_path, open_broker, "b"))
            client = await stack.enter_async_context(connect(a))
            await see(client, lambda nodes: names(nodes) == ["a", "b"])
            feed = b.group.board.feeds["disks.disk_full"]
            news = await stack.enter_async_context(client.group("name=b").subscribe("disks.disk_full"))
            await read(news, "following")
            assert len(feed.queues) == 1
            assert b.group.circuits is not None
            assert a.group.exchange is not None
            b.group.circuits.gateways = Gateways()
            a.group.exchange._make_up()  # So it asks again at once.
            (one,) = await read(news, "refused")
            assert "group.gateways" in one.reason
            assert not feed.queues

    run(use())


def test_who_does_not_ask_again_keeps_no_right_that_was_taken_back(tmp_path: Path, open_broker: str) -> None:
    async def use() -> None:
        async with AsyncExitStack() as stack:
            a, _ = await stack.enter_async_context(serve(tmp_path, open_broker, "a"))
            b, _ = await stack.enter_async_context(serve(tmp_path, open_broker, "b"))
            client = await stack.enter_async_context(connect(a))
            await see(client, lambda nodes: names(nodes) == ["a", "b"])
            assert b.group.circuits is not None
            assert b.group.exchange is not None
            teller, gateways = b.group.exchange._teller, b.group.circuits.gateways
            for is_trusted in (True, False):
                news = await stack.enter_async_context(client.group("name=b").subscribe("disks.disk_full"))
                await read(news, "following")
                ((_, wish),) = teller._wishes.items()
                wish.check_at = 0.0
                b.group.circuits.gateways = gateways if is_trusted else Gateways()
                b.group.exchange._teller.expire(1.0, b.group.exchange._may_stay)
                assert len(teller) == is_trusted
                await news.aclose()
                async with asyncio.timeout(LIMIT_S):
                    while len(teller):
                        await asyncio.sleep(0.01)

    run(use())


def test_what_is_no_message_is_refused() -> None:
    good = News([1], "disks.disk_full", 1, 1, 1.0, is_packed=True, body=b"\xc0")
    assert read_message(pack(good)) == good
    wrong = [pack(msgspec.structs.replace(good, time=time)) for time in (float("nan"), float("inf"), -1.0)]
    for data in (*wrong, b"\x82\xa4type\xa6follow\xa9principal\xa1\xff", b"\x91" * 5000 + b"\xc0"):
        with pytest.raises(InvalidGroupMessage):
            read_message(data)


def test_messages_that_are_none_are_dropped(tmp_path: Path, open_broker: str) -> None:
    async def use() -> None:
        async with AsyncExitStack() as stack:
            a, _ = await stack.enter_async_context(serve(tmp_path, open_broker, "a"))
            b, there = await stack.enter_async_context(serve(tmp_path, open_broker, "b"))
            client = await stack.enter_async_context(connect(a))
            await see(client, lambda nodes: names(nodes) == ["a", "b"])
            news = await stack.enter_async_context(client.group("name=b").subscribe("disks.disk_full"))
            await read(news, "following")
            link = b.group.membership.node.link
            assert link is not None
            for data in (b"", b"\xc1", b"\x80", b"\x81\xa4type\xa4news", bytes(1000)):
                link.post(a.group.membership.node.id, "events", data)
            there.disk_full(Disk(mount="/"))
            (one,) = await read(news, "event")
            assert one.seq == 1

    run(use())
