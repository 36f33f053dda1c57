"""Group calls from both clients to three servers over the real broker."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rpcclient import Client, GroupFailed, GroupItem
from rpcserver.plugins.stubgen import generate
from tests.server.group.test_group_calls import (  # noqa: F401 - the broker is a fixture
    LIMIT_S,
    NAMES,
    TOKEN,
    Work,
    broker,
    start,
    wait_for,
)


def load_stubs(folder: Path) -> dict[str, Any]:
    """The stubs that are generated of the service of the nodes."""
    path = folder / "work_stub.py"
    path.write_text(generate(Work))
    namespace: dict[str, Any] = {"__name__": "work_stub"}
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    return namespace


async def stop(group: Any, told: asyncio.Event) -> None:
    """Stop one of the servers once all have told that they work."""
    await told.wait()
    await group.servers["db-1"].stop(grace_s=0)


def test_three_nodes(broker: str, tmp_path: Path) -> None:  # noqa: F811
    """One outcome for each, typed; policies; streams that are merged; a node that dies in the midst of a call."""

    async def main() -> None:
        stubs = load_stubs(tmp_path)
        async with start(broker, tmp_path) as (group, client):
            work = stubs["AsyncGroupWork"](client.everyone())

            outcomes = await work.echo({"a": b"x", "b": [1.5, None]})
            assert {each.name: each.state for each in outcomes.ok} == dict.fromkeys(NAMES, "ok")
            assert all(each.result == {"a": b"x", "b": [1.5, None]} for each in outcomes.outcomes)
            assert {str(node) for node in outcomes.nodes} == set(NAMES)
            assert {each.id for each in outcomes.outcomes} == {group.node(name) for name in NAMES}

            outcomes = await work.fail()
            assert len(outcomes.failed) == 3
            assert all(isinstance(each.error, stubs["Full"]) and each.error.room == 3 for each in outcomes.failed)
            with pytest.raises(GroupFailed) as caught:
                await outcomes.raise_for_failures()
            assert all(name in str(caught.value) for name in NAMES)

            reports: set[str] = set()
            told = asyncio.Event()

            def note(node: Any, done: float, *_: Any) -> None:
                reports.add(str(node))
                if len(reports) == 3:
                    told.set()

            sleeping = stubs["AsyncGroupWork"](client.everyone(progress=note)).sleep()
            stopping = asyncio.ensure_future(stop(group, told))
            async with asyncio.timeout(LIMIT_S), sleeping:
                async for ended in sleeping:
                    assert (ended.name, ended.executed) == ("db-1", "yes")
                    assert ended.state in ("died", "error", "cancelled")
                    break
            assert {str(node) for node in sleeping.missing} == {"web-1", "web-2"}
            await stopping
            await wait_for(lambda: all(group.work[name].ends["sleep"] for name in NAMES))

            # Of the two that are left:
            web = client.group("role=web")
            stream = stubs["AsyncGroupWork"](web).count(500)
            items = [item async for item in stream]
            assert all(isinstance(item, GroupItem) and item.lost == 0 for item in items)
            for name in ("web-1", "web-2"):
                assert [item.value for item in items if str(item.node) == name] == list(range(500))
            assert [each.state for each in stream.outcomes] == ["ok", "ok"]

            before = sum(work.runs["echo"] for work in group.work.values())
            assert await stubs["AsyncWork"](web.one()).echo(7) == 7
            assert sum(work.runs["echo"] for work in group.work.values()) == before + 1
            assert await web.first().call("work.echo", [8]) == 8
            rolling = await web.rolling(1, stop_after_failures=1).call("work.fail")
            assert [each.state for each in rolling.outcomes] == ["error", "cancelled"]
            assert len((await web.any(1).call("work.echo", [1])).ok) >= 1

            def blocking() -> None:
                with Client(group.servers["web-1"].addresses[0], token=TOKEN, proxy=None) as sync:
                    outcomes = stubs["GroupWork"](sync.group(["web-1", "web-2", "nobody"])).echo("x").wait()
                    assert {each.name: each.state for each in outcomes} == {
                        "web-1": "ok",
                        "web-2": "ok",
                        "nobody": "unknown",
                    }
                    values = [item.value for item in stubs["GroupWork"](sync.group("role=web")).count(3)]
                    assert sorted(values) == [0, 0, 1, 1, 2, 2]
                    # Through another node as the gateway.
                    names = {each.name for each in sync.node("web-2").everyone().call("work.echo", [1])}
                    assert names == {"web-1", "web-2"}

            await asyncio.to_thread(blocking)

    asyncio.run(main())
